//! The chaos run: real processes in network namespaces under random faults, with producers and groups at work, and the
//! judgement of what all clients were told.
//!
//! The run starts itself again inside namespaces of its own (network, mounts, processes). They end with it, however it
//! ends: no name, address or process of it is ever seen outside. The outer half only holds a pipe; when it goes, by Ctrl-C
//! or otherwise, the inner half ends too.

mod cluster;
mod fault;
mod load;
mod net;
mod node;
mod replicas;
mod timing;

use crate::foreign;
use crate::history::{Figures, History};
use cluster::Cluster;
use fault::Fault;
use load::{Load, PARTITIONS, TOPIC};
use node::Product;
use std::fs;
use std::io::{Read, stdin};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use timing::{Timing, Window};
use types::Rng;

/// How fast all must be well after the last fault.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(10);
/// How long the load goes on after the last fault.
const AFTER: Duration = Duration::from_secs(12);
/// How long groups may read on when nothing more is written.
const REST: Duration = Duration::from_secs(5);
/// A fault that begins sooner after another one meets what that one left, and no service is owed.
const APART_US: u64 = 5_000_000;

#[derive(Clone, Debug)]
pub struct Options {
    pub seconds: u64,
    pub seed: u64,
    pub nodes: usize,
    pub binary: Option<PathBuf>,
    /// The jars of an Apache Kafka to drive instead of a broker of ours.
    pub kafka: Option<String>,
}

impl Options {
    fn product(&self) -> Product {
        match &self.kafka {
            Some(classpath) => Product::Kafka { classpath: classpath.clone() },
            None => Product::Vltava { binary: self.binary.clone().unwrap_or_else(crate::broker::binary) },
        }
    }
}

/// The outer half: starts this program inside namespaces of its own.
pub fn run(options: &Options, arguments: &[String]) -> Result<(), String> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        return Err("the chaos run makes network namespaces, which only root may: run it as root".to_owned());
    }
    for (program, package) in [("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables"), ("unshare", "util-linux")] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.map_err(|_| format!("{program} is not installed: apt-get install {package}"))?;
    }
    foreign::install_python_clients()?;
    let own = std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))?;
    let mut inner = Command::new("unshare");
    inner.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]).arg(own);
    inner.arg("chaos-inside").args(arguments).args(["--seed", &options.seed.to_string()]).stdin(Stdio::piped());
    let mut inner = inner.spawn().map_err(|error| format!("cannot start unshare: {error}"))?;
    // Held until the inner half has ended; closing it is how that half learns of our end.
    let pipe = inner.stdin.take();
    let status = inner.wait().map_err(|error| format!("cannot wait for the run: {error}"))?;
    drop(pipe);
    if status.success() { Ok(()) } else { Err(format!("chaos failed (seed {})", options.seed)) }
}

/// The inner half: the run itself.
pub fn run_inside(options: &Options) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("vltava-chaos-{}-{}", options.seed, now()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    watch_outer(&folder);
    println!(
        "seed {}, {} nodes, {} s of faults, in {}",
        options.seed,
        options.nodes,
        options.seconds,
        folder.display()
    );
    let mut findings = Vec::new();
    let outcome = go(options, &folder, &mut findings);
    findings.extend(outcome.err());
    if findings.is_empty() {
        let _ = fs::remove_dir_all(&folder);
        return Ok(());
    }
    Err(format!("{}\nthe histories and the nodes' logs are kept in {}", findings.join("\n"), folder.display()))
}

/// Ends the run when the outer half is gone. With this process, the first of its namespace, all others end.
fn watch_outer(folder: &Path) {
    let folder = folder.to_path_buf();
    thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        eprintln!("interrupted");
        // What still writes may put a file back once.
        while fs::remove_dir_all(&folder).is_err() && folder.exists() {}
        std::process::exit(130);
    });
}

fn go(options: &Options, folder: &Path, findings: &mut Vec<String>) -> Result<(), String> {
    let mut cluster = Cluster::start(options.nodes, &options.product(), folder)?;
    let mut load = Load::start(cluster.bootstrap(), options.nodes, folder)?;
    let (windows, struck) = faults(options, &mut cluster, &mut load);
    // What went wrong does not hide what the histories say.
    findings.extend(struck.err());
    let healed = now();
    println!("all is healed");
    thread::sleep(AFTER);
    findings.extend(load.check().err());
    findings.extend(cluster.check().err());
    findings.extend(load.finish(REST));
    findings.extend(cluster.stop().err());
    findings.extend(compare(&cluster));
    let mut timing = Timing::new(healed);
    let figures = judge(&load, &mut timing, findings)?;
    report(&windows, &mut timing, findings);
    let verdict = if findings.is_empty() { "nothing lost, nothing twice, all in order" } else { "FAILED" };
    println!(
        "{} faults, {} clients ended on the way: {} records sent, {} acknowledged, {} polled, {} commits, {} assignments: \
         {verdict} (seed {})",
        windows.len(),
        load.lives_ended,
        figures.sent,
        figures.acked,
        figures.polled,
        figures.committed,
        figures.assigned,
        options.seed
    );
    Ok(())
}

/// One fault after the other until the time is up. Everything is healed in the end, if it can be.
fn faults(options: &Options, cluster: &mut Cluster, load: &mut Load) -> (Vec<Window>, Result<(), String>) {
    let mut rng = Rng::new(options.seed);
    let start = Instant::now();
    let mut windows: Vec<Window> = Vec::new();
    thread::sleep(Duration::from_secs(5));
    while start.elapsed() < Duration::from_secs(options.seconds) {
        let fault = Fault::next(&mut rng, options.nodes);
        println!("{:6.1} s  {fault}", start.elapsed().as_secs_f64());
        let from = now();
        let outcome = strike(&fault, cluster, load, &mut rng);
        let healed = now();
        let is_apart = windows.last().is_none_or(|last| last.healed + APART_US < from);
        let is_owed = is_apart && !fault.takes_majority(options.nodes);
        windows.push(Window { name: fault.how.name(), from, healed, is_owed });
        if outcome.is_err() {
            return (windows, outcome);
        }
        thread::sleep(fault.calm);
    }
    (windows, Ok(()))
}

fn strike(fault: &Fault, cluster: &mut Cluster, load: &mut Load, rng: &mut Rng) -> Result<(), String> {
    let start = Instant::now();
    let struck = cluster.strike(fault);
    // A client comes and goes in the middle of it.
    let churned = if rng.one_in(3) { load.churn(rng, !fault.takes_majority(cluster.count())) } else { Ok(()) };
    thread::sleep(fault.lasts.saturating_sub(start.elapsed()));
    cluster.heal(fault)?;
    struck.and(churned).and_then(|()| cluster.check()).and_then(|()| load.check())
}

/// Whether all nodes hold the same.
fn compare(cluster: &Cluster) -> Vec<String> {
    let mut bytes = 0;
    let mut differences = Vec::new();
    for partition in 0..PARTITIONS {
        match replicas::compare(&cluster.data(), &format!("{TOPIC}-{partition}")) {
            Ok(same) => bytes += same,
            Err(difference) => differences.push(difference),
        }
    }
    if differences.is_empty() && cluster.data().len() > 1 {
        println!("all replicas hold the same {bytes} bytes");
    }
    differences
}

fn judge(load: &Load, timing: &mut Timing, findings: &mut Vec<String>) -> Result<Figures, String> {
    let mut history = History::default();
    history.read_folder(load.folder(), |event| timing.add(event))?;
    let figures = history.figures;
    let judged = history.judge();
    if !judged.is_empty() {
        findings.push(judged.to_string());
    }
    if figures.failed > 0 {
        findings.push(format!("{} records were refused to producers that never give up", figures.failed));
    }
    if figures.acked == 0 {
        findings.push("nothing was acknowledged".to_owned());
    }
    Ok(figures)
}

/// Prints how long service stood still, and how fast all was well.
fn report(windows: &[Window], timing: &mut Timing, findings: &mut Vec<String>) {
    println!("longest time between two acknowledgements of a partition, where service is owed:");
    println!("  {:14} {:>6} {:>9} {:>9}", "fault", "times", "median s", "longest s");
    for (name, gaps) in timing.stood_still(windows) {
        let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
        let (median, longest) = (median.as_secs_f64(), longest.as_secs_f64());
        println!("  {name:14} {:>6} {median:>9.2} {longest:>9.2}", gaps.len());
    }
    println!("after the last fault: all answered after {:.1} s", timing.answered_after().as_secs_f64());
    for (group, after) in timing.caught_up_after() {
        match after {
            Some(after) => println!("after the last fault: group {group} caught up after {:.1} s", after.as_secs_f64()),
            None => println!("after the last fault: group {group} never caught up"),
        }
        if after.is_none_or(|after| after > CAUGHT_UP_MAX) {
            findings.push(format!("group {group} did not catch up within {} s", CAUGHT_UP_MAX.as_secs()));
        }
    }
}

/// Microseconds of the clock that the histories use.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    u64::try_from(since).expect("microseconds of some centuries")
}
