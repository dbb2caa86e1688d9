//! What an administrator asks the leaders of partitions. Must never know how an answer is laid out.

use crate::admin::{Client, RETRY_WAIT};
use crate::error::Error;
use client::admin::*;
use client::{ErrorCode, NodeId, Offset, Spot, Target, Text};
use std::collections::{BTreeMap, BTreeSet};

impl Client {
    /// Offsets of partitions; None where there is no such record.
    ///
    /// # Errors
    /// [`Error::Refused`] with `UNKNOWN_TOPIC_OR_PARTITION` where one of them does not exist, and with
    /// `LEADER_NOT_AVAILABLE` where one has no leader all the time.
    pub async fn list_offsets(
        &self,
        spots: impl IntoIterator<Item = Spot>,
        at: OffsetAt,
    ) -> Result<BTreeMap<Spot, Option<Offset>>, Error> {
        let timeout_ms = self.timeout_ms();
        let each =
            self.ask_leaders(spots, |spots| ListOffsets { spots, at, read_committed: false, timeout_ms }).await?;
        each.into_iter().map(|(spot, result)| Ok((spot, result?))).collect()
    }

    /// Deletes all records before an offset of each partition, before the high watermark where that is None; where each
    /// partition begins now, or why nothing was deleted from it.
    pub async fn delete_records(&self, before: BTreeMap<Spot, Option<Offset>>) -> Result<Each<Offset>, Error> {
        let timeout_ms = self.timeout_ms();
        let question = |spots: Vec<Spot>| {
            let before = spots.into_iter().map(|spot| (spot.clone(), before.get(&spot).copied().flatten())).collect();
            DeleteRecords { before, timeout_ms }
        };
        self.ask_leaders(before.keys().cloned(), question).await
    }

    /// The producers that have written to partitions lately.
    pub async fn producers(&self, spots: impl IntoIterator<Item = Spot>) -> Result<Each<Vec<ActiveProducer>>, Error> {
        self.ask_leaders(spots, DescribeProducers).await
    }

    /// Asks the leader of each partition, again while that may help; in the order of the partitions.
    async fn ask_leaders<T, Q>(
        &self,
        spots: impl IntoIterator<Item = Spot>,
        question: impl Fn(Vec<Spot>) -> Q,
    ) -> Result<Each<T>, Error>
    where
        Q: Question<Answer = Each<T>>,
    {
        let mut left: BTreeSet<Spot> = spots.into_iter().collect();
        let mut done = BTreeMap::new();
        let give_up = self.give_up();
        while !left.is_empty() {
            for (leader, spots) in self.by_leader(&left).await? {
                let each = match leader {
                    Some(leader) => self.ask(Target::Node(leader), question(spots)).await?,
                    None => {
                        spots.into_iter().map(|spot| (spot, Err(refused(ErrorCode::LEADER_NOT_AVAILABLE)))).collect()
                    }
                };
                for (spot, result) in each {
                    let may_retry = |refused: &Refused| self.may_retry(refused, give_up).is_ok();
                    if !result.as_ref().is_err_and(may_retry) && left.remove(&spot) {
                        done.insert(spot, result);
                    }
                }
            }
            if !left.is_empty() {
                // A broker may have left a partition out of its answer.
                self.may_retry(&refused(ErrorCode::LEADER_NOT_AVAILABLE), give_up)?;
                tokio::time::sleep(RETRY_WAIT).await;
            }
        }
        Ok(done.into_iter().collect())
    }

    /// Partitions by their leaders; None leads those that have none for now.
    async fn by_leader(&self, spots: &BTreeSet<Spot>) -> Result<BTreeMap<Option<NodeId>, Vec<Spot>>, Error> {
        let names: BTreeSet<Text> = spots.iter().map(|(name, _)| name.clone()).collect();
        let question = DescribeTopics { names: Some(names.into_iter().collect()) };
        let overview = self.ask(Target::Any, question).await?;
        let mut leaders: BTreeMap<Option<NodeId>, Vec<Spot>> = BTreeMap::new();
        for spot in spots {
            let topic = overview.topics.iter().find(|topic| topic.name == spot.0);
            let partition = topic.and_then(|topic| topic.partition(spot.1));
            let known = partition.ok_or_else(|| refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
            leaders.entry(known.leader).or_default().push(spot.clone());
        }
        Ok(leaders)
    }
}

fn refused(code: ErrorCode) -> Refused {
    Refused { code, message: None }
}
