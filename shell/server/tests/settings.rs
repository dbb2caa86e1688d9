//! Where settings come from, which wins, and what is said about those that cannot be taken.

use server::config::{Config, Options};
use std::path::PathBuf;

struct Given {
    options: Options,
    environment: Vec<(String, String)>,
    file: Option<PathBuf>,
}

impl Given {
    fn new() -> Given {
        let options = Options { data_dir: Some(PathBuf::from("data")), ..Options::default() };
        Given { options, environment: Vec::new(), file: None }
    }

    fn file(mut self, name: &str, text: &str) -> Given {
        let path = std::env::temp_dir().join(format!("vltava-settings-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("written");
        self.options.config = Some(path.clone());
        self.file = Some(path);
        self
    }

    fn env(mut self, variable: &str, value: &str) -> Given {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    fn set(mut self, set: &str) -> Given {
        self.options.set.push(set.to_owned());
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Given {
        change(&mut self.options);
        self
    }

    fn read(&self) -> Config {
        Config::read(&self.options, &self.environment).expect("valid")
    }

    fn problems(&self) -> String {
        Config::read(&self.options, &self.environment).expect_err("something is wrong").join("\n")
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[test]
fn the_strongest_place_wins() {
    let name = "log.retention.ms";
    let mut given = Given::new().file("order", "log.retention.ms = 1\nnum.partitions: 7\nnode.id=5\n");
    assert_eq!((given.read().settings.i64(name), given.read().settings.i64("num.partitions")), (1, 7));
    given = given.env("VLTAVA_LOG_RETENTION_MS", "2").env("VLTAVA_NODE_ID", "6").env("HOME", "/x");
    assert_eq!((given.read().settings.i64(name), given.read().settings.node_id().0), (2, 6));
    given = given.with(|options| options.node_id = Some(8));
    assert_eq!(given.read().settings.node_id().0, 8);
    given = given.set("log.retention.ms=3").set("node.id=9");
    assert_eq!((given.read().settings.i64(name), given.read().settings.node_id().0), (3, 9));
}

#[test]
fn a_problem_names_its_place_and_the_likely_name() {
    let given = Given::new()
        .file("wrong", "# of mine\nlog.retention.mss=1\nnum.partitions=many\n")
        .env("VLTAVA_NUM_PARTITION", "1")
        .set("log.segment.byte=1")
        .set("lonely");
    let problems = given.problems();
    for part in [
        "line 2: there is no setting log.retention.mss; did you mean log.retention.ms?",
        "line 3: Invalid value many for configuration num.partitions",
        "variable VLTAVA_NUM_PARTITION: there is no setting num.partition; did you mean num.partitions?",
        "--set log.segment.byte: there is no setting log.segment.byte; did you mean log.segment.bytes?",
        "--set lonely: expected key=value",
    ] {
        assert!(problems.contains(part), "{part}\nis missing in\n{problems}");
    }
}

#[test]
fn what_has_no_effect_is_said() {
    let config = Given::new().set("num.io.threads=4").read();
    assert!(config.notes.iter().any(|note| note.contains("num.io.threads")), "{:?}", config.notes);
}

#[test]
fn variables_of_others_are_left_alone() {
    let given = Given::new().env("VLTAVA_LOG", "debug").env("VLTAVA_SERVICE_HOST", "10.0.0.1");
    given.env("VLTAVA_PORT_9092_TCP_ADDR", "10.0.0.1").env("VLTAVA_LOG_FORMAT", "json").read();
}

#[test]
fn voters_are_nodes_that_can_be_told_apart_and_reached() {
    let voters = |voters: &str| Given::new().with(|options| options.voters = Some(voters.to_owned()));
    let of_three = |voters: &str| {
        Given::new().with(|options| (options.voters, options.node_id) = (Some(voters.to_owned()), Some(2)))
    };
    assert_eq!(voters("1@localhost:9093").read().voters.len(), 1);
    let config = of_three("1@a:1,2@b:2,3@[::1]:3").read();
    let shown: Vec<String> = config.voters.iter().map(|(id, at)| format!("{id} at {at}")).collect();
    assert_eq!(shown, ["1 at a:1", "2 at b:2", "3 at [::1]:3"]);
    assert!(config.notes.iter().any(|note| note.contains("add --peer-listen :2")), "{:?}", config.notes);
    for (given, problem) in [
        (
            voters("2@localhost:9093"),
            "names node 2 alone, but this is node 1 (--node-id); to join its cluster say --join",
        ),
        (voters("1@a:1,2@b:1,3@c:1"), "names nodes 1, 2, 3: say with --node-id which of them this is"),
        (voters("1"), "`1` is not ID@HOST:PORT"),
        (of_three("1@a:1,2@b:1,2@c:1"), "names node 2 twice"),
        (of_three("1@a:1,2@a:1"), "names nodes 1 and 2 at one address, a:1"),
        (of_three("1@a:0,2@b:1"), "`1@a:0` has port 0"),
        (of_three("1@0.0.0.0:1,2@b:1"), "`1@0.0.0.0:1` names no host"),
        (of_three("1@:1,2@b:1"), "`1@:1` names no host"),
        (voters("1@a:1").set("controller.quorum.bootstrap.servers=a:1"), "leave out one of them"),
    ] {
        let problems = given.problems();
        assert!(problems.contains(problem), "{problem}\nis missing in\n{problems}");
    }
}

#[test]
fn nodes_to_join_are_addresses() {
    let join = |join: &str| Given::new().with(|options| options.join = Some(join.to_owned()));
    let shown: Vec<String> = join("a:1, b:2").read().join.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["a:1", "b:2"]);
    assert!(join("a").problems().contains("--join (controller.quorum.bootstrap.servers): `a` is not HOST:PORT"));
    assert!(join(":9092").problems().contains("names no host"));
}

#[test]
fn other_nodes_have_a_listener_where_one_is_given() {
    let peer = |peer: &str| Given::new().with(|options| options.peer_listen = Some(peer.to_owned()));
    assert_eq!(Given::new().read().peer, None);
    assert_eq!(peer("h:1").read().peer.map(|peer| peer.address.to_string()), Some("h:1".into()));
    assert!(peer("9093").problems().contains("--peer-listen: `9093` is not HOST:PORT"));
}

#[test]
fn every_address_is_told_to_others_as_one_of_them() {
    for every in [":7", "0.0.0.0:7", "[::]:7"] {
        let config = Given::new().with(|options| options.listen = Some(every.to_owned())).read();
        let bound = config.bound(&["0.0.0.0:7".parse().expect("an address")]);
        let ip: std::net::IpAddr = bound[0].host.parse().expect("an address");
        assert!(!ip.is_unspecified() && bound[0].port == 7, "{bound:?}");
    }
    let config = Given::new().with(|options| options.listen = Some("here:0".to_owned())).read();
    let bound = config.bound(&["10.0.0.1:8".parse().expect("an address")]);
    assert_eq!((&*bound[0].host, bound[0].port), ("here", 8));
}

#[test]
fn listeners_of_a_stock_configuration_are_understood() {
    let text = "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";
    let config = Given::new().file("stock", text).read();
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.peer.map(|peer| peer.address.to_string()), Some(":9093".into()));
    assert!(Given::new().set("listeners=SSL://:9092").problems().contains("only PLAINTEXT is there yet"));
    assert!(Given::new().set("listeners=9092").problems().contains("is not NAME://HOST:PORT"));
}

#[test]
fn data_is_never_kept_under_tmp_by_itself() {
    let given = Given::new().env("HOME", "/home/somebody").with(|options| options.data_dir = None);
    assert!(!given.read().data_dirs[0].starts_with("/tmp"));
    assert_eq!(Given::new().read().data_dirs, [PathBuf::from("data")]);
    let several = Given::new().with(|options| options.data_dir = Some("/disk1,/disk2".into()));
    assert_eq!(several.read().data_dirs, [PathBuf::from("/disk1"), PathBuf::from("/disk2")]);
}
