//! Dials one address step by step, as a client does: the name, the port, the protocol, and who answers. Must never know
//! what a failure means for whom.

use crate::session::Connection;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, lookup_host};
use vltava_client::{Client, Error, NodeId};

/// How far a dial got.
#[derive(Debug, Default)]
pub struct Dial {
    pub host: String,
    pub port: u16,
    pub addresses: Vec<SocketAddr>,
    /// Addresses of the name that did not take the connection, though another did or none.
    pub dead: Vec<(SocketAddr, String)>,
    pub cluster_id: Option<String>,
    /// Connected to this address alone.
    pub client: Option<Client>,
    failure: Option<Failure>,
    /// Of the name, the port and the protocol, as far as it got.
    took: [Option<Duration>; 3],
}

/// At which step a dial failed, and what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    Name(String),
    /// Somebody said no.
    Refused(String),
    /// Nobody said anything, or there is no way there.
    Unreachable(String),
    /// The port is open, and what answers there does not speak the protocol.
    Protocol(String),
    /// The broker does not let this client in, or the client does not trust the broker.
    Denied(String),
    /// Another node answers than should.
    OtherNode(String),
}

impl Failure {
    /// For the table.
    pub fn word(&self) -> &'static str {
        match self {
            Failure::Name(_) => "name not found",
            Failure::Refused(_) => "refused",
            Failure::Unreachable(_) => "no answer",
            Failure::Protocol(_) => "not Kafka's protocol",
            Failure::Denied(_) => "not let in",
            Failure::OtherNode(_) => "another node",
        }
    }

    pub fn said(&self) -> &str {
        match self {
            Failure::Name(said)
            | Failure::Refused(said)
            | Failure::Unreachable(said)
            | Failure::Protocol(said)
            | Failure::Denied(said)
            | Failure::OtherNode(said) => said,
        }
    }
}

/// Dials; where a node is expected, asks whether it is the one.
pub async fn dial(
    connection: &Connection,
    (host, port): (&str, u16),
    expected: Option<NodeId>,
    patience: Duration,
) -> Dial {
    let mut dial = Dial { host: host.to_owned(), port, ..Dial::default() };
    let connection = Connection { bootstrap: dial.address(), ..connection.clone() };
    dial.failure = dial.steps(&connection, expected, patience).await.err();
    dial
}

impl Dial {
    async fn steps(&mut self, via: &Connection, expected: Option<NodeId>, patience: Duration) -> Result<(), Failure> {
        let started = Instant::now();
        let found = tokio::time::timeout(patience, lookup_host((self.host.as_str(), self.port))).await;
        let found = found.map_err(|_| Failure::Name("no name server answers in time".to_owned()))?;
        self.addresses = found.map_err(|error| Failure::Name(error.to_string()))?.collect();
        self.took[0] = Some(started.elapsed());
        self.connect(patience).await?;
        self.speak(via, expected, patience).await
    }

    /// Tries every address of the name: clients differ in which they take.
    async fn connect(&mut self, patience: Duration) -> Result<(), Failure> {
        let mut first = Failure::Name("the name has no address".to_owned());
        for address in self.addresses.clone() {
            let started = Instant::now();
            let failure = match tokio::time::timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(_)) => {
                    self.took[1] = self.took[1].or(Some(started.elapsed()));
                    continue;
                }
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    Failure::Refused(error.to_string())
                }
                Ok(Err(error)) => Failure::Unreachable(error.to_string()),
                Err(_) => Failure::Unreachable(format!("nothing came back in {} s", patience.as_secs())),
            };
            self.dead.push((address, failure.said().to_owned()));
            if self.dead.len() == 1 {
                first = failure;
            }
        }
        if self.took[1].is_some() { Ok(()) } else { Err(first) }
    }

    async fn speak(&mut self, via: &Connection, expected: Option<NodeId>, patience: Duration) -> Result<(), Failure> {
        let started = Instant::now();
        let ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        // Which address that was is said elsewhere.
        let own = format!("{}:{}: ", self.host, self.port);
        let protocol = |error: Error| match &error {
            Error::Unreachable { problems } => {
                Failure::Protocol(problems.join("; ").trim_start_matches(&own).to_owned())
            }
            Error::Authentication(said) => Failure::Denied(said.trim_start_matches(&own).to_owned()),
            other => Failure::Protocol(other.to_string()),
        };
        let config = via.config("vltava-doctor", ms, via.options.clone()).map_err(protocol)?;
        let client = Client::new(config).await.map_err(protocol)?;
        self.took[2] = Some(started.elapsed());
        let overview = client.overview().await.map_err(protocol)?;
        self.cluster_id = overview.cluster_id.map(|id| id.to_string());
        if let Some(node) = expected
            // Who may not ask for settings is not told who answers.
            && let Ok(Err(said)) = client.is_node(node).await
        {
            return Err(Failure::OtherNode(said));
        }
        self.client = Some(client);
        Ok(())
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether only this machine gets there.
    pub fn is_loopback(&self) -> bool {
        !self.addresses.is_empty() && self.addresses.iter().all(|address| address.ip().is_loopback())
    }

    /// Whether it is no address to go to: `0.0.0.0` or `::`.
    pub fn is_unspecified(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }

    /// For the table: the name, the port and the protocol.
    pub fn timings(&self) -> [String; 3] {
        self.took.map(|took| took.map_or("-".to_owned(), |took| format!("{:.1} ms", took.as_secs_f64() * 1000.0)))
    }

    pub fn json(&self) -> Value {
        let [name, connect, answer] = self.took.map(|took| took.map(|took| took.as_secs_f64() * 1000.0));
        let dead = |(address, said): &(SocketAddr, String)| json!({ "address": address.to_string(), "error": said });
        json!({ "host": self.host, "port": self.port,
            "addresses": self.addresses.iter().map(ToString::to_string).collect::<Value>(),
            "dead_addresses": self.dead.iter().map(dead).collect::<Value>(),
            "name_ms": name, "connect_ms": connect, "answer_ms": answer, "cluster": self.cluster_id,
            "result": self.failure.as_ref().map_or("ok", Failure::word),
            "error": self.failure.as_ref().map(Failure::said) })
    }
}
