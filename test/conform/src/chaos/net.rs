//! The network of a chaos run: a namespace for each node and one for the clients, on a bridge that can lose packets.
//!
//! All of it lives in namespaces that the run itself was started in, and ends with its last process: there is nothing to
//! take down. Packets are dropped on the bridge, by where they come from and go to, so every direction can fail alone.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// An end of a cable: a node by its number, or all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Node(usize),
    Clients,
}

impl End {
    #[must_use]
    pub fn address(self) -> String {
        match self {
            End::Node(number) => format!("10.77.0.{number}"),
            End::Clients => "10.77.0.100".to_owned(),
        }
    }

    /// A command that runs in this end's namespace.
    #[must_use]
    pub fn command(self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.to_string(), program]);
        command
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Node(number) => write!(f, "n{number}"),
            End::Clients => f.write_str("clients"),
        }
    }
}

pub struct Net {
    nodes: usize,
    /// How many packets of a hundred get lost from one end to another.
    loss: BTreeMap<(End, End), u64>,
}

impl Net {
    /// Lays the cables. The calling process must be in network and mount namespaces of its own.
    pub fn new(nodes: usize) -> Result<Net, String> {
        run("mkdir -p /run/netns")?;
        // The names of the namespaces lie here: with a mount of its own, nobody else sees them, now or afterwards.
        run("mount -t tmpfs none /run/netns")?;
        run("ip link set lo up")?;
        run("ip link add bridge0 type bridge")?;
        // The run looks from here whether nodes are up.
        run("ip addr add 10.77.0.254/24 dev bridge0")?;
        run("ip link set bridge0 up")?;
        let net = Net { nodes, loss: BTreeMap::new() };
        for end in net.ends() {
            run(&format!("ip netns add {end}"))?;
            run(&format!("ip link add name {end} type veth peer name eth0 netns {end}"))?;
            run(&format!("ip link set {end} master bridge0 up"))?;
            run(&format!("ip -n {end} addr add {}/24 dev eth0", end.address()))?;
            run(&format!("ip -n {end} link set eth0 up"))?;
            run(&format!("ip -n {end} link set lo up"))?;
        }
        Ok(net)
    }

    fn ends(&self) -> impl Iterator<Item = End> {
        (1..=self.nodes).map(End::Node).chain([End::Clients])
    }

    /// Who may talk to this end.
    #[must_use]
    pub fn others(&self, of: End) -> Vec<End> {
        self.ends().filter(|end| *end != of).collect()
    }

    /// Loses so many packets of a hundred on the way from one end to another; 0 is as before.
    pub fn lose(&mut self, ways: &[(End, End)], percent: u64) -> Result<(), String> {
        for way in ways {
            if percent == 0 {
                self.loss.remove(way);
            } else {
                self.loss.insert(*way, percent);
            }
        }
        self.apply()
    }

    /// The kernel takes all rules or none. Only IP is lost: what finds neighbours would be slow to heal.
    fn apply(&self) -> Result<(), String> {
        let mut rules = "table bridge chaos\ndelete table bridge chaos\ntable bridge chaos {\nchain forward {\n\
             type filter hook forward priority 0;\n"
            .to_owned();
        for ((from, to), percent) in &self.loss {
            let some = if *percent < 100 { format!("numgen random mod 100 < {percent} ") } else { String::new() };
            writeln!(rules, "iifname \"{from}\" oifname \"{to}\" ether type ip {some}drop")
                .expect("a String takes every write");
        }
        rules += "}\n}\n";
        let mut nft = Command::new("nft");
        nft.args(["-f", "-"]).stdin(Stdio::piped());
        let mut child = nft.spawn().map_err(|error| format!("cannot start nft: {error}"))?;
        let mut input = child.stdin.take().expect("stdin is piped");
        let written = input.write_all(rules.as_bytes());
        drop(input);
        let status = child.wait().map_err(|error| format!("cannot wait for nft: {error}"))?;
        if written.is_ok() && status.success() { Ok(()) } else { Err(format!("nft does not take\n{rules}")) }
    }

    /// Makes the link of a node narrow, in both directions. What waits for longer than half a second is lost.
    pub fn narrow(&self, node: usize, kbit: u64) -> Result<(), String> {
        let end = End::Node(node);
        let shape = format!("root tbf rate {kbit}kbit burst 16k latency 500ms");
        run(&format!("tc qdisc add dev {end} {shape}"))?;
        run(&format!("tc -n {end} qdisc add dev eth0 {shape}"))
    }

    pub fn widen(&self, node: usize) -> Result<(), String> {
        let end = End::Node(node);
        run(&format!("tc qdisc del dev {end} root"))?;
        run(&format!("tc -n {end} qdisc del dev eth0 root"))
    }
}

fn run(line: &str) -> Result<(), String> {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
}
