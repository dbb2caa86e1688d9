//! What an independent implementation makes of the same bytes: both must read every message and write it again as it
//! was. Only valid bytes go there, for it reserves what a length claims.

use crate::sample::MESSAGES;
use crate::{ApiKey, Body, Request, Response};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};
use std::collections::BTreeSet;
use types::Rng;
use types::codec::{Reader, Writer};

/// Messages of each key and version; more show nothing new in ordinary runs.
const SAMPLES: usize = 12;

/// Versions that the other side's table claims, although its requests do not have them.
const CLAIMED: [(ApiKey, i16); 3] =
    [(ApiKey::OffsetCommit, 10), (ApiKey::OffsetFetch, 10), (ApiKey::InitProducerId, 6)];

/// Calls `check` for each key and version that both sides know; returns the keys that the other one does not.
fn each_version(mut check: impl FnMut(ApiKey, TheirKey, i16)) -> BTreeSet<ApiKey> {
    let mut missing = BTreeSet::new();
    for key in ApiKey::ALL {
        let Ok(theirs) = TheirKey::try_from(key.number()) else {
            missing.insert(*key);
            continue;
        };
        let known = theirs.valid_versions();
        let both = |version: &i16| (known.min..=known.max).contains(version) && !CLAIMED.contains(&(*key, *version));
        for version in key.versions().filter(both) {
            check(*key, theirs, version);
        }
    }
    missing
}

fn samples(rng: &mut Rng, name: &str, version: i16) -> Vec<Bytes> {
    let message = MESSAGES.iter().find(|message| message.name == name).expect("the schema has each key's messages");
    (0..SAMPLES).map(|_| Bytes::from(message.sample(rng, version))).collect()
}

fn written(body: &dyn Body, version: i16) -> Bytes {
    let mut writer = Writer::with_capacity(body.size(version));
    body.encode(&mut writer, version);
    writer.buffer.freeze()
}

#[test]
fn both_rewrite_every_request() {
    let mut rng = Rng::new(2);
    each_version(|key, theirs, version| {
        let name = format!("{key}Request");
        for bytes in samples(&mut rng, &name, version) {
            let ours = Request::decode(key, &mut Reader::new(bytes.clone()), version);
            assert_eq!(ours.map(|message| written(&message, version)), Ok(bytes.clone()), "{name} {version}");
            let (mut rest, mut again) = (bytes.clone(), BytesMut::new());
            let message = RequestKind::decode(theirs, &mut rest, version);
            let outcome = message.and_then(|message| message.encode(&mut again, version));
            outcome.unwrap_or_else(|why| panic!("{name} {version}: {why}: {bytes:?}"));
            assert_eq!((again.freeze(), rest.len()), (bytes, 0), "{name} {version}");
        }
    });
}

#[test]
fn both_rewrite_every_response() {
    let mut rng = Rng::new(3);
    each_version(|key, theirs, version| {
        let name = format!("{key}Response");
        for bytes in samples(&mut rng, &name, version) {
            let ours = Response::decode(key, &mut Reader::new(bytes.clone()), version);
            assert_eq!(ours.map(|message| written(&message, version)), Ok(bytes.clone()), "{name} {version}");
            let (mut rest, mut again) = (bytes.clone(), BytesMut::new());
            let message = ResponseKind::decode(theirs, &mut rest, version);
            let outcome = message.and_then(|message| message.encode(&mut again, version));
            outcome.unwrap_or_else(|why| panic!("{name} {version}: {why}: {bytes:?}"));
            assert_eq!((again.freeze(), rest.len()), (bytes, 0), "{name} {version}");
        }
    });
}

#[test]
fn both_agree_on_headers() {
    let mut versions = 0;
    let missing = each_version(|key, theirs, version| {
        versions += 1;
        assert_eq!(key.request_header_version(version), theirs.request_header_version(version), "{key} {version}");
        assert_eq!(key.response_header_version(version), theirs.response_header_version(version), "{key} {version}");
    });
    assert_eq!(missing, BTreeSet::from([ApiKey::StreamsGroupHeartbeat, ApiKey::StreamsGroupDescribe]));
    assert!(versions > 280, "the other side knows {versions} versions");
}
