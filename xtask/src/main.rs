//! The project's own commands: `cargo xtask COMMAND`. This file only finds the command; each has a module.

mod codegen;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND [OPTIONS]

  tidy [--write-ratchet]   check rooms, arrows, sizes and house rules
  codegen [--check]        write the messages' code from their schema, or check that it is fresh
  test [--no-foreign]      run every test and print how many passed
  roundtrip [--lines N]    a million lines through kcat and back by a group of three, byte-identical
  crash [--rounds N]       produce, kill -9, restart, verify: nothing lost, nothing twice
  chaos [--minutes N]      real nodes in network namespaces under random faults: nothing lost, nothing twice; needs root
  bench [OPTIONS]          measure the release build: see test/bench/README.md
  shared SUITE [OPTIONS]   a conformance suite outside of this repository, but for what is not built yet";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, options) = match arguments.split_first() {
        Some((command, options)) => (command.as_str(), options),
        None => ("", &[][..]),
    };
    let outcome = match command {
        "codegen" => codegen::run(options),
        "tidy" => tidy::run(options),
        "test" => test::run(options),
        "roundtrip" | "crash" | "chaos" | "bench" | "shared" => test::conform(command, options),
        "" | "help" | "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => Err(format!("unknown command {unknown:?}\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository, whatever folder the command was started in.
fn root() -> std::path::PathBuf {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the repository's root").to_path_buf()
}
