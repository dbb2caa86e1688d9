//! Tokens for OAUTHBEARER: from the user's program, or from an OAuth server by its client credentials grant.

use super::Secret;
use super::tls::Tls;
use crate::dial::Dialer;
use base64ct::{Base64, Encoding};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// An answer with a token is not longer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A token, and what else the broker is told with it (KIP-342).
#[derive(Clone)]
pub struct Token {
    pub value: String,
    pub extensions: Vec<(String, String)>,
}

impl From<String> for Token {
    fn from(value: String) -> Token {
        Token { value, extensions: Vec::new() }
    }
}

/// Brings a token for each authentication, with the reason where it cannot; it may keep one as long as that is good.
/// Any `async` closure that returns `Result<Token, String>` is one.
pub trait TokenSupplier: Send + Sync + 'static {
    fn token(&self) -> Pin<Box<dyn Future<Output = std::result::Result<Token, String>> + Send>>;
}

impl<S, F> TokenSupplier for S
where
    S: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = std::result::Result<Token, String>> + Send + 'static,
{
    fn token(&self) -> Pin<Box<dyn Future<Output = std::result::Result<Token, String>> + Send>> {
        Box::pin(self())
    }
}

/// `sasl.oauthbearer.token.endpoint.url`
pub struct Endpoint {
    url: String,
    host: String,
    port: u16,
    authority: String,
    path: String,
    /// As the header says it.
    authorization: Secret,
    body: String,
    dialer: Dialer,
    /// The last token, and until when it is used.
    kept: Mutex<Option<(String, Instant)>>,
}

impl Endpoint {
    pub fn new(
        url: &str,
        id: String,
        secret: Secret,
        scope: String,
        tls: Option<Arc<Tls>>,
    ) -> std::result::Result<Endpoint, String> {
        const NAME: &str = "sasl.oauthbearer.token.endpoint.url";
        let wrong = || format!("{NAME}={url}: https://HOST:PORT/PATH is needed, or file:///PATH");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("https") => Some(tls.ok_or_else(wrong)?),
            Some("http") => None,
            _ => return Err(wrong()),
        };
        let (host, authority) = (uri.host().ok_or_else(wrong)?, uri.authority().ok_or_else(wrong)?.to_string());
        if id.is_empty() || secret.0.is_empty() {
            let names =
                "sasl.oauthbearer.client.credentials.client.id and sasl.oauthbearer.client.credentials.client.secret";
            return Err(format!("{NAME} is of no use without {names}: set them"));
        }
        let mut body = "grant_type=client_credentials".to_owned();
        if !scope.is_empty() {
            body.push_str("&scope=");
            body.extend(scope.bytes().map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            }));
        }
        Ok(Endpoint {
            url: url.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
            authority,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            authorization: Secret(format!("Basic {}", Base64::encode_string(format!("{id}:{}", secret.0).as_bytes()))),
            body,
            dialer: Dialer { tls, ..Dialer::default() },
            kept: Mutex::default(),
        })
    }

    /// The token that is kept, or a new one; connections that need one together wait for one answer.
    pub async fn token(&self) -> Result<String> {
        let mut kept = self.kept.lock().await;
        if let Some((token, _)) = kept.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(token.clone());
        }
        let asked = Instant::now();
        let said = |error: Error| Error::new(error.kind(), format!("no token from {}: {error}", self.url));
        let answer = self.fetch().await.map_err(said)?;
        let token =
            answer["access_token"].as_str().ok_or_else(|| said(Error::other("there is no access_token in it")))?;
        // Four fifths of its time, as in Kafka.
        let seconds = answer["expires_in"].as_u64().unwrap_or(0).min(86_400 * 365);
        *kept = Some((token.to_owned(), asked + Duration::from_secs(seconds) * 4 / 5));
        Ok(token.to_owned())
    }

    async fn fetch(&self) -> Result<Value> {
        let stream = self.dialer.dial(&self.host, self.port).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Error::other)?;
        let request = Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, &self.authorization.0)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(self.body.clone())))
            .map_err(Error::other)?;
        let answered = async move {
            let response = sender.send_request(request).await.map_err(Error::other)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(Error::other)?;
            Ok::<_, Error>((status, body.to_bytes()))
        };
        // The connection ends once nobody can send over it any more.
        let (_, answered) = tokio::join!(connection, answered);
        let (status, body) = answered?;
        if !status.is_success() {
            let kind = if status.is_client_error() { ErrorKind::PermissionDenied } else { ErrorKind::Other };
            let said: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(Error::new(kind, format!("it answers {status}: {said}")));
        }
        serde_json::from_slice(&body).map_err(|error| Error::other(format!("its answer is no JSON: {error}")))
    }
}
