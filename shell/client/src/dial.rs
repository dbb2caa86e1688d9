//! How connections are made: the socket's options, and what stands between the socket and the protocol. Must never know
//! which broker it is.

use crate::security::{Login, Tls};
use client::Credentials;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, lookup_host};

pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection, whatever is beneath it.
pub type Stream = Box<dyn Duplex>;

#[derive(Clone, Debug, Default)]
pub struct Dialer {
    /// `send.buffer.bytes`, unless the system chooses.
    pub send_buffer_bytes: Option<u32>,
    /// `receive.buffer.bytes`, unless the system chooses.
    pub receive_buffer_bytes: Option<u32>,
    /// What is spoken beneath the protocol.
    pub tls: Option<Arc<Tls>>,
    /// Who the client says it is.
    pub login: Option<Arc<Login>>,
}

/// Credentials that are yet to come.
pub type Identifying = Pin<Box<dyn Future<Output = Result<Credentials>> + Send>>;

impl Dialer {
    /// Tries all addresses of a name, in their order.
    pub async fn dial(&self, host: &str, port: u16) -> Result<Stream> {
        let mut failed = Error::new(ErrorKind::NotFound, "its name has no address");
        for address in lookup_host((host, port)).await? {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            if let Some(bytes) = self.send_buffer_bytes {
                socket.set_send_buffer_size(bytes)?;
            }
            if let Some(bytes) = self.receive_buffer_bytes {
                socket.set_recv_buffer_size(bytes)?;
            }
            match socket.connect(address).await {
                Ok(stream) => {
                    // Small requests wait for nothing; where that cannot be set they are late, not wrong.
                    let _ = stream.set_nodelay(true);
                    return match &self.tls {
                        Some(tls) => Ok(Box::new(tls.wrap(host, stream).await?)),
                        None => Ok(Box::new(stream)),
                    };
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    pub fn identify(&self) -> Identifying {
        let login = self.login.clone();
        Box::pin(async move {
            let login = login.ok_or_else(|| Error::new(ErrorKind::PermissionDenied, "there are no credentials"))?;
            login.credentials().await
        })
    }
}
