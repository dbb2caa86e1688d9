//! SCRAM (RFC 5802, RFC 7677) without channel binding, as Kafka speaks it. Must never know a request.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256, Sha512};

/// What a broker may ask of the client's CPU; fewer rounds than the least are worth nothing (as in Kafka).
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;
/// Longest salt that is taken, as base64.
const SALT_LENGTH_MAX: usize = 4096;

#[derive(Clone, Copy)]
pub enum Digest {
    Sha256,
    Sha512,
}

impl Digest {
    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Digest::Sha256 => Sha256::digest(bytes).to_vec(),
            Digest::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    fn mac(self, key: &[u8], message: &str) -> Vec<u8> {
        match self {
            Digest::Sha256 => mac::<Hmac<Sha256>>(key, message),
            Digest::Sha512 => mac::<Hmac<Sha512>>(key, message),
        }
    }

    fn salted(self, password: &str, salt: &[u8], rounds: u32) -> Vec<u8> {
        let mut salted = vec![0; self.hash(&[]).len()];
        match self {
            Digest::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, rounds, &mut salted),
            Digest::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, rounds, &mut salted),
        }
        salted
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub struct Scram {
    digest: Digest,
    password: String,
    nonce: String,
    step: Step,
}

enum Step {
    /// The first message without its header.
    First(String),
    /// What the broker has to prove that it knows.
    Final(Vec<u8>),
    Done,
}

impl Scram {
    pub fn begin(digest: Digest, username: &str, password: String, nonce: &str, is_token: bool) -> (Scram, Vec<u8>) {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={username},r={nonce}{}", if is_token { ",tokenauth=true" } else { "" });
        let message = format!("n,,{bare}").into_bytes();
        (Scram { digest, password, nonce: nonce.to_owned(), step: Step::First(bare) }, message)
    }

    pub fn next(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let said = std::str::from_utf8(challenge).map_err(|_| "the broker's SCRAM message is not text")?;
        let part = |name: &str| said.split(',').find_map(|part| part.strip_prefix(name));
        if let Some(error) = part("e=") {
            return Err(format!("the broker says `{error}`"));
        }
        match std::mem::replace(&mut self.step, Step::Done) {
            Step::First(bare) => {
                let nonce = part("r=").filter(|nonce| nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce));
                let nonce = nonce.ok_or("the broker's SCRAM nonce does not begin with the client's")?;
                let salt = part("s=").filter(|salt| salt.len() <= SALT_LENGTH_MAX);
                let salt =
                    salt.and_then(|salt| Base64::decode_vec(salt).ok()).ok_or("the broker's salt is unreadable")?;
                let rounds = part("i=").and_then(|rounds| rounds.parse().ok()).filter(|i| ITERATIONS.contains(i));
                let rounds = rounds.ok_or_else(|| {
                    let (least, most) = ITERATIONS.into_inner();
                    format!("the broker's iterations for this user are not from {least} to {most}: alter the user")
                })?;
                // "biws" is the header "n,,": no channel is bound.
                let without_proof = format!("c=biws,r={nonce}");
                let signed = format!("{bare},{said},{without_proof}");
                let salted = self.digest.salted(&self.password, &salt, rounds);
                let client_key = self.digest.mac(&salted, "Client Key");
                let signature = self.digest.mac(&self.digest.hash(&client_key), &signed);
                let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
                self.step = Step::Final(self.digest.mac(&self.digest.mac(&salted, "Server Key"), &signed));
                Ok(Some(format!("{without_proof},p={}", Base64::encode_string(&proof)).into_bytes()))
            }
            Step::Final(expected) => {
                let is_proven = part("v=").is_some_and(|proof| proof == Base64::encode_string(&expected));
                let unproven = "the broker does not prove that it knows this user's password: is it the right cluster?";
                if is_proven { Ok(None) } else { Err(unproven.to_owned()) }
            }
            Step::Done => Err("the broker goes on after its last SCRAM message".to_owned()),
        }
    }
}
