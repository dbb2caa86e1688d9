//! TLS to a broker: whom this client trusts, who it is, and what went wrong in words. Must never know a message of the
//! protocol.

use super::Secret;
use super::store::{Content, Store};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Checked<T> = std::result::Result<T, String>;

/// `ssl.*`
#[derive(Clone, Debug)]
pub struct Options {
    pub truststore: Store,
    pub keystore: Store,
    /// `ssl.key.password`
    pub key_password: Secret,
    /// `ssl.endpoint.identification.algorithm` is https.
    pub names_are_checked: bool,
    /// `ssl.enabled.protocols`: whether version 1.2 and version 1.3 are.
    pub versions: [bool; 2],
    /// `ssl.cipher.suites`; all where there are none.
    pub suites: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        let (truststore, keystore) = (Store::default(), Store::default());
        let key_password = Secret::default();
        Options { truststore, keystore, key_password, names_are_checked: true, versions: [true; 2], suites: Vec::new() }
    }
}

/// How files looked when they were read.
type Stamp = Option<(SystemTime, u64)>;

/// Makes connections; files that have changed are read anew for the next one.
pub struct Tls {
    options: Options,
    made: Mutex<Option<([Stamp; 2], TlsConnector)>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads what the options name.
    pub fn new(options: Options) -> Checked<Tls> {
        let tls = Tls { options, made: Mutex::default() };
        tls.connector()?;
        Ok(tls)
    }

    pub async fn wrap(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let connector = self.connector().map_err(Error::other)?;
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| Error::other("TLS cannot be spoken with a host of this name"))?;
        connector.connect(name, stream).await.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => Error::other(
                "the broker closed the connection at TLS's first word: if it speaks none there, set security.protocol to \
                 PLAINTEXT or SASL_PLAINTEXT",
            ),
            _ => explain(error),
        })
    }

    fn connector(&self) -> Checked<TlsConnector> {
        let stamps = [&self.options.truststore, &self.options.keystore].map(|store| {
            let about = std::fs::metadata(&store.location).ok()?;
            Some((about.modified().ok()?, about.len()))
        });
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = made.as_ref().filter(|(read, _)| *read == stamps) {
            return Ok(connector.clone());
        }
        let connector = TlsConnector::from(Arc::new(self.options.config()?));
        *made = Some((stamps, connector.clone()));
        Ok(connector)
    }
}

impl Options {
    fn config(&self) -> Checked<ClientConfig> {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| self.suites.is_empty() || self.suites.contains(&name(*suite)));
        let provider = Arc::new(provider);
        let versions = [(&TLS12, self.versions[0]), (&TLS13, self.versions[1])];
        let versions: Vec<_> = versions.into_iter().filter_map(|(version, is_on)| is_on.then_some(version)).collect();
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions);
        let builder =
            builder.map_err(|error| format!("ssl.cipher.suites has none of ssl.enabled.protocols: {error}"))?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider).build();
        let inner = inner.map_err(|error| format!("ssl.truststore: {error}"))?;
        let verifier = Arc::new(Verifier { inner, names_are_checked: self.names_are_checked });
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        if self.keystore.is_empty() {
            return Ok(builder.with_no_client_auth());
        }
        let Content { certificates, key } = self.keystore.read("ssl.keystore", &self.key_password)?;
        let key = key.ok_or("ssl.keystore has no private key: add this client's, or leave ssl.keystore out")?;
        let made = builder.with_client_auth_cert(certificates, key);
        made.map_err(|error| format!("ssl.keystore: its key and certificates do not go together: {error}"))
    }

    fn roots(&self) -> Checked<RootCertStore> {
        let mut roots = RootCertStore::empty();
        if self.truststore.is_empty() {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err("this system has no authorities to trust: set ssl.truststore.location".to_owned());
            }
            return Ok(roots);
        }
        for certificate in self.truststore.read("ssl.truststore", &Secret::default())?.certificates {
            roots.add(certificate).map_err(|error| format!("ssl.truststore: {error}"))?;
        }
        if roots.is_empty() { Err("ssl.truststore has no certificate in it".to_owned()) } else { Ok(roots) }
    }
}

/// The name that Kafka has for a cipher suite.
fn name(suite: rustls::SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

/// Checks `ssl.cipher.suites`.
pub fn suites(text: &str) -> Checked<Vec<String>> {
    let known: Vec<String> = ring::DEFAULT_CIPHER_SUITES.iter().map(|suite| name(*suite)).collect();
    let given: Vec<String> =
        text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    match given.iter().find(|name| !known.contains(name)) {
        Some(other) => Err(format!("{other} is not spoken: choose from {}", known.join(", "))),
        None => Ok(given),
    }
}

/// Checks `ssl.enabled.protocols`.
pub fn versions(text: &str) -> Checked<[bool; 2]> {
    let given: Vec<&str> = text.split(',').map(str::trim).collect();
    match given.iter().find(|name| !["TLSv1.2", "TLSv1.3"].contains(name)) {
        Some(_) => Err("TLSv1.2 and TLSv1.3 are spoken: name one of them, or both".to_owned()),
        None => Ok([given.contains(&"TLSv1.2"), given.contains(&"TLSv1.3")]),
    }
}

/// Verifies as ever, but need not care for the name.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    names_are_checked: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at once all else is found right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.names_are_checked => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Says in words what TLS found; what no further try would change is a `PermissionDenied`.
pub fn explain(error: Error) -> Error {
    let Some(found) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else { return error };
    let (kind, why) = match found {
        rustls::Error::InvalidCertificate(why) => (
            ErrorKind::PermissionDenied,
            match why {
                // An authority that was made anew under its old name has another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "the broker's certificate is signed by nobody in the truststore: add its authority to \
                     ssl.truststore.location"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "the broker's certificate is for another host: connect to a name that is in it, or do without this \
                     check by an empty ssl.endpoint.identification.algorithm"
                }
                _ => "the broker's certificate is not valid",
            },
        ),
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity,
        ) => (ErrorKind::PermissionDenied, "the broker speaks none of ssl.enabled.protocols and ssl.cipher.suites"),
        rustls::Error::AlertReceived(_) => (
            ErrorKind::PermissionDenied,
            "the broker wants a certificate of this client that it can trust: set ssl.keystore.location to one of an \
             authority that it knows",
        ),
        rustls::Error::InvalidMessage(_) => {
            (ErrorKind::Other, "it does not speak TLS: set security.protocol to PLAINTEXT or SASL_PLAINTEXT")
        }
        _ => (ErrorKind::Other, "TLS fails"),
    };
    Error::new(kind, format!("{why} ({found})"))
}

/// Bytes that nobody can foresee.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let provider: CryptoProvider = ring::default_provider();
    provider.secure_random.fill(&mut bytes).expect("the system has a random source");
    bytes
}
