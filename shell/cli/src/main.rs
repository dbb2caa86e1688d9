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
    match kafka::run(&words).unwrap_or_else(|| run(Arguments::parse().command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("vltava: {}", problem.message);
            problem.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), problem::Problem> {
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Topic(topic) => topic.run(),
        Command::Produce(produce) => produce.run(),
        Command::Consume(consume) => consume.run(),
        Command::Perf(perf) => perf.run(),
        Command::Group(group) => group.run(),
        Command::Broker(broker) => broker.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Config(config) => config.run(),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "vltava", &mut script);
            session::write_out(&script)
        }
    }
}
