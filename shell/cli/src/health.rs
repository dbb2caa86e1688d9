//! Which partitions are not as they should be.

use crate::problem::Problem;
use crate::session::Session;
use crate::survey::name;
use serde_json::{Value, json};
use vltava_client::{Overview, Resource, Spot};

#[derive(Debug, Default)]
pub struct Health {
    pub partitions: usize,
    /// A replica is missing from those in sync.
    pub under_replicated: Vec<Spot>,
    /// Fewer are in sync than producers with acks=all need.
    pub under_min_isr: Vec<Spot>,
    /// Nobody can read or write them.
    pub leaderless: Vec<Spot>,
}

impl Health {
    pub async fn of(session: &Session, overview: &Overview) -> Result<Health, Problem> {
        let mut health = Health::default();
        for topic in overview.topics.iter().filter(|topic| topic.error.is_ok()) {
            health.partitions += topic.partitions.len();
            let behind = topic.partitions.iter().filter(|known| known.isr.len() < known.replicas.len());
            let behind: Vec<_> = behind.map(|known| (known.index, known.isr.len())).collect();
            health.under_replicated.extend(behind.iter().map(|(index, _)| (topic.name.clone(), *index)));
            let leaderless = topic.partitions.iter().filter(|known| known.leader.is_none());
            health.leaderless.extend(leaderless.map(|known| (topic.name.clone(), known.index)));
            // Asked only where it may matter: it takes a question for each topic.
            if !behind.is_empty() {
                let doing = format!("asking for the settings of topic `{}`", topic.name);
                let asked = session.client.configs(Resource::Topic(topic.name.clone()));
                let configs = session.ask(doing, asked).await?;
                let least = configs.iter().find(|config| config.name == "min.insync.replicas");
                let least: usize = least.and_then(|config| config.value.as_ref()?.parse().ok()).unwrap_or(1);
                let under = behind.iter().filter(|(_, in_sync)| *in_sync < least);
                health.under_min_isr.extend(under.map(|(index, _)| (topic.name.clone(), *index)));
            }
        }
        Ok(health)
    }

    pub fn json(&self) -> Value {
        let names = |spots: &[Spot]| spots.iter().map(name).collect::<Value>();
        json!({ "partitions": self.partitions, "under_replicated": names(&self.under_replicated),
            "under_min_isr": names(&self.under_min_isr), "without_leader": names(&self.leaderless) })
    }
}
