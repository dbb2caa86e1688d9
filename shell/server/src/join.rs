//! Before a new node starts: asks the nodes that it is to join which cluster they are. Knows how to ask and to wait, not
//! what is said.

use crate::config::Address;
use broker::types::Text;
use bytes::Bytes;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);
/// Between rounds in which nobody answered.
const PAUSE: Duration = Duration::from_millis(500);
/// Rounds after which the operator is told that something is wrong.
const ROUNDS_MAX: u32 = 60;
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The cluster's id, from the first node that tells it; waits for one to come up.
pub fn cluster_id(nodes: &[Address]) -> Result<Text, String> {
    let mut last = String::new();
    for round in 0..ROUNDS_MAX {
        for node in nodes {
            match ask(node) {
                Ok(id) => return Ok(id),
                Err(why) => last = format!("{node}: {why}"),
            }
        }
        if round == 0 {
            tracing::info!("waiting for a node of the cluster to join: {last}");
        }
        thread::sleep(PAUSE);
    }
    Err(format!("no node of the cluster that --join names answers; the last one: {last}"))
}

fn ask(node: &Address) -> Result<Text, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut addresses = (node.host.as_str(), node.port).to_socket_addrs().map_err(text)?;
    let address = addresses.next().ok_or("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(text)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
    stream.write_all(&broker::ask_cluster_id()).map_err(text)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(text)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Err("it does not speak Kafka's protocol".to_owned());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).map_err(text)?;
    broker::read_cluster_id(Bytes::from(answer))
}
