//! Several brokers that are one cluster.

use crate::clock::Clock;
use crate::{Options, TestBroker};
use broker::types::NodeId;
use std::time::{Duration, Instant};

const WHOLE_MAX: Duration = Duration::from_secs(30);

/// Brokers with ids from 1 on, which all vote, under one clock.
#[derive(Debug)]
pub struct TestCluster {
    /// They may be killed, cut off and started again one by one.
    pub brokers: Vec<TestBroker>,
}

impl TestCluster {
    /// Starts so many brokers, each with the same settings.
    ///
    /// # Panics
    /// As [`Options::start`] does.
    #[must_use]
    pub fn start(count: u16, options: &Options) -> TestCluster {
        let clock = options.clock.clone().unwrap_or_else(|| Clock::new(options.stands));
        let options = Options { clock: Some(clock), ..options.clone() };
        let mut brokers: Vec<TestBroker> =
            (1..=i32::from(count)).map(|id| TestBroker::prepare(NodeId(id), options.clone())).collect();
        let voters: Vec<(NodeId, u16)> = brokers.iter().map(|broker| (broker.node, broker.address.port())).collect();
        for broker in &mut brokers {
            broker.voters.clone_from(&voters);
            broker.restart();
        }
        let cluster = TestCluster { brokers };
        cluster.wait_until_whole();
        cluster
    }

    /// Returns when each broker that runs knows all that run.
    ///
    /// # Panics
    /// Where that takes more than half a minute of the machine's time, or time stands still.
    pub fn wait_until_whole(&self) {
        let running = || self.brokers.iter().filter_map(|broker| broker.run.as_ref());
        let (all, end) = (running().count(), Instant::now() + WHOLE_MAX);
        while !running().all(|run| run.observe().is_some_and(|seen| seen.brokers == all)) {
            assert!(Instant::now() < end, "the brokers do not find together");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What clients want for `bootstrap.servers`: the addresses of all brokers.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        let all: Vec<String> = self.brokers.iter().map(TestBroker::bootstrap_servers).collect();
        all.join(",")
    }
}
