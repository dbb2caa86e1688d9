//! `vltava`: one binary that is the broker and the command line. Reads words, calls one command, and tells people what
//! went wrong.

mod commands;
mod health;
mod kafka;
mod plan;
mod problem;
mod reassign;
mod scope;
mod session;
mod survey;
mod table;
mod template;
mod throttle;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// An event streaming platform that Kafka's clients use unchanged.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = problem::END_OF_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(commands::serve::Serve),
    Topic(commands::topic::Topic),
    Produce(Box<commands::produce::Produce>),
    Consume(Box<commands::consume::Consume>),
    Perf(commands::perf::Perf),
    Group(commands::group::Group),
    Config(commands::config::Config),
    Broker(commands::broker::Broker),
    Cluster(commands::cluster::Cluster),
    Doctor(commands::doctor::Doctor),
    /// Print a script with which a shell completes words: `source <(vltava completion bash)`
    Completion {
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(done) = kafka::run(&words) {
        return finish(done);
    }
    let done = match Arguments::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Topic(topic) => return finish(topic.run()),
        Command::Produce(produce) => return finish(produce.run()),
        Command::Consume(consume) => return finish(consume.run()),
        Command::Perf(perf) => return finish(perf.run()),
        Command::Group(group) => return finish(group.run()),
        Command::Broker(broker) => return finish(broker.run()),
        Command::Cluster(cluster) => return finish(cluster.run()),
        Command::Doctor(doctor) => return finish(doctor.run()),
        Command::Config(config) => return finish(config.run()),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "vltava", &mut script);
            return finish(session::write_out(&script));
        }
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

/// Ends a command over the protocol.
fn finish(done: Result<(), problem::Problem>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("vltava: {}", problem.message);
            problem.exit_code()
        }
    }
}
