//! The commands, one module each. A command fails with one or more sentences for people.

/// A command of several: its struct, its actions, and running the one that was asked for.
macro_rules! actions {
    ($(#[$about:meta])* $command:ident { $($action:ident($asked:ty),)* }) => {
        $(#[$about])*
        #[derive(Debug, Args)]
        pub struct $command {
            #[command(subcommand)]
            action: Action,
            #[command(flatten)]
            connection: crate::session::Connection,
        }

        #[derive(Debug, clap::Subcommand)]
        enum Action {
            $($action($asked),)*
        }

        impl $command {
            pub fn run(self) -> Result<(), Problem> {
                self.connection.run(async |session| match &self.action {
                    $(Action::$action(asked) => asked.run(session).await,)*
                })
            }
        }
    };
}

pub mod broker;
pub mod cluster;
pub mod config;
pub mod consume;
pub mod doctor;
pub mod group;
mod moving;
pub mod perf;
pub mod produce;
pub mod serve;
pub mod topic;
