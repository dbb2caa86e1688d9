//! `vltava`: one binary that is the broker and the command line. Reads words, calls one command, and tells people what
//! went wrong.

mod commands;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// An event streaming platform that Kafka's clients use unchanged.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(commands::serve::Serve),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve(serve) => serve.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in problems {
                eprintln!("vltava: {problem}");
            }
            ExitCode::FAILURE
        }
    }
}
