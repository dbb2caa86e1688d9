//! Links on real sockets, against ends that answer, vanish, refuse and lie.

use super::*;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as Blocking};
use tokio::sync::Notify;

const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// Keeps what links tell, as a shard would.
struct Shard {
    told: RefCell<VecDeque<String>>,
    frames: RefCell<VecDeque<Bytes>>,
    news: Notify,
    links: Rc<Links>,
    memory: Arc<Memory>,
    scratch: RefCell<Vec<u8>>,
    /// Hang up at the first response.
    hangs_up: Cell<bool>,
}

impl Home for Shard {
    fn tell(&self, input: Input<LocalDisk>) {
        let line = match input {
            Input::LinkOpened { link, local } => format!("{} opened at {}", link.0, local.ip()),
            Input::LinkReceived { link, frame } => {
                let line = format!("{} received {}", link.0, frame.len());
                self.frames.borrow_mut().push_back(frame);
                if self.hangs_up.get() {
                    self.links.hang_up(link);
                }
                line
            }
            Input::LinkClosed { link, reason } => format!("{} closed: {reason}", link.0),
            _ => panic!("links tell of links"),
        };
        self.told.borrow_mut().push_back(line);
        self.news.notify_one();
    }

    fn turn_over(&self) {
        self.links.flush();
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn scratch(&self) -> &RefCell<Vec<u8>> {
        &self.scratch
    }

    fn response_bytes_max(&self) -> usize {
        RESPONSE_BYTES_MAX
    }
}

impl Shard {
    fn dial(self: &Rc<Shard>, number: u64, address: SocketAddr) {
        let host = Text::from(address.ip().to_string());
        self.links.dial(LinkId(number), host, address.port(), Rc::clone(self));
    }

    fn send(&self, number: u64, body: &[u8]) {
        self.links.send(LinkId(number), framed(body).into());
        self.links.flush();
    }

    async fn next(&self) -> String {
        loop {
            if let Some(line) = self.told.borrow_mut().pop_front() {
                return line;
            }
            timeout(Duration::from_secs(20), self.news.notified()).await.expect("something is told in time");
        }
    }

    /// Nothing more is told, however long one waits.
    async fn is_silent(&self) -> bool {
        timeout(Duration::from_millis(50), self.next()).await.is_err()
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    [&length.to_be_bytes(), body].concat()
}

fn read_frame(stream: &mut Blocking) -> Vec<u8> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).expect("a request");
    let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut frame).expect("a whole request");
    frame
}

/// Runs a shard's links against an end that does what `other` says with the one connection it gets.
fn check<F: Future<Output = ()>>(
    other: impl FnOnce(Blocking) + Send + 'static,
    test: impl FnOnce(Rc<Shard>, SocketAddr) -> F,
) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let thread = std::thread::spawn(move || other(listener.accept().expect("a connection").0));
    run(|shard| test(shard, address));
    thread.join().expect("the other end is content");
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Rc<Shard>) -> F) {
    let shard = Rc::new(Shard {
        told: RefCell::default(),
        frames: RefCell::default(),
        news: Notify::new(),
        links: Rc::default(),
        memory: Memory::new(1),
        scratch: RefCell::new(vec![0; 64 << 10]),
        hangs_up: Cell::new(false),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime");
    runtime.block_on(test(Rc::clone(&shard)));
    drop(runtime);
    shard.frames.borrow_mut().clear();
    assert_eq!(shard.memory.held(), 0);
}

#[test]
fn requests_leave_and_responses_come_back_in_order() {
    let echo = |mut stream: Blocking| {
        for _ in 0..4 {
            let frame = read_frame(&mut stream);
            stream.write_all(&framed(&frame)).expect("the link takes it");
        }
    };
    check(echo, |shard, address| async move {
        let large: Vec<u8> = (0..30_000_000_u32).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[2]).collect();
        shard.dial(7, address);
        // Said before it stands: leaves as soon as it does.
        shard.send(7, b"first");
        assert_eq!(shard.next().await, "7 opened at 127.0.0.1");
        assert_eq!(shard.next().await, "7 received 5");
        shard.send(7, &large);
        shard.send(7, b"");
        assert_eq!(shard.next().await, "7 received 30000000");
        assert_eq!(shard.next().await, "7 received 0");
        assert_eq!(shard.frames.borrow()[1], large);
        assert!(shard.memory.held() >= large.len() && shard.memory.held() < large.len() + (1 << 20));
        shard.send(7, b"last");
        assert_eq!(shard.next().await, "7 received 4");
        assert_eq!(shard.next().await, "7 closed: the other end closed it");
        shard.send(7, b"too late");
        assert!(shard.is_silent().await);
    });
}

#[test]
fn a_refused_dial_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    run(|shard| async move {
        let start = std::time::Instant::now();
        shard.dial(1, address);
        let line = shard.next().await;
        assert!(line.starts_with("1 closed: cannot connect to 127.0.0.1 at 127.0.0.1:"), "{line}");
        assert!(line.to_lowercase().contains("refused"), "{line}");
        assert!(start.elapsed() < DIAL_MAX / 2);
        assert!(shard.is_silent().await);
    });
}

#[test]
fn a_name_is_looked_up_and_one_without_addresses_is_named() {
    run(|shard| async move {
        shard.links.dial(LinkId(1), Text::from("no-such-host.invalid"), 1, Rc::clone(&shard));
        let line = shard.next().await;
        assert!(line.starts_with("1 closed: ") && line.contains("no-such-host.invalid"), "{line}");
    });
    let quiet = |mut stream: Blocking| assert_eq!(stream.read(&mut [0; 1]).expect("it is closed cleanly"), 0);
    check(quiet, |shard, address| async move {
        shard.links.dial(LinkId(1), Text::from("localhost"), address.port(), Rc::clone(&shard));
        assert_eq!(shard.next().await, "1 opened at 127.0.0.1");
        shard.links.hang_up(LinkId(1));
        assert!(shard.is_silent().await);
    });
}

#[test]
fn a_link_that_was_hung_up_is_not_heard_of_again() {
    let talks = |mut stream: Blocking| {
        let both = [framed(b"one"), framed(b"two")].concat();
        // The link may be gone before all of it has left.
        let _ = stream.write_all(&both);
        let _ = stream.read(&mut [0; 1]);
    };
    check(talks, |shard, address| async move {
        shard.hangs_up.set(true);
        shard.dial(3, address);
        assert_eq!(shard.next().await, "3 opened at 127.0.0.1");
        assert_eq!(shard.next().await, "3 received 3");
        assert!(shard.is_silent().await);
    });
    // Nor one that had not come about yet.
    run(|shard| async move {
        shard.dial(4, "192.0.2.1:9".parse().expect("an address"));
        shard.links.hang_up(LinkId(4));
        assert!(shard.is_silent().await);
    });
}

#[test]
fn a_length_is_not_believed() {
    for (length, said) in [(i32::MAX, "a response of 2147483647 bytes"), (-1, "a response with a length of -1")] {
        let lies = move |mut stream: Blocking| {
            stream.write_all(&length.to_be_bytes()).expect("sent");
            let _ = stream.read(&mut [0; 1]);
        };
        check(lies, |shard, address| async move {
            shard.dial(1, address);
            shard.next().await;
            let line = shard.next().await;
            assert!(line.contains(said), "{line}");
            assert!(shard.memory.held() < 1 << 20);
        });
    }
}

#[test]
fn an_end_that_breaks_off_in_a_response_is_told_apart() {
    let breaks = |mut stream: Blocking| stream.write_all(&[0, 0, 0, 9, 1]).expect("sent");
    check(breaks, |shard, address| async move {
        shard.dial(1, address);
        shard.next().await;
        assert_eq!(shard.next().await, "1 closed: it ended in the middle of a response");
    });
}

#[test]
fn what_waits_to_leave_is_bounded() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let deaf = move |_stream: Blocking| wait.recv().expect("the test says so");
    check(deaf, |shard, address| async move {
        shard.dial(1, address);
        shard.next().await;
        let request = Bytes::from(vec![0; 1 << 20]);
        (0..200).for_each(|_| shard.links.send(LinkId(1), request.clone()));
        shard.links.flush();
        let line = shard.next().await;
        assert!(line.contains("the other end takes nothing"), "{line}");
        done.send(()).expect("it waits");
    });
}
