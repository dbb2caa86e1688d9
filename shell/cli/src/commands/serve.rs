//! `vltava serve`: runs a broker in the foreground until it is told to stop.

use crate::problem::Problem;
use clap::Args;
use server::Server;
use server::config::{Config, Options};
use server::logging;
use std::io::Write;
use std::path::PathBuf;

/// Run a broker. Nothing is required: it keeps its data in a folder of its own and listens on port 9092.
///
/// Every setting has Kafka's name. It can be given in a file (--config), in the environment (VLTAVA_LOG_RETENTION_MS is
/// log.retention.ms), by the flags below, or with --set; the later in this list wins.
#[derive(Debug, Args)]
pub struct Serve {
    /// Number of this node in its cluster [node.id; 1 where nothing is set]
    #[arg(long, value_name = "ID")]
    node_id: Option<i32>,
    /// Where clients connect [listeners; port 9092 of every address where nothing is set]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where other nodes connect, where that is to be apart from clients [the controller's entry of listeners]
    #[arg(long, value_name = "HOST:PORT")]
    peer_listen: Option<String>,
    /// The nodes that a new cluster begins with, the same for each of them [controller.quorum.voters]
    #[arg(long, value_name = "ID@HOST:PORT,...")]
    voters: Option<String>,
    /// Nodes of a running cluster, to become one of it [controller.quorum.bootstrap.servers]
    #[arg(long, value_name = "HOST:PORT,...")]
    join: Option<String>,
    /// Folder for all data, or one for each disk with commas between [log.dirs; a folder for data of services or of the user
    /// where nothing is set]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// File of settings, as Kafka's server.properties
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What to log: error, warn, info, debug, or a filter such as info,server=debug
    #[arg(long, value_name = "LEVEL", env = "VLTAVA_LOG", default_value = "info")]
    log_level: String,
    /// How to write the log: text or json [vltava.log.format; text where nothing is set]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<logging::Format>,
}

impl Serve {
    pub fn run(self) -> Result<(), Problem> {
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let options = Options {
            node_id: self.node_id,
            listen: self.listen,
            peer_listen: self.peer_listen,
            voters: self.voters,
            join: self.join,
            data_dir: self.data_dir,
            config: self.config,
            set: self.set,
        };
        // Each is a line of its own.
        let wrong = |problems: Vec<String>| Problem::failed(problems.join("\nvltava: "));
        let mut config = Config::read(&options, &environment).map_err(wrong)?;
        config.signals = true;
        logging::start(&self.log_level, self.log_format.unwrap_or(config.log_format)).map_err(Problem::failed)?;
        let server = Server::start(config).map_err(Problem::failed)?;
        say_ready(&server);
        server.wait().map_err(Problem::failed)
    }
}

/// The one line on standard output: a program that started the broker may wait for it.
fn say_ready(server: &Server) {
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    let folders: Vec<String> = server.data_dirs().iter().map(|folder| folder.display().to_string()).collect();
    let (addresses, data_dir) = (addresses.join(", "), folders.join(", "));
    // Nobody may be reading.
    let _ = writeln!(std::io::stdout(), "vltava is ready: clients at {addresses}, data in {data_dir}");
}
