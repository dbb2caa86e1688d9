//! Carries out a plan: moves a few partitions at a time, waits for each, and leaves the cluster consistent whenever it is
//! stopped. Must never know why a move is a good one.

use crate::plan::Move;
use crate::problem::Problem;
use crate::session::{Session, Unit, stopped};
use crate::survey::{name, some};
use crate::throttle::{self, Rate};
use indicatif::ProgressBar;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::{Pin, pin};
use std::time::Duration;
use vltava_client::{Error, ErrorCode, NodeId, PartitionIndex, Refused, Spot, Text};

/// Partitions that move at the same time: enough to keep brokers busy, few enough that stopping leaves little under way.
const MOVING_MAX: usize = 32;
const POLL: Duration = Duration::from_millis(500);
/// Between two looks at how much has been copied, in polls.
const SIZES_EVERY: u32 = 4;
/// A broker that restarts is waited for.
const TRIES_MAX: u32 = 30;
const TRY_WAIT: Duration = Duration::from_secs(1);

pub struct Work<'a> {
    pub session: &'a Session,
    pub moves: Vec<Move>,
    pub throttle: Option<Rate>,
    /// The brokers that are alive.
    pub living: BTreeSet<NodeId>,
    /// Moves that were under way before: waited for, and not begun again.
    pub under_way: BTreeSet<Spot>,
    /// Partitions that are to elect their preferred leader besides those that move.
    pub elect: Vec<Spot>,
    /// The command that goes on where this one was stopped.
    pub again: String,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub moved: usize,
    /// Moves that were under way before, and have come to their end.
    pub awaited: usize,
    /// What people should know though all was moved.
    pub warnings: Vec<String>,
}

impl Work<'_> {
    /// Moves, waits until all is moved, and elects the preferred leaders.
    pub async fn run(self) -> Result<Outcome, Problem> {
        let mut outcome = Outcome::default();
        // From here on stopping is not just ending: what was set is to be told of.
        let mut stop = pin!(stopped());
        let throttle = self.throttle.filter(|_| self.moves.iter().any(|known| known.adding().next().is_some()));
        if let Some(rate) = throttle {
            let refused = throttle::set(self.session, rate, &self.living, &self.moves).await;
            let words =
                |said: String| format!("the cluster does not take the throttle, and copies at full speed: {said}");
            outcome.warnings.extend(refused.into_iter().map(words));
        }
        let failed = match self.moves(&mut stop, &mut outcome).await {
            // The throttle stays: what is under way goes on.
            Err(Stopped { is_stopped: true, problem }) => return Err(problem),
            Err(stopped) => Some(stopped.problem),
            Ok(()) => None,
        };
        if throttle.is_some() || !self.under_way.is_empty() {
            // What was under way may have been throttled by a command that was stopped.
            let topics = self.moves.iter().map(|known| known.topic.clone());
            let topics = topics.chain(self.under_way.iter().map(|(topic, _)| topic.to_string())).collect();
            let refused = throttle::clear(self.session, &self.living, &topics).await;
            if throttle.is_some() && outcome.warnings.is_empty() {
                let words = |said| format!("a throttle could not be taken away: {said}");
                outcome.warnings.extend(refused.into_iter().map(words));
            }
        }
        if let Some(problem) = failed {
            return Err(problem);
        }
        self.elect(&mut outcome).await?;
        Ok(outcome)
    }

    async fn moves(&self, stop: &mut Pin<&mut impl Future<Output = ()>>, outcome: &mut Outcome) -> Result<(), Stopped> {
        let mut waiting: VecDeque<&Move> = self.moves.iter().collect();
        let mut flying: BTreeMap<Spot, &Move> = BTreeMap::new();
        let mut before = self.under_way.clone();
        let mut refused = Vec::new();
        let progress = Progress::new(self);
        for round in 0_u32.. {
            let next: Vec<&Move> = waiting.drain(..waiting.len().min(MOVING_MAX - flying.len())).collect();
            refused.extend(self.submit(next, &mut flying).await?);
            if flying.is_empty() && waiting.is_empty() && before.is_empty() {
                break;
            }
            progress.show(self, outcome.moved, &flying, round).await;
            tokio::select! {
                () = &mut *stop => return Err(self.stopped(outcome.moved, flying.len())),
                () = tokio::time::sleep(POLL) => {}
            }
            let moving = patiently(async || self.session.client.reassignments().await).await;
            let moving = moving.map_err(self.session.while_doing("asking which moves go on"))?;
            before.retain(|spot| moving.contains_key(spot));
            let done: Vec<Spot> = flying.keys().filter(|spot| !moving.contains_key(*spot)).cloned().collect();
            for known in done.iter().filter_map(|spot| flying.remove(spot)) {
                outcome.moved += 1;
                progress.finished(known);
            }
        }
        progress.bar.finish_and_clear();
        outcome.awaited = self.under_way.len();
        self.verify(&refused).await
    }

    /// Starts moves; returns those that were refused, in words.
    async fn submit<'m>(
        &self,
        moves: Vec<&'m Move>,
        flying: &mut BTreeMap<Spot, &'m Move>,
    ) -> Result<Vec<String>, Problem> {
        if moves.is_empty() {
            return Ok(Vec::new());
        }
        let nodes = |known: &Move| Some(known.to.iter().copied().map(NodeId).collect::<Vec<_>>());
        let targets: BTreeMap<Spot, _> = moves.iter().map(|known| (spot(known), nodes(known))).collect();
        flying.extend(moves.iter().map(|known| (spot(known), *known)));
        let refused = patiently(async || self.session.client.reassign(targets.clone()).await).await;
        let refused = refused.map_err(self.session.while_doing("moving replicas"))?;
        let said = refused.into_iter().filter_map(|(spot, refused)| {
            flying.remove(&spot);
            // A topic that was deleted meanwhile needs no move.
            let is_gone = refused.code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            (!is_gone).then(|| format!("{}: {refused}", name(&spot)))
        });
        Ok(said.collect())
    }

    fn stopped(&self, moved: usize, flying: usize) -> Stopped {
        let throttle = if self.throttle.is_some() { " and takes the throttle away" } else { "" };
        let problem = Problem::failed(format!(
            "stopped: {moved} of {} partitions are moved, {flying} go on by themselves, and no other is begun. `{}` goes \
             on, `vltava cluster moves` shows what is under way, `vltava cluster moves --cancel` takes that back{throttle}",
            self.moves.len(),
            self.again
        ));
        Stopped { is_stopped: true, problem }
    }

    /// A move that is no longer under way may have been taken back by somebody else.
    async fn verify(&self, refused: &[String]) -> Result<(), Stopped> {
        let mut wrong = refused.to_vec();
        if wrong.is_empty() {
            wrong = self.missed().await?;
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let (count, names) = (wrong.len(), some(wrong.into_iter()));
        Err(Problem::failed(format!("{count} partitions were not moved: {names}; `{}` tries again", self.again)).into())
    }

    /// Partitions that do not lie as planned, once brokers have had the time to learn of it.
    async fn missed(&self) -> Result<Vec<String>, Problem> {
        let mut missed = Vec::new();
        for _ in 0..20 {
            let overview = patiently(async || self.session.client.overview().await).await;
            let overview = overview.map_err(self.session.while_doing("looking at what was moved"))?;
            let lies_as_planned = |known: &Move| {
                let topic = overview.topics.iter().find(|topic| topic.name == *known.topic.as_str());
                let partition = topic.and_then(|topic| topic.partition(PartitionIndex(known.index)));
                partition.is_none_or(|partition| {
                    let here: BTreeSet<i32> = partition.replicas.iter().map(|node| node.0).collect();
                    here == known.to.iter().copied().collect()
                })
            };
            missed =
                self.moves.iter().filter(|known| !lies_as_planned(known)).map(|known| name(&spot(known))).collect();
            if missed.is_empty() {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(missed)
    }

    async fn elect(&self, outcome: &mut Outcome) -> Result<(), Problem> {
        let mut left: BTreeSet<Spot> = self.moves.iter().map(spot).chain(self.elect.iter().cloned()).collect();
        let mut failed: Vec<(Spot, Refused)> = Vec::new();
        for _ in 0..10 {
            if left.is_empty() {
                return Ok(());
            }
            failed = match self.session.client.elect_leaders(false, Some(left.iter().cloned().collect())).await {
                Err(Error::Unsupported) => {
                    outcome.warnings.push("the cluster knows no election of preferred leaders".to_owned());
                    return Ok(());
                }
                done => done.map_err(self.session.while_doing("electing preferred leaders"))?,
            }
            .into_iter()
            .filter_map(|(spot, result)| Some((spot, result.err()?)))
            .collect();
            // A leader that leads already is what was wanted, and a topic that was deleted meanwhile needs none.
            failed.retain(|(_, refused)| {
                !matches!(refused.code, ErrorCode::ELECTION_NOT_NEEDED | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            });
            left = failed.iter().map(|(spot, _)| spot.clone()).collect();
            tokio::time::sleep(POLL).await;
        }
        let said = failed.iter().map(|(spot, refused)| format!("{} ({refused})", name(spot)));
        outcome.warnings.push(format!("the preferred leader could not take over: {}", some(said)));
        Ok(())
    }
}

/// Why there is no going on.
struct Stopped {
    /// A person asked for it.
    is_stopped: bool,
    problem: Problem,
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Stopped {
        Stopped { is_stopped: false, problem }
    }
}

/// Asks again while the broker that is asked is away. Only for what may be done twice.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        match ask().await {
            Err(Error::TimedOut { .. } | Error::Disconnected { .. }) if tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(TRY_WAIT).await;
            }
            done => return done,
        }
    }
}

fn spot(known: &Move) -> Spot {
    (Text::from(known.topic.as_str()), PartitionIndex(known.index))
}

/// The bar: bytes where there are any to copy, else partitions.
struct Progress {
    bar: ProgressBar,
    finished_bytes: std::cell::Cell<u64>,
    has_bytes: bool,
}

impl Progress {
    fn new(work: &Work<'_>) -> Progress {
        let bytes = work.moves.iter().map(Move::bytes_copied).fold(0, u64::saturating_add);
        let has_bytes = bytes > 0;
        let total = if has_bytes { bytes } else { work.moves.len() as u64 };
        let bar = work.session.bar(Some(total), if has_bytes { Unit::Bytes } else { Unit::Things });
        Progress { bar, finished_bytes: std::cell::Cell::new(0), has_bytes }
    }

    fn finished(&self, known: &Move) {
        self.finished_bytes.set(self.finished_bytes.get().saturating_add(known.bytes_copied()));
    }

    async fn show(&self, work: &Work<'_>, moved: usize, flying: &BTreeMap<Spot, &Move>, round: u32) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_message(format!("{moved} of {} partitions", work.moves.len()));
        if !self.has_bytes {
            return self.bar.set_position(moved as u64);
        }
        if round.is_multiple_of(SIZES_EVERY) {
            let copied = copied(work.session, flying).await;
            self.bar.set_position(self.finished_bytes.get().saturating_add(copied));
        }
    }
}

/// How much of what is under way has been copied; a broker that does not say counts for nothing.
async fn copied(session: &Session, flying: &BTreeMap<Spot, &Move>) -> u64 {
    let takers: BTreeSet<i32> = flying.values().flat_map(|known| known.adding()).collect();
    let mut sum = 0_u64;
    for taker in takers {
        for size in session.client.broker_sizes(NodeId(taker)).await.unwrap_or_default() {
            if let Some(known) = flying.get(&size.spot).filter(|known| known.adding().any(|id| id == taker)) {
                sum = sum.saturating_add(size.size_bytes.min(known.bytes));
            }
        }
    }
    sum
}
