//! Who this client says it is, and where that comes from. Must never know how it is said.

use super::jaas::Jaas;
use super::tls::{self, Tls};
use super::token::{Endpoint, TokenSupplier};
use super::{Sasl, Secret};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use client::{Credentials, SaslMechanism};
use serde_json::{Map, Value, json};
use std::io::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A file with a token is not longer.
const TOKEN_BYTES_MAX: u64 = 1 << 20;
/// Claims of tokens that are not signed, for brokers that are only tried out.
const CLAIM: &str = "unsecuredLoginStringClaim_";
const LIFETIME: &str = "unsecuredLoginLifetimeSeconds";
const EXTENSION: &str = "extension_";

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

pub struct Login {
    pub mechanism: SaslMechanism,
    pub source: Source,
    /// Of OAUTHBEARER's first message.
    extensions: Vec<(String, String)>,
}

pub enum Source {
    Password {
        username: String,
        password: Secret,
        is_delegation_token: bool,
    },
    Supplier(Arc<dyn TokenSupplier>),
    Endpoint(Box<Endpoint>),
    File(String),
    /// A token with these claims that is not signed, for a time.
    Unsecured(Map<String, Value>, Duration),
    /// The user's program is to set a supplier.
    Missing,
}

impl Login {
    /// What the options make of it; `tls` is for a token's endpoint.
    pub fn new(options: Sasl, tls: Option<Arc<Tls>>) -> std::result::Result<Login, String> {
        let mechanism = options.mechanism.ok_or(
            "sasl.mechanism is not set, or GSSAPI: Kerberos is not spoken; set it to PLAIN, SCRAM-SHA-256, \
             SCRAM-SHA-512 or OAUTHBEARER",
        )?;
        let mut jaas = match options.jaas.0.is_empty() {
            true => None,
            false => Some(Jaas::parse(&options.jaas.0).map_err(|why| format!("sasl.jaas.config: {why}"))?),
        };
        let module = match mechanism {
            SaslMechanism::Plain => "PlainLoginModule",
            SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 => "ScramLoginModule",
            SaslMechanism::OAuthBearer => "OAuthBearerLoginModule",
        };
        if let Some(other) = jaas.as_ref().filter(|jaas| jaas.module != module) {
            let (name, other) = (mechanism.name(), &other.module);
            return Err(format!(
                "sasl.jaas.config names {other}, and sasl.mechanism={name} needs {module}: change one"
            ));
        }
        let mut take = |name: &str| jaas.as_mut().and_then(|jaas| jaas.options.remove(name)).unwrap_or_default();
        let source = match mechanism {
            SaslMechanism::OAuthBearer => {
                let client = [take("clientId"), take("clientSecret"), take("scope")];
                let lifetime = take(LIFETIME);
                let claims = take_all(&mut jaas, CLAIM);
                bearer(&options, client, claims, &lifetime, tls)?
            }
            _ => {
                let is_token = mechanism != SaslMechanism::Plain && take("tokenauth").eq_ignore_ascii_case("true");
                let (username, password) = match options.username.is_empty() {
                    true => (take("username"), take("password")),
                    false => (options.username.clone(), options.password.0.clone()),
                };
                if username.is_empty() {
                    return Err(format!(
                        "{} has no user: set sasl.jaas.config to `{module} required username=\"..\" password=\"..\";`, or \
                         sasl.username and sasl.password",
                        mechanism.name()
                    ));
                }
                Source::Password { username, password: Secret(password), is_delegation_token: is_token }
            }
        };
        let extensions = take_all(&mut jaas, EXTENSION);
        if let Some(name) = jaas.as_ref().and_then(|jaas| jaas.options.keys().next()) {
            return Err(format!("sasl.jaas.config: {name} is nothing that this client acts upon here: leave it out"));
        }
        Ok(Login { mechanism, source, extensions })
    }

    /// Credentials for one authentication.
    pub async fn credentials(&self) -> Result<Credentials> {
        let (token, mut extensions) = match &self.source {
            Source::Password { username, password, is_delegation_token } => {
                let nonce = Base64::encode_string(&tls::random::<24>());
                let (username, password, is_delegation_token) =
                    (username.clone(), password.0.clone(), *is_delegation_token);
                return Ok(Credentials::Password { username, password, nonce, is_delegation_token });
            }
            Source::Supplier(supplier) => {
                let token = supplier.token().await.map_err(|why| Error::other(format!("no token: {why}")))?;
                (token.value, token.extensions)
            }
            Source::Endpoint(endpoint) => (endpoint.token().await?, Vec::new()),
            Source::File(path) => (read(path).map_err(|why| Error::other(format!("{path}: {why}")))?, Vec::new()),
            Source::Unsecured(claims, lifetime) => (unsecured(claims.clone(), *lifetime), Vec::new()),
            Source::Missing => {
                let why = "there is no token: see `token_supplier`";
                return Err(Error::new(std::io::ErrorKind::PermissionDenied, why));
            }
        };
        extensions.extend(self.extensions.iter().cloned());
        Ok(Credentials::Token { token, extensions })
    }
}

/// Options that begin alike, without that.
fn take_all(jaas: &mut Option<Jaas>, beginning: &str) -> Vec<(String, String)> {
    let options = jaas.iter_mut().flat_map(|jaas| jaas.options.extract_if(.., |name, _| name.starts_with(beginning)));
    options.map(|(name, value)| (name[beginning.len()..].to_owned(), value)).collect()
}

fn bearer(
    options: &Sasl,
    [id, secret, scope]: [String; 3],
    claims: Vec<(String, String)>,
    lifetime: &str,
    tls: Option<Arc<Tls>>,
) -> std::result::Result<Source, String> {
    let or = |given: &str, named: String| if given.is_empty() { named } else { given.to_owned() };
    let url = &options.token_url;
    if let Some(path) = url.strip_prefix("file://") {
        read(path).map_err(|why| format!("sasl.oauthbearer.token.endpoint.url={url}: {why}"))?;
        return Ok(Source::File(path.to_owned()));
    }
    if !url.is_empty() {
        let (id, secret) = (or(&options.client_id, id), Secret(or(&options.client_secret.0, secret.clone())));
        let endpoint = Endpoint::new(url, id, secret, or(&options.scope, scope), tls)?;
        return Ok(Source::Endpoint(Box::new(endpoint)));
    }
    if [&options.client_id, &options.client_secret.0, &options.scope, &id, &secret, &scope]
        .iter()
        .any(|one| !one.is_empty())
    {
        return Err(
            "an OAuth client's id, secret and scope need sasl.oauthbearer.token.endpoint.url: set it".to_owned()
        );
    }
    if claims.is_empty() {
        return Ok(Source::Missing);
    }
    let seconds = if lifetime.is_empty() { Ok(3600) } else { lifetime.parse() };
    let seconds = seconds.map_err(|_| format!("sasl.jaas.config: {LIFETIME}={lifetime}: a number is needed"))?;
    let claims = claims.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    Ok(Source::Unsecured(claims, Duration::from_secs(seconds)))
}

fn read(path: &str) -> Result<String> {
    if std::fs::metadata(path)?.len() > TOKEN_BYTES_MAX {
        return Err(Error::other("it is too long for a token"));
    }
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}

fn unsecured(mut claims: Map<String, Value>, lifetime: Duration) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    claims.insert("iat".to_owned(), json!(now.as_secs()));
    claims.insert("exp".to_owned(), json!((now + lifetime).as_secs()));
    let part = |value: Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    format!("{}.{}.", part(json!({ "alg": "none" })), part(Value::Object(claims)))
}
