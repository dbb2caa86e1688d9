//! One socket of an engine: connects, hands over what comes and sends what it is given. Must never know a request.

use bytes::{Bytes, BytesMut};
use client::{Event, LinkId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const READ_BYTES: usize = 64 << 10;

/// What happened at a socket; a closing has its cause in words.
#[derive(Debug)]
pub enum Notice {
    Happened(Event),
    Ended(LinkId, String),
}

/// Sends into a socket. Dropping it closes the socket once all is sent. What waits is bounded by what the engine lets
/// out: a producer's `buffer.memory`, else a few requests.
#[derive(Debug)]
pub struct Link {
    outgoing: mpsc::UnboundedSender<Bytes>,
    /// Where it goes; troubles begin with this.
    pub address: String,
}

impl Link {
    pub fn open(id: LinkId, host: String, port: u16, notices: mpsc::Sender<Notice>) -> Link {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let address = address(&host, port);
        let shown = address.clone();
        tokio::spawn(async move {
            let why = run(id, &host, port, queue, &notices).await;
            // Where nobody listens any more, nobody needs to know.
            let _ = notices.send(Notice::Ended(id, format!("{shown}: {why}"))).await;
        });
        Link { outgoing, address }
    }

    pub fn send(&self, bytes: Bytes) {
        // A socket that has ended says so by itself.
        let _ = self.outgoing.send(bytes);
    }
}

/// How an address is shown.
pub fn address(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

async fn run(
    id: LinkId,
    host: &str,
    port: u16,
    mut queue: mpsc::UnboundedReceiver<Bytes>,
    notices: &mpsc::Sender<Notice>,
) -> String {
    // The engine gives up on a connection in its time by dropping the queue's other end.
    let connected = tokio::select! {
        connected = TcpStream::connect((host, port)) => connected,
        () = notices.closed() => return "nobody waits for it".to_owned(),
        () = abandoned(&queue) => return "no connection in time".to_owned(),
    };
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) => return error.to_string(),
    };
    // Small requests wait for nothing; where that cannot be set they are late, not wrong.
    let _ = stream.set_nodelay(true);
    if notices.send(Notice::Happened(Event::Connected(id))).await.is_err() {
        return "nobody waits for it".to_owned();
    }
    let (mut from, mut to) = stream.into_split();
    let reading = async {
        loop {
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            match from.read_buf(&mut buffer).await {
                Ok(0) => return "the broker closed the connection".to_owned(),
                Err(error) => return error.to_string(),
                Ok(_) => {}
            }
            if notices.send(Notice::Happened(Event::Received(id, buffer.freeze()))).await.is_err() {
                return "nobody reads it".to_owned();
            }
        }
    };
    let writing = async {
        while let Some(bytes) = queue.recv().await {
            if let Err(error) = to.write_all(&bytes).await {
                return error.to_string();
            }
        }
        "closed".to_owned()
    };
    tokio::select! { why = reading => why, why = writing => why }
}

async fn abandoned(queue: &mpsc::UnboundedReceiver<Bytes>) {
    while !queue.is_closed() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
