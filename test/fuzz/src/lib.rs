//! Hostile bytes against the decoders: valid messages, damaged ones and noise, every key and version. Owns the cases and
//! what must hold of each; must never know a broker. A case is a number: the same number is the same bytes.

mod allocations;
mod damage;

use bytes::Bytes;
use std::fmt;
use types::Rng;
use types::codec::{DecodeError, Reader, Writer};
use wire::sample::{MESSAGES, Message};
use wire::{ApiKey, Body, Request, RequestHeader, Response};

/// Bytes that decoding may allocate in all for each byte it is given. The dearest elements take some 35 times as much in
/// memory as on the wire when they are empty; a list that doubles without being filled holds twice that, and what it
/// held before counts again.
const ALLOCATED_BYTES_PER_BYTE: usize = 4 * 36;
const ALLOCATED_BYTES_FREE: usize = 1024;

/// What became of the cases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub cases: u64,
    /// Those whose bytes were a message nevertheless.
    pub valid: u64,
    /// The most that decoding allocated for each byte of a message of 256 bytes or more.
    pub worst: usize,
}

impl Tally {
    /// Runs one case; a broken promise is a panic, whose message names the case.
    pub fn run(&mut self, case: u64) {
        let mut rng = Rng::new(case);
        let subject = Subject::choose(&mut rng);
        let bytes = Bytes::from(subject.bytes(&mut rng));
        let (outcome, allocated) = allocations::count(|| subject.decode(bytes.clone()));
        let most = ALLOCATED_BYTES_PER_BYTE * bytes.len() + ALLOCATED_BYTES_FREE;
        assert!(allocated <= most, "{allocated} bytes allocated for {} bytes of {subject}", bytes.len());
        self.cases += 1;
        if bytes.len() >= 256 {
            self.worst = self.worst.max(allocated / bytes.len());
        }
        if let Ok((body, version)) = outcome {
            self.valid += 1;
            rewrite(body.as_ref(), version, &subject);
        }
    }
}

struct Subject {
    message: &'static Message,
    key: ApiKey,
    is_request: bool,
    version: i16,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.message.name, self.version)
    }
}

type Decoded = (Box<dyn Body>, i16);

impl Subject {
    fn choose(rng: &mut Rng) -> Subject {
        let key = pick(rng, ApiKey::ALL);
        let is_request = !rng.one_in(3);
        let name = format!("{key}{}", if is_request { "Request" } else { "Response" });
        let message = MESSAGES.iter().find(|message| message.name == name).expect("the schema has each key's messages");
        let versions: Vec<i16> = key.versions().collect();
        Subject { message, key: *key, is_request, version: *pick(rng, &versions) }
    }

    fn bytes(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.is_request {
            bytes.extend(self.key.number().to_be_bytes());
            // A damaged version often enough that versions no one has are tried.
            let version = if rng.one_in(50) { self.version.wrapping_add(100) } else { self.version };
            bytes.extend(version.to_be_bytes());
            bytes.extend([0, 0, 0, 9, 0, 2, b'm', b'e']);
            bytes.extend(vec![0; usize::from(self.key.is_flexible(version))]);
        }
        let kept = bytes.len();
        match rng.below(8) {
            0 => bytes.extend(damage::noise(rng)),
            _ => bytes.extend(self.message.sample(rng, self.version)),
        }
        // The header is damaged now and then; else the bodies would be seldom reached.
        let from = if rng.one_in(20) { 0 } else { kept };
        damage::damage(rng, &mut bytes, from);
        bytes
    }

    fn decode(&self, bytes: Bytes) -> Result<Decoded, DecodeError> {
        let mut reader = Reader::new(bytes);
        if !self.is_request {
            let body = Response::decode(self.key, &mut reader, self.version)?;
            return Ok((Box::new(body), self.version));
        }
        let (key, header) = RequestHeader::read(&mut reader)?;
        let version = header.request_api_version;
        Ok((Box::new(Request::decode(key, &mut reader, version)?), version))
    }
}

fn pick<'a, T>(rng: &mut Rng, among: &'a [T]) -> &'a T {
    let count = u64::try_from(among.len()).expect("a length fits 64 bits");
    &among[usize::try_from(rng.below(count)).expect("below a length")]
}

/// What was decoded can be encoded, to the computed size, and that decodes to what encodes the same.
fn rewrite(body: &dyn Body, version: i16, subject: &Subject) {
    let first = encoded(body, version);
    let mut reader = Reader::new(first.clone());
    let again: Result<Box<dyn Body>, DecodeError> = if subject.is_request {
        Request::decode(body.key(), &mut reader, version).map(|body| Box::new(body) as _)
    } else {
        Response::decode(body.key(), &mut reader, version).map(|body| Box::new(body) as _)
    };
    let again = again.unwrap_or_else(|why| panic!("{subject} does not decode what it encoded: {why}"));
    assert_eq!(reader.finish(), Ok(()), "{subject}");
    assert_eq!(encoded(again.as_ref(), version), first, "{subject}");
}

fn encoded(body: &dyn Body, version: i16) -> Bytes {
    let mut writer = Writer::with_capacity(0);
    body.encode(&mut writer, version);
    assert_eq!(writer.buffer.len(), body.size(version), "{} {version}", body.key());
    writer.buffer.freeze()
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_thousand_cases_hold() {
        let mut tally = super::Tally::default();
        (0..20_000).for_each(|case| tally.run(case));
        assert!(tally.valid > 2_000, "too few cases are valid to try anything: {tally:?}");
        assert!(tally.valid < 18_000, "too few cases are damaged: {tally:?}");
    }
}
