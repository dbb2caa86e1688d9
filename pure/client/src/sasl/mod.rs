//! What a client says to be let in: the messages of SASL's mechanisms, one after the other. Must never know a request, a
//! random source or where credentials come from.

mod scram;

use scram::{Digest, Scram};
use std::fmt;

/// `sasl.mechanism`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    OAuthBearer,
}

impl SaslMechanism {
    pub const ALL: [SaslMechanism; 4] =
        [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512, SaslMechanism::OAuthBearer];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            SaslMechanism::OAuthBearer => "OAUTHBEARER",
        }
    }
}

/// Who the client is, good for one authentication: a nonce is never used again.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// For PLAIN and SCRAM.
    Password {
        username: String,
        password: String,
        /// Printable letters without a comma that nobody can foresee.
        nonce: String,
        /// They are a delegation token's id and HMAC (KIP-48).
        is_delegation_token: bool,
    },
    /// For OAUTHBEARER; with what else the broker is to know (KIP-342).
    Token { token: String, extensions: Vec<(String, String)> },
}

/// Secrets get into no log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// A conversation that has begun.
pub enum Exchange {
    /// All has been said; the broker's yes is all that is awaited.
    Said,
    Scram(Scram),
    Token,
    /// The broker has said why it does not take the token, and says no once that is acknowledged.
    TokenRefused(String),
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange(..)")
    }
}

impl Exchange {
    /// The conversation and its first message.
    pub fn begin(mechanism: SaslMechanism, credentials: Credentials) -> Result<(Exchange, Vec<u8>), String> {
        let digest = match mechanism {
            SaslMechanism::ScramSha256 => Some(Digest::Sha256),
            SaslMechanism::ScramSha512 => Some(Digest::Sha512),
            SaslMechanism::Plain | SaslMechanism::OAuthBearer => None,
        };
        match (credentials, digest) {
            (Credentials::Password { username, password, nonce, is_delegation_token }, Some(digest)) => {
                let (scram, first) = Scram::begin(digest, &username, password, &nonce, is_delegation_token);
                Ok((Exchange::Scram(scram), first))
            }
            (Credentials::Password { username, password, .. }, None) if mechanism == SaslMechanism::Plain => {
                if username.contains('\0') || password.contains('\0') {
                    return Err("a NUL in the user's name or password cannot be sent: use others".to_owned());
                }
                Ok((Exchange::Said, format!("\0{username}\0{password}").into_bytes()))
            }
            (Credentials::Token { token, extensions }, None) if mechanism == SaslMechanism::OAuthBearer => {
                let mut message = format!("n,,\u{1}auth=Bearer {token}\u{1}");
                extensions.iter().for_each(|(name, value)| message.push_str(&format!("{name}={value}\u{1}")));
                message.push('\u{1}');
                Ok((Exchange::Token, message.into_bytes()))
            }
            _ => Err(format!("there are no credentials for {}", mechanism.name())),
        }
    }

    /// What to say to the broker's message; None where it was the last.
    pub fn next(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match self {
            Exchange::Scram(scram) => scram.next(challenge),
            Exchange::Token if !challenge.is_empty() => {
                *self = Exchange::TokenRefused(String::from_utf8_lossy(challenge).into_owned());
                Ok(Some(vec![1]))
            }
            Exchange::TokenRefused(why) => Err(format!("the broker does not take the token: {why}")),
            Exchange::Said | Exchange::Token => Ok(None),
        }
    }

    /// More than the broker's word for a no, where it gave it before.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Exchange::TokenRefused(why) => Some(why),
            Exchange::Said | Exchange::Scram(_) | Exchange::Token => None,
        }
    }
}

#[cfg(test)]
mod tests;
