//! A million lines of varied real-looking data through kcat into a topic of 12 partitions with zstd, and back by a group
//! of three consumers. What comes back must be what was sent, byte for byte, each line once and in its partition's order.

use crate::broker::{Broker, given};
use crate::case;
use crate::lines::Lines;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const PARTITIONS: usize = 12;
const CONSUMERS: usize = 3;
const GROUP_MAX: Duration = Duration::from_secs(60);
/// How long nothing may come while records are outstanding.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long to listen for records that come twice.
const AFTER: Duration = Duration::from_secs(2);

/// What a consumer says: the partitions that it owns now, or a record.
enum Said {
    Owns(usize, usize),
    Record(Vec<u8>),
}

pub fn run(lines: usize, seed: u64) -> Result<(), String> {
    let broker = if given().is_some() { None } else { Some(Broker::start(&[])) };
    let bootstrap = given().or_else(|| broker.as_ref().map(Broker::bootstrap)).expect("one of the two");
    let folder = std::env::temp_dir().join(format!("vltava-roundtrip-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let outcome = there_and_back(&bootstrap, &folder, lines, seed);
    let _ = fs::remove_dir_all(&folder);
    let log = broker.as_ref().map(Broker::log_tail).unwrap_or_default();
    outcome.map_err(|what| format!("{what}\n-- the broker's log ends with\n{log}"))
}

fn there_and_back(bootstrap: &str, folder: &Path, lines: usize, seed: u64) -> Result<(), String> {
    let file = folder.join("lines");
    let bytes = generate(&file, lines, seed).map_err(|error| format!("{}: {error}", file.display()))?;
    let topic = format!("roundtrip-{seed}-{}", std::process::id());
    case::prepare("librdkafka/create_topic.py", &[&topic, &PARTITIONS.to_string()], bootstrap)?;

    let (said, hear) = channel();
    let consumers: Vec<Child> = (0..CONSUMERS).map(|index| consume(bootstrap, &topic, index, &said)).collect();
    drop(said);
    let got = wait_for_group(&hear).and_then(|()| {
        let start = Instant::now();
        produce(bootstrap, &topic, &file)?;
        let sent = start.elapsed();
        let got = collect(&hear, lines)?;
        println!(
            "sent in {:.1} s, all back after {:.1} s",
            sent.as_secs_f64(),
            (start.elapsed() - AFTER).as_secs_f64()
        );
        Ok(got)
    });
    for mut consumer in consumers {
        let _ = consumer.kill();
        let _ = consumer.wait();
    }
    let sent = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let partitions = compare(&sent, &got?)?;
    println!("{lines} lines, {bytes} bytes, {partitions} partitions, {CONSUMERS} consumers: identical (seed {seed})");
    Ok(())
}

fn generate(path: &Path, count: usize, seed: u64) -> std::io::Result<usize> {
    let mut file = BufWriter::new(File::create(path)?);
    let (mut lines, mut line, mut bytes) = (Lines::new(seed), String::new(), 0);
    for _ in 0..count {
        line.clear();
        lines.next(&mut line);
        line.push('\n');
        file.write_all(line.as_bytes())?;
        bytes += line.len();
    }
    file.flush()?;
    Ok(bytes)
}

fn produce(bootstrap: &str, topic: &str, file: &Path) -> Result<(), String> {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", bootstrap, "-t", topic, "-P", "-z", "zstd", "-X", "acks=all", "-X", "linger.ms=20", "-l"])
        .arg(file);
    let status = kcat.status().map_err(|error| format!("cannot start kcat: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("kcat's producer ended with {status}")) }
}

/// Starts a member of the group, whose words and records go to `said`.
fn consume(bootstrap: &str, topic: &str, index: usize, said: &Sender<Said>) -> Child {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", bootstrap, "-G", topic, "-X", "auto.offset.reset=earliest", "-u", "-f", "%p %s\n", topic]);
    let mut child = kcat
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat was found when the clients were installed");
    let (output, words) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let to = said.clone();
    thread::spawn(move || {
        for line in BufReader::new(words).lines().map_while(Result::ok).filter(|line| line.contains("rebalanced")) {
            let owned = line.split_once("assigned:").map_or(0, |(_, list)| list.matches('[').count());
            let _ = to.send(Said::Owns(index, owned));
        }
    });
    let to = said.clone();
    thread::spawn(move || {
        for line in BufReader::with_capacity(1 << 20, output).split(b'\n').map_while(Result::ok) {
            let _ = to.send(Said::Record(line));
        }
    });
    child
}

/// Until every member owns its share.
fn wait_for_group(hear: &Receiver<Said>) -> Result<(), String> {
    let (start, mut owned) = (Instant::now(), [0; CONSUMERS]);
    while owned != [PARTITIONS / CONSUMERS; CONSUMERS] {
        let left =
            GROUP_MAX.checked_sub(start.elapsed()).ok_or_else(|| format!("the group does not settle: {owned:?}"))?;
        match hear.recv_timeout(left) {
            Ok(Said::Owns(index, count)) => owned[index] = count,
            Ok(Said::Record(_)) => return Err("a record came before any was sent".to_owned()),
            Err(_) => return Err(format!("the group does not settle: {owned:?}")),
        }
    }
    Ok(())
}

/// The records, and those that come too many.
fn collect(hear: &Receiver<Said>, count: usize) -> Result<Vec<Vec<u8>>, String> {
    let mut got = Vec::with_capacity(count);
    loop {
        let patience = if got.len() < count { SILENCE_MAX } else { AFTER };
        match hear.recv_timeout(patience) {
            Ok(Said::Record(record)) => got.push(record),
            Ok(Said::Owns(..)) => {}
            Err(_) if got.len() < count => return Err(format!("{} of {count} records came back", got.len())),
            Err(_) => return Ok(got),
        }
    }
}

/// Checks each record against the lines sent; how many partitions were used.
fn compare(sent: &[u8], got: &[Vec<u8>]) -> Result<usize, String> {
    let lines: Vec<&[u8]> = sent.strip_suffix(b"\n").unwrap_or(sent).split(|byte| *byte == b'\n').collect();
    let places: HashMap<&[u8], usize> = lines.iter().enumerate().map(|(place, line)| (*line, place)).collect();
    let mut last_of: HashMap<&[u8], usize> = HashMap::new();
    let mut seen = vec![false; lines.len()];
    for record in got {
        let split = record.iter().position(|byte| *byte == b' ').ok_or("a record without a partition")?;
        let (partition, line) = (&record[..split], &record[split + 1..]);
        let shown = || String::from_utf8_lossy(line).into_owned();
        let place = *places.get(line).ok_or_else(|| format!("a line came back that was not sent: {}", shown()))?;
        if std::mem::replace(&mut seen[place], true) {
            return Err(format!("line {place} came back twice: {}", shown()));
        }
        if last_of.insert(partition, place).is_some_and(|before| before > place) {
            return Err(format!("line {place} is out of order in partition {}", String::from_utf8_lossy(partition)));
        }
    }
    match seen.iter().position(|seen| !seen) {
        Some(place) => Err(format!("line {place} did not come back: {}", String::from_utf8_lossy(lines[place]))),
        None => Ok(last_of.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[track_caller]
    fn check(got: &[&str], outcome: Result<usize, &str>) {
        let got: Vec<Vec<u8>> = got.iter().map(|record| record.as_bytes().to_vec()).collect();
        let said = compare(b"a\nb\nc\n", &got);
        assert_eq!(
            said.as_ref().map_err(|what| what.split(':').next().unwrap_or(what)),
            outcome.as_ref().map_err(|what| *what)
        );
    }

    #[test]
    fn only_the_same_lines_in_order_are_identical() {
        check(&["0 a", "1 b", "0 c"], Ok(2));
        check(&["0 a", "1 c"], Err("line 1 did not come back"));
        check(&["0 a", "1 c", "1 b"], Err("line 1 is out of order in partition 1"));
        check(&["0 a", "0 a", "1 b", "1 c"], Err("line 0 came back twice"));
        check(&["0 a", "0 x"], Err("a line came back that was not sent"));
    }
}
