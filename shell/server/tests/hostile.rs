//! A broker on real sockets against clients that are broken, greedy or slow: each is dealt with alone, and a well-behaved
//! one beside it never notices.

use server::Server;
use server::config::{Config, Options};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Long enough for any answer, short enough to fail a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker of its own for one test, with its folder.
struct Broker {
    server: Option<Server>,
    folder: PathBuf,
}

impl Broker {
    fn start(set: &[&str]) -> Broker {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("vltava-hostile-{}-{number}", std::process::id()));
        let options = Options {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(folder.clone()),
            set: set.iter().map(|set| (*set).to_owned()).collect(),
            ..Options::default()
        };
        let config = Config::read(&options, &[]).expect("the settings of the test are valid");
        Broker { server: Some(Server::start(config).expect("nothing is in the way")), folder }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs until it is dropped")
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.server().addresses()[0]).expect("the broker listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
        stream.set_nodelay(true).expect("a TCP socket");
        Client { stream, correlation: 0 }
    }

    /// A figure from /metrics.
    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.server().http().expect("it is on")).expect("HTTP listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("an answer");
        let line = page.lines().find_map(|line| line.strip_prefix(name)).expect("the figure is there");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().expect("a clean stop in bounded time");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Client {
    stream: TcpStream,
    correlation: u32,
}

/// ApiVersions 0, the request that every broker answers.
fn api_versions(correlation: u32) -> Vec<u8> {
    let mut request = vec![0, 0, 0, 10, 0, 18, 0, 0];
    request.extend(correlation.to_be_bytes());
    request.extend([0xff, 0xff]);
    request
}

/// The same with `padding` bytes behind its last field, which a broker passes by.
fn padded(correlation: u32, padding: usize) -> Vec<u8> {
    let mut request = api_versions(correlation);
    request.resize(request.len() + padding, 0xa5);
    let length = u32::try_from(request.len() - 4).expect("small enough");
    request[..4].copy_from_slice(&length.to_be_bytes());
    request
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection stands");
    }

    /// The correlation id of the next answer.
    fn answer(&mut self) -> u32 {
        let mut four = [0; 4];
        self.stream.read_exact(&mut four).expect("an answer");
        let mut answer = vec![0; u32::from_be_bytes(four) as usize];
        self.stream.read_exact(&mut answer).expect("a whole answer");
        u32::from_be_bytes(*answer.first_chunk().expect("it begins with the correlation id"))
    }

    fn ask(&mut self) {
        self.correlation += 1;
        self.send(&api_versions(self.correlation));
        assert_eq!(self.answer(), self.correlation);
    }

    /// True where an answer came, false where the broker has closed the connection.
    fn is_served(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 4]), Ok(count) if count > 0)
    }

    /// True once the broker has closed the connection.
    fn is_closed(&mut self) -> bool {
        loop {
            match self.stream.read(&mut [0; 1024]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}

#[test]
fn a_bad_length_closes_its_own_connection_only() {
    let broker = Broker::start(&["socket.request.max.bytes=1000"]);
    let mut other = broker.connect();
    other.ask();
    for length in [1001_i32, i32::MAX, -1, i32::MIN] {
        let mut hostile = broker.connect();
        hostile.ask();
        hostile.send(&length.to_be_bytes());
        assert!(hostile.is_closed(), "{length}");
    }
    other.ask();
}

#[test]
fn garbage_closes_its_own_connection_only() {
    let broker = Broker::start(&[]);
    let mut other = broker.connect();
    for request in [&[0, 0, 0, 0][..], &[0, 0, 0, 2, 0, 18], &[0, 0, 0, 10, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff]] {
        let mut hostile = broker.connect();
        hostile.send(request);
        assert!(hostile.is_closed(), "{request:?}");
    }
    let mut tls = broker.connect();
    tls.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]);
    assert!(tls.is_closed());
    other.ask();
}

#[test]
fn a_request_cut_off_half_way_is_forgotten() {
    let broker = Broker::start(&[]);
    for cut in 1..api_versions(1).len() {
        let mut hostile = broker.connect();
        hostile.send(&api_versions(1)[..cut]);
        hostile.stream.shutdown(Shutdown::Write).expect("it stands");
        assert!(hostile.is_closed(), "{cut}");
    }
    broker.connect().ask();
    assert_eq!(broker.metric("vltava_request_memory_bytes"), 0);
}

#[test]
fn half_open_giants_hold_almost_no_memory() {
    let broker = Broker::start(&["queued.max.request.bytes=16777216"]);
    let giants: Vec<Client> = (0..100)
        .map(|_| {
            let mut giant = broker.connect();
            giant.send(&(100_i32 << 20).to_be_bytes());
            giant.send(&[0; 100]);
            giant
        })
        .collect();
    let mut other = broker.connect();
    for _ in 0..10 {
        other.ask();
    }
    assert!(broker.metric("vltava_request_memory_bytes") <= 100 * 64 * 1024);
    drop(giants);
}

#[test]
fn a_byte_at_a_time_is_a_request_too() {
    let broker = Broker::start(&[]);
    let mut slow = broker.connect();
    for byte in [api_versions(1), api_versions(2)].concat() {
        slow.send(&[byte]);
    }
    assert_eq!((slow.answer(), slow.answer()), (1, 2));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    let requests: Vec<u8> = (0..1000).flat_map(api_versions).collect();
    let mut writer = client.stream.try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || writer.write_all(&requests));
    for correlation in 0..1000 {
        assert_eq!(client.answer(), correlation);
    }
    writing.join().expect("no panic").expect("all sent");
}

#[test]
fn large_and_small_requests_take_turns() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    let paddings = [70_000, 0, 3 << 20, 16 << 10, 1, 1 << 20, (64 << 10) - 14, 1_000, 65_536, 0, 5 << 20, 2];
    let requests: Vec<u8> =
        (0..).zip(paddings).flat_map(|(correlation, padding)| padded(correlation, padding)).collect();
    let mut writer = client.stream.try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || writer.write_all(&requests));
    for (correlation, _) in (0..).zip(paddings) {
        assert_eq!(client.answer(), correlation);
    }
    writing.join().expect("no panic").expect("all sent");
    assert_eq!(broker.metric("vltava_request_memory_bytes"), 0);
}

#[test]
fn requests_that_hold_all_memory_between_them_still_finish() {
    let broker = Broker::start(&["queued.max.request.bytes=500000"]);
    let request = padded(1, 300_000);
    let mut clients: Vec<Client> = (0..20).map(|_| broker.connect()).collect();
    for client in &mut clients {
        client.send(&request[..150_000]);
    }
    let finishing: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let rest = request[150_000..].to_vec();
            std::thread::spawn(move || {
                client.send(&rest);
                client.answer()
            })
        })
        .collect();
    for client in finishing {
        assert_eq!(client.join().expect("no panic"), 1);
    }
    assert_eq!(broker.metric("vltava_request_memory_bytes"), 0);
}

#[test]
fn a_reader_that_does_not_read_is_not_read_from() {
    let broker = Broker::start(&[]);
    let mut slow = broker.connect();
    slow.stream.set_nonblocking(true).expect("a socket");
    // Until neither side's buffers take any more: the broker holds a bounded part of the answers and reads no further.
    let mut sent: Vec<u8> = Vec::new();
    let (mut correlation, mut refused) = (0, 0);
    while refused < 200 {
        if sent.is_empty() {
            sent = (correlation..correlation + 1000).flat_map(api_versions).collect();
            correlation += 1000;
        }
        match slow.stream.write(&sent) {
            Ok(count) => {
                sent.drain(..count);
                refused = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refused += 1;
                // Another client's whole turn is the broker's chance to read on, if it would.
                broker.connect().ask();
            }
        }
    }
    assert!(broker.metric("vltava_request_memory_bytes") < 8 << 20);
    slow.stream.set_nonblocking(false).expect("a socket");
    let mut writer = slow.stream.try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || writer.write_all(&sent));
    for expected in 0..correlation {
        assert_eq!(slow.answer(), expected);
    }
    writing.join().expect("no panic").expect("all sent");
    slow.correlation = correlation;
    slow.ask();
}

#[test]
fn many_connections_are_served_at_once() {
    let broker = Broker::start(&[]);
    let mut clients: Vec<Client> = (0..400).map(|_| broker.connect()).collect();
    for client in &mut clients {
        client.send(&api_versions(9));
    }
    for client in &mut clients {
        assert_eq!(client.answer(), 9);
    }
    assert_eq!(broker.metric("vltava_connections"), 400);
}

#[test]
fn an_address_has_as_many_connections_as_it_may() {
    let broker = Broker::start(&["max.connections.per.ip=2"]);
    let mut first = broker.connect();
    let mut second = broker.connect();
    first.ask();
    second.ask();
    assert!(broker.connect().is_closed());
    drop(second);
    // The broker learns of the close in its own time; until then it refuses.
    loop {
        let mut third = broker.connect();
        third.send(&api_versions(3));
        if third.is_served() {
            break;
        }
    }
    first.ask();
}

#[test]
fn beyond_max_connections_one_waits_until_another_closes() {
    let broker = Broker::start(&["max.connections=1"]);
    let mut first = broker.connect();
    first.ask();
    let mut second = broker.connect();
    second.send(&api_versions(2));
    first.ask();
    drop(first);
    assert_eq!(second.answer(), 2);
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let broker = Broker::start(&["connections.max.idle.ms=300"]);
    let mut busy = broker.connect();
    let mut idle = broker.connect();
    let mut half = broker.connect();
    idle.ask();
    half.send(&api_versions(1)[..7]);
    for quiet in [&mut idle, &mut half] {
        quiet.stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a duration");
        loop {
            match quiet.stream.read(&mut [0; 16]) {
                Ok(0) => break,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => busy.ask(),
                other => panic!("{other:?}"),
            }
        }
    }
    busy.ask();
}

#[test]
fn a_directory_serves_one_broker() {
    let broker = Broker::start(&[]);
    let options =
        Options { listen: Some("127.0.0.1:0".to_owned()), data_dir: Some(broker.folder.clone()), ..Options::default() };
    let refusal = Server::start(Config::read(&options, &[]).expect("valid")).expect_err("the first one has it");
    assert!(refusal.contains("another broker uses the data directory"), "{refusal}");
}
