//! Certificates and keys in files and options: PEM and PKCS #12. Must never know whom they are shown to.

use super::Secret;
use base64ct::{Base64, Encoding};
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// No store is longer.
const STORE_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pem,
    Pkcs12,
}

/// `ssl.truststore.*` or `ssl.keystore.*`
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Whatever it is where nothing was said, or JKS, which is read as PKCS #12 by Java as well.
    pub kind: Option<Kind>,
    pub location: String,
    pub password: Secret,
    /// PEM in the option itself.
    pub certificates: Secret,
    pub key: Secret,
}

#[derive(Debug, Default)]
pub struct Content {
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: Option<PrivateKeyDer<'static>>,
}

impl Store {
    pub fn is_empty(&self) -> bool {
        self.location.is_empty() && self.certificates.0.is_empty() && self.key.0.is_empty()
    }

    /// Reads it; `name` is how its options begin.
    pub fn read(&self, name: &str, key_password: &Secret) -> Result<Content, String> {
        let is_inline = !(self.certificates.0.is_empty() && self.key.0.is_empty());
        let (origin, bytes) = match (is_inline, self.location.is_empty()) {
            (true, true) => (format!("{name}.*"), format!("{}\n{}", self.certificates.0, self.key.0).into_bytes()),
            (true, false) => return Err(format!("{name}.location is set, and PEM besides it: leave one of them out")),
            (false, _) => (format!("{name}.location={}", self.location), self.load(name)?),
        };
        let wrong = |why: String| format!("{origin}: {why}");
        let is_pem = find(&bytes, b"-----BEGIN ").is_some();
        match bytes[..] {
            [0xfe, 0xed, 0xfe, 0xed, ..] => {
                let (from, to) = (&self.location, self.location.trim_end_matches(".jks"));
                Err(wrong(format!(
                    "it is in Java's old format JKS: convert it with `keytool -importkeystore -srckeystore {from} \
                     -destkeystore {to}.p12 -deststoretype PKCS12`, and name {to}.p12 instead"
                )))
            }
            _ if is_pem && self.kind == Some(Kind::Pkcs12) => Err(wrong(format!("it is PEM: set {name}.type=PEM"))),
            _ if is_pem => pem(&String::from_utf8_lossy(&bytes), key_password).map_err(wrong),
            [0x30, ..] if self.kind == Some(Kind::Pem) => Err(wrong(format!("it is PKCS #12: set {name}.type=PKCS12"))),
            [0x30, ..] => self
                .pkcs12(&bytes)
                .map_err(|why| wrong(format!("{why}: is it PKCS #12, and {name}.password the right one?"))),
            _ => Err(wrong("it is neither PEM nor PKCS #12: convert it to one of them".to_owned())),
        }
    }

    fn load(&self, name: &str) -> Result<Vec<u8>, String> {
        let read = std::fs::metadata(&self.location).and_then(|about| match about.len() {
            ..=STORE_BYTES_MAX => std::fs::read(&self.location),
            bytes => Err(std::io::Error::other(format!("{bytes} bytes are too many for a store"))),
        });
        read.map_err(|error| format!("{name}.location={}: {error}", self.location))
    }

    fn pkcs12(&self, bytes: &[u8]) -> Result<Content, String> {
        let store = KeyStore::from_pkcs12(bytes, &self.password.0, Pkcs12ImportPolicy::Relaxed);
        let store = store.map_err(|error| error.to_string())?;
        let mut content = Content::default();
        for (_, entry) in store.entries() {
            let certificates = match entry {
                KeyStoreEntry::PrivateKeyChain(chain) if content.key.is_none() => {
                    content.key = Some(PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec()).into());
                    chain.certs()
                }
                KeyStoreEntry::Certificate(certificate) => std::slice::from_ref(certificate),
                KeyStoreEntry::PrivateKeyChain(_) | KeyStoreEntry::Secret(_) => &[],
            };
            content.certificates.extend(certificates.iter().map(|found| found.as_der().to_vec().into()));
        }
        Ok(content)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Reads PEM, also all on one line as options files have it.
fn pem(text: &str, password: &Secret) -> Result<Content, String> {
    let (mut content, mut rest) = (Content::default(), text);
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----").ok_or("a BEGIN is cut off")?;
        let (body, after) = body.split_once("-----END ").ok_or_else(|| format!("{label} has no END"))?;
        rest = after;
        let letters: String = body.chars().filter(|letter| !letter.is_whitespace()).collect();
        let der = || Base64::decode_vec(&letters).map_err(|_| format!("{label} is not base64"));
        let key = match label {
            "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => {
                content.certificates.push(der()?.into());
                continue;
            }
            _ if body.contains("ENCRYPTED") => {
                return Err(
                    "its key is encrypted in OpenSSL's old way: convert it with `openssl pkcs8 -topk8`".to_owned()
                );
            }
            "PRIVATE KEY" => PrivateKeyDer::Pkcs8(der()?.into()),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(der()?.into()),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(der()?.into()),
            "ENCRYPTED PRIVATE KEY" => {
                let der = der()?;
                let parsed = pkcs8::EncryptedPrivateKeyInfoRef::try_from(&der[..]);
                let open = parsed.and_then(|key| key.decrypt(&password.0));
                let open =
                    open.map_err(|why| format!("its key cannot be decrypted: is ssl.key.password right? {why}"))?;
                PrivateKeyDer::Pkcs8(open.as_bytes().to_vec().into())
            }
            _ => continue,
        };
        content.key = content.key.or(Some(key));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
