//! The workloads: real client engines doing what clients do, and telling the oracle what they were told.

/// Makes an actor of what has a `host`, acts when `next_act` has come and takes the answers to what it asked.
macro_rules! asks {
    ($name:ty) => {
        impl crate::actor::Actor for $name {
            fn handle(
                &mut self,
                now: types::Now,
                input: crate::actor::ActorInput,
                out: &mut Vec<crate::actor::ActorOutput>,
            ) {
                self.host.input(now, input);
                self.answers();
                if now.at >= self.next_act {
                    self.act(now);
                }
                self.host.output(out);
            }

            fn next_wake(&self) -> Option<types::Instant> {
                let engine = crate::host::Engine::next_wake(&self.host.engine);
                engine.into_iter().chain([self.next_act]).min()
            }
        }
    };
}

mod admin;
mod auditor;
mod inspector;
mod member;
mod mover;
mod sender;

pub use admin::{Administrator, NewTopic};
pub use auditor::Auditor;
pub use inspector::Inspector;
pub use member::GroupMember;
pub use mover::Mover;
pub use sender::Sender;

use crate::oracle::Oracle;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use types::Rng;
use wire::ApiKey;

/// Shared by all actors of one world, which is one thread.
pub type SharedOracle = Rc<RefCell<Oracle>>;

/// A client's connection settings: short time-outs, and sometimes the versions of an older client.
#[must_use]
pub fn options(rng: &mut Rng, hosts: &[String]) -> client::Options {
    let mut caps = BTreeMap::new();
    if rng.one_in(3) {
        for key in ApiKey::ALL {
            let versions = key.versions();
            let span = u64::try_from(versions.end() - versions.start() + 1).expect("a range is not negative");
            if rng.one_in(2) {
                let less = i16::try_from(rng.below(span)).expect("few versions");
                caps.insert(*key, versions.end() - less);
            }
        }
    }
    // Who is not told the ids of topics cannot use them (KIP-516).
    if caps.get(&ApiKey::Metadata).is_some_and(|cap| *cap < 10) {
        for (key, last) in
            [(ApiKey::Produce, 12), (ApiKey::Fetch, 12), (ApiKey::OffsetCommit, 9), (ApiKey::OffsetFetch, 9)]
        {
            let cap = caps.entry(key).or_insert(last);
            *cap = last.min(*cap);
        }
    }
    client::Options {
        bootstrap: hosts.iter().map(|host| (host.clone(), crate::broker::PORT)).collect(),
        request_timeout_ms: 1000 + rng.below(2000),
        connect_timeout_ms: 500,
        connect_timeout_ms_max: 500,
        retry_backoff_ms: (5, 100),
        reconnect_backoff_ms: (5, 50),
        metadata_max_age_ms: 300 + rng.below(3000),
        allow_auto_create_topics: false,
        version_caps: caps,
        seed: rng.next_u64(),
        ..client::Options::default()
    }
}
