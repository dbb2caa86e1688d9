//! The options together, and TLS between two ends in this process.

use super::*;
use crate::{AdminConfig, ProducerConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn problem(options: &[(&str, &str)]) -> String {
    ProducerConfig::from_map(options.iter().copied()).expect_err("it is refused").to_string()
}

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" password=\"b\";";
const TOKEN: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";

#[test]
fn options_that_do_not_go_together_are_refused_with_their_remedy() {
    let sasl = ("security.protocol", "SASL_PLAINTEXT");
    for (options, expected) in [
        (&[("security.protocol", "TLS")][..], "one of `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT`, `SASL_SSL` is needed"),
        (&[("sasl.mechanism", "PLAIN")], "sasl.mechanism is of no use without SASL: set security.protocol to SASL_SSL"),
        (&[("ssl.truststore.location", "x")], "ssl.truststore.location is of no use without TLS"),
        (&[sasl], "Kerberos is not spoken; set it to PLAIN"),
        (&[sasl, ("sasl.mechanism", "DIGEST-MD5")], "one of `PLAIN`, `SCRAM-SHA-256`"),
        (&[sasl, ("sasl.mechanism", "PLAIN")], "PLAIN has no user: set sasl.jaas.config to `PlainLoginModule required"),
        (
            &[sasl, ("sasl.mechanism", "SCRAM-SHA-256"), ("sasl.jaas.config", PLAIN)],
            "names PlainLoginModule, and sasl.mechanism=SCRAM-SHA-256 needs ScramLoginModule",
        ),
        (&[sasl, ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", "x required a=\"secret\"")], "`;` at its end"),
        (&[("ssl.enabled.protocols", "TLSv1.1")], "TLSv1.2 and TLSv1.3 are spoken"),
        (&[("ssl.cipher.suites", "TLS_RSA_WITH_RC4_128_SHA")], "is not spoken: choose from TLS_AES_256_GCM_SHA384"),
        (&[("ssl.ca.location", "x")], "it is ssl.truststore.location, with ssl.truststore.type=PEM"),
        (&[("sasl.login.callback.handler.class", "x")], "Java classes cannot be loaded"),
        (&[sasl, ("sasl.mechanism", "OAUTHBEARER"), ("sasl.username", "a")], "sasl.username is of no use with this"),
        (
            &[sasl, ("sasl.mechanism", "PLAIN"), ("sasl.oauthbearer.scope", "a")],
            "sasl.oauthbearer.scope is of no use with",
        ),
        (
            &[sasl, ("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.scope", "a")],
            "need sasl.oauthbearer.token.endpoint",
        ),
        (
            &[sasl, ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", PLAIN), ("sasl.username", "a")],
            "password is nothing that this client acts upon here",
        ),
        (
            &[sasl, ("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token.endpoint.url", "ftp://x")],
            "https://HOST:PORT/PATH is needed",
        ),
        (
            &[sasl, ("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token.endpoint.url", "http://x/token")],
            "client.credentials.client.secret: set them",
        ),
    ] {
        let said = problem(options);
        assert!(said.contains(expected), "{options:?}: {said}");
    }
    let hidden = problem(&[sasl, ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", "x required a=\"hunter2\"")]);
    assert!(!hidden.contains("hunter2"), "{hidden}");
    let shown =
        format!("{:?}", AdminConfig::from_map([sasl, ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", PLAIN)]));
    assert!(shown.contains("Login") && !shown.contains("PlainLoginModule"), "{shown}");
}

fn login(options: &[(&str, &str)]) -> AdminConfig {
    let all = [("security.protocol", "SASL_PLAINTEXT"), ("bootstrap.servers", "a:1")];
    AdminConfig::from_map(all.into_iter().chain(options.iter().copied())).expect("it is right")
}

async fn credentials(config: &AdminConfig) -> client::Credentials {
    config.dialer.identify().await.expect("there are some")
}

#[tokio::test]
async fn credentials_are_those_of_the_options() {
    let jaas = login(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", PLAIN)]);
    let words = login(&[("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.username", "a"), ("sasl.password", "b")]);
    let mut nonces = BTreeSet::new();
    for config in [&jaas, &words, &words] {
        let client::Credentials::Password { username, password, nonce, .. } = credentials(config).await else {
            panic!("it is no password")
        };
        assert_eq!((username.as_str(), password.as_str()), ("a", "b"));
        assert!(nonce.len() >= 32 && !nonce.contains(',') && nonces.insert(nonce), "a nonce is used once");
    }
    let given = format!("{TOKEN} unsecuredLoginStringClaim_sub=\"alice\" extension_logicalCluster=\"lkc\";");
    let unsecured = login(&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.jaas.config", &given)]);
    let client::Credentials::Token { token, extensions } = credentials(&unsecured).await else {
        panic!("it is no token")
    };
    assert!(token.starts_with("eyJhbGciOiJub25lIn0.") && token.ends_with('.'), "{token}");
    assert_eq!(extensions, [("logicalCluster".to_owned(), "lkc".to_owned())]);
}

#[tokio::test]
async fn tokens_are_the_programs_or_a_files() {
    let bare = format!("{TOKEN};");
    let missing = login(&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.jaas.config", &bare)]);
    let said = missing.clone().ready(|options| options).expect_err("there is no token").to_string();
    assert!(said.contains("use `token_supplier`"), "{said}");
    let supplied = missing.token_supplier(|| async { Ok(Token::from("t".to_owned())) }).expect("it is OAUTHBEARER");
    let token = |token: &str| client::Credentials::Token { token: token.to_owned(), extensions: Vec::new() };
    assert!(credentials(&supplied).await == token("t"));
    assert!(supplied.ready(|options| options).is_ok());
    let path = std::env::temp_dir().join(format!("vltava-token-{}", std::process::id()));
    std::fs::write(&path, "first\n").expect("it can be written");
    let url = format!("file://{}", path.display());
    let file = login(&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token.endpoint.url", &url)]);
    assert!(credentials(&file).await == token("first"));
    std::fs::write(&path, "second\n").expect("it can be written");
    assert!(credentials(&file).await == token("second"));
    std::fs::remove_file(path).expect("it is there");
    let plain = login(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", PLAIN)]);
    let said = plain.token_supplier(|| async { Err("none".to_owned()) }).expect_err("PLAIN takes none").to_string();
    assert!(said.contains("set sasl.mechanism=OAUTHBEARER"), "{said}");
}

#[tokio::test]
async fn an_oauth_server_is_asked_once_for_as_long_as_its_token_is_good() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let url = format!("http://{}/oauth/token", listener.local_addr().expect("it is bound"));
    let names = [
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.token.endpoint.url", url.as_str()),
        ("sasl.oauthbearer.client.credentials.client.id", "me"),
        ("sasl.oauthbearer.client.credentials.client.secret", "s"),
        ("sasl.oauthbearer.scope", "kafka read"),
    ];
    let config = login(&names);
    let server = tokio::spawn(async move {
        let answers = [
            ("200 OK", r#"{"access_token":"short","expires_in":0}"#),
            ("200 OK", r#"{"access_token":"long","expires_in":3600}"#),
        ];
        let mut heard = Vec::new();
        for (status, body) in answers {
            heard.push(answer(&listener, status, body).await);
        }
        (listener, heard)
    });
    let token = |token: &str| client::Credentials::Token { token: token.to_owned(), extensions: Vec::new() };
    for expected in ["short", "long", "long"] {
        assert!(credentials(&config).await == token(expected), "{expected}");
    }
    let (listener, heard) = server.await.expect("it ends");
    let first = heard[0].to_ascii_lowercase();
    for expected in [
        "post /oauth/token http/1.1",
        "authorization: basic bwu6cw==",
        "grant_type=client_credentials&scope=kafka%20read",
    ] {
        assert!(first.contains(expected), "{first}");
    }
    let refused = login(&names);
    let server = tokio::spawn(async move { answer(&listener, "401 Unauthorized", "no such client").await });
    let error = refused.dialer.identify().await.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("401 Unauthorized: no such client"), "{error}");
    server.await.expect("it ends");
}

/// Answers one request, and returns it.
async fn answer(listener: &TcpListener, status: &str, body: &str) -> String {
    let (mut stream, _) = listener.accept().await.expect("somebody connects");
    let mut heard = Vec::new();
    while !heard.ends_with(b"read") {
        assert!(stream.read_buf(&mut heard).await.expect("it can be read") > 0, "a request ends with its scope");
    }
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it can be written");
    String::from_utf8(heard).expect("it is text")
}

/// An authority and its certificates, in a folder that goes with it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("it signs itself");
        let folder = std::env::temp_dir().join(format!("vltava-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
        let authority = Authority { issuer, folder };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    }

    fn issue(&self, names: &[&str]) -> (String, KeyPair, CertificateDer<'static>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (params, key) = (CertificateParams::new(names).expect("names"), KeyPair::generate().expect("a key"));
        let certificate = params.signed_by(&key, &self.issuer).expect("it is signed");
        (format!("{}{}", key.serialize_pem(), certificate.pem()), key, certificate.der().clone())
    }

    fn options(&self, more: &[(&'static str, &str)]) -> AdminConfig {
        let trusted = self.folder.join("ca.pem").display().to_string();
        let options = [("security.protocol", "SSL"), ("ssl.truststore.location", trusted.as_str())];
        AdminConfig::from_map(options.into_iter().chain(more.iter().copied())).expect("it is right")
    }

    /// A server whose certificate is for these names; it wants one of clients as well, where it is to.
    fn acceptor(&self, names: &[&str], wants_client: bool) -> TlsAcceptor {
        let (_, key, certificate) = self.issue(names);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.expect("there are versions");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("it is a certificate");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let builder = match wants_client {
            true => builder.with_client_cert_verifier(verifier.expect("there is a root")),
            false => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(builder.with_single_cert(vec![certificate], key).expect("they go together")).into()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Connects to a server that says one byte; what the client reads, or why not.
async fn meet(acceptor: &TlsAcceptor, config: &AdminConfig) -> Result<u8, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let acceptor = acceptor.clone();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("somebody connects");
        // Who is refused hears of it by the client.
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let _ = stream.write_u8(7).await;
            let _ = stream.shutdown().await;
        }
    });
    let read = async {
        let mut stream = config.dialer.dial("127.0.0.1", port).await?;
        stream.read_u8().await.map_err(tls::explain)
    };
    let read = read.await;
    server.await.expect("it ends");
    read
}

#[track_caller]
fn said(result: Result<u8, Error>, expected: &str) {
    let error = result.expect_err(expected);
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[tokio::test]
async fn brokers_are_trusted_by_their_authority_and_name() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = ours.acceptor(&["127.0.0.1"], false);
    assert_eq!(meet(&good, &ours.options(&[])).await.ok(), Some(7));
    let old = ours.options(&[("ssl.enabled.protocols", "TLSv1.2")]);
    assert_eq!(meet(&good, &old).await.ok(), Some(7));
    said(meet(&good, &theirs.options(&[])).await, "signed by nobody in the truststore");
    let other = ours.acceptor(&["kafka.example"], false);
    said(meet(&other, &ours.options(&[])).await, "ssl.endpoint.identification.algorithm");
    let careless = [("ssl.endpoint.identification.algorithm", "")];
    assert_eq!(meet(&other, &ours.options(&careless)).await.ok(), Some(7));
    said(meet(&other, &theirs.options(&careless)).await, "signed by nobody in the truststore");
}

#[tokio::test]
async fn clients_show_a_certificate_which_may_change() {
    let (ours, theirs) = (Authority::new("clients"), Authority::new("strangers"));
    let wary = ours.acceptor(&["127.0.0.1"], true);
    said(meet(&wary, &ours.options(&[])).await, "set ssl.keystore.location");
    let path = ours.write("client.pem", &theirs.issue(&["a stranger"]).0);
    let config = ours.options(&[("ssl.keystore.location", &path), ("ssl.keystore.type", "PEM")]);
    said(meet(&wary, &config).await, "set ssl.keystore.location to one of an authority that it knows");
    ours.write("client.pem", &ours.issue(&["a client with a longer name"]).0);
    assert_eq!(meet(&wary, &config).await.ok(), Some(7), "the file is read anew");
    ours.write("client.pem", "half");
    let half = meet(&wary, &config).await.expect_err("the file is being written");
    assert!(half.to_string().contains("client.pem: it is neither PEM nor PKCS #12"), "{half}");
}
