//! The client's own suite against Apache Kafka, of one node and of three, and its security against one that is secured.

mod secured;

use conform_suite::foreign;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a JVM may take until it serves, on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(180);

struct Kafka {
    nodes: Vec<Child>,
    folder: PathBuf,
    bootstrap: String,
}

impl Kafka {
    fn start(count: usize) -> Kafka {
        foreign::install().expect("the clients can be installed");
        let folder = std::env::temp_dir().join(format!("vltava-kafka-{}-{count}", std::process::id()));
        let bound: Vec<TcpListener> =
            (0..2 * count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let port = |at: usize| bound[at].local_addr().expect("it is bound").port();
        let ports: Vec<(u16, u16)> = (0..count).map(|node| (port(2 * node), port(2 * node + 1))).collect();
        drop(bound);
        let voters: Vec<String> =
            ports.iter().enumerate().map(|(at, (_, controller))| format!("{at}@127.0.0.1:{controller}")).collect();
        let bootstrap: Vec<String> = ports.iter().map(|(client, _)| format!("127.0.0.1:{client}")).collect();
        let mut kafka = Kafka { nodes: Vec::new(), folder, bootstrap: bootstrap.join(",") };
        for (at, (client, controller)) in ports.into_iter().enumerate() {
            let home = kafka.folder.join(at.to_string());
            std::fs::create_dir_all(&home).expect("a folder for the node");
            let settings = format!(
                "process.roles=broker,controller\nnode.id={at}\ncontroller.quorum.voters={}\n\
                 listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{client}\ncontroller.listener.names=CONTROLLER\n\
                 log.dirs={}\ndefault.replication.factor={count}\noffsets.topic.replication.factor={count}\n\
                 offsets.topic.num.partitions=5\ntransaction.state.log.replication.factor={count}\n\
                 transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n",
                voters.join(","),
                home.join("logs").display()
            );
            let file = home.join("server.properties");
            std::fs::write(&file, settings).expect("the settings are written");
            kafka.launch(&file, &[]);
        }
        kafka.wait();
        kafka
    }

    /// Starts a node of these settings; `format` are further words for the tool that makes its folder.
    fn launch(&mut self, settings: &Path, format: &[&str]) {
        let java = |main: &str| {
            let mut java = Command::new("java");
            java.args(["-Xmx512m", "-cp", &foreign::classpath(), main]).stdout(Stdio::null());
            java
        };
        let mut tool = java("kafka.tools.StorageTool");
        tool.args(["format", "--cluster-id", "4L6g3nShT-eMCtK--X86sw"]).args(format).arg("--config").arg(settings);
        assert!(tool.status().expect("java is there").success(), "the node's folder is not formatted");
        self.nodes.push(java("kafka.Kafka").arg(settings).spawn().expect("java is there"));
    }

    /// Waits until each node takes connections, which it does once the cluster knows it.
    fn wait(&mut self) {
        let give_up = Instant::now() + START_MAX;
        for address in self.bootstrap.clone().split(',') {
            while TcpStream::connect(address).is_err() {
                for node in &mut self.nodes {
                    assert_eq!(node.try_wait().expect("it is our child"), None, "a node has ended");
                }
                assert!(Instant::now() < give_up, "{address}: no connection after {START_MAX:?}");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn check(nodes: usize) {
    let kafka = Kafka::start(nodes);
    let suite = Command::new(env!("CARGO"))
        .args(["test", "--package", "vltava-client", "--test", "suite"])
        .env("VLTAVA_CLIENT_BOOTSTRAP", &kafka.bootstrap)
        .status();
    assert!(suite.expect("cargo starts").success(), "the client's suite fails against Apache Kafka");
}

#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn the_clients_suite_passes_against_one_node() {
    check(1);
}

#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn the_clients_suite_passes_against_three_nodes() {
    check(3);
}
