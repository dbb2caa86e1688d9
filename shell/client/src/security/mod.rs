//! Who a broker is, and who this client is to it: what the security options mean. Must never know a message of the
//! protocol.

mod jaas;
mod login;
mod store;
pub mod tls;
mod token;

use crate::dial::Dialer;
use client::SaslMechanism;
pub use login::{Login, Source};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
pub use store::Kind;
pub use tls::Tls;
pub use token::{Token, TokenSupplier};

/// Text that gets into no log.
#[derive(Clone, Default)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret()" } else { "Secret(..)" })
    }
}

/// The security options of a client.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// `security.protocol`: whether it is over TLS, and whether the client says who it is.
    pub protocol: (bool, bool),
    pub tls: tls::Options,
    pub sasl: Sasl,
}

/// `sasl.*`
#[derive(Clone, Debug, Default)]
pub struct Sasl {
    pub mechanism: Option<SaslMechanism>,
    pub jaas: Secret,
    pub username: String,
    pub password: Secret,
    /// `sasl.oauthbearer.token.endpoint.url`
    pub token_url: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: String,
}

impl Security {
    /// Has connections made as the options say, of which these were given.
    pub fn secure(self, dialer: &mut Dialer, given: &BTreeSet<&'static str>) -> Result<(), String> {
        let (is_tls, is_sasl) = self.protocol;
        let set = |beginning: &str| given.iter().find(|name| name.starts_with(beginning));
        if let Some(name) = set("sasl.").filter(|_| !is_sasl) {
            return Err(format!(
                "{name} is of no use without SASL: set security.protocol to SASL_SSL or SASL_PLAINTEXT"
            ));
        }
        let strange: &[&str] = match self.sasl.mechanism {
            Some(SaslMechanism::OAuthBearer) => &["sasl.username", "sasl.password"],
            _ => &["sasl.oauthbearer."],
        };
        if let Some(name) = strange.iter().find_map(|beginning| set(beginning)) {
            return Err(format!("{name} is of no use with this sasl.mechanism: leave it out, or change that"));
        }
        let is_used = is_tls || self.sasl.token_url.starts_with("https:");
        if let Some(name) = set("ssl.").filter(|_| !is_used) {
            return Err(format!("{name} is of no use without TLS: set security.protocol to SSL or SASL_SSL"));
        }
        let tls = if is_used { Some(Arc::new(Tls::new(self.tls)?)) } else { None };
        if is_sasl {
            dialer.login = Some(Arc::new(Login::new(self.sasl, tls.clone())?));
        }
        dialer.tls = tls.filter(|_| is_tls);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
