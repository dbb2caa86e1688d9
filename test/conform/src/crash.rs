//! The crash loop: produce with acks=all, `kill -9`, restart, verify, for as many rounds as asked.
//!
//! The load is one long-lived client (`cases/librdkafka/crash.py`) that goes on through every crash; this side only kills
//! and starts. No acknowledged record may be lost, none may come twice, offsets are contiguous, committed offsets hold.

use crate::broker::Broker;
use crate::case;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use types::Rng;

/// The client that writes and checks.
struct Load {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Load {
    fn start(broker: &Broker) -> Result<Load, String> {
        let mut command = case::command("librdkafka/crash.py");
        command.env("BOOTSTRAP", broker.bootstrap()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let ask = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut load = Load { child, ask, answers };
        match load.answer()?.as_str() {
            "ready" => Ok(load),
            other => Err(format!("the load does not start: {other}")),
        }
    }

    fn verify(&mut self, question: &str) -> Result<String, String> {
        writeln!(self.ask, "{question}").map_err(|error| format!("the load is gone: {error}"))?;
        let answer = self.answer()?;
        answer.strip_prefix("ok ").map(str::to_owned).ok_or(answer)
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| format!("the load is gone: {error}"))?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn run(rounds: u64, seed: u64) -> Result<(), String> {
    let mut broker = Broker::start(&[]);
    let mut load = Load::start(&broker)?;
    let mut rng = Rng::new(seed);
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        thread::sleep(Duration::from_millis(30 + rng.below(700)));
        broker.kill();
        // Now and then it dies again as soon as it is up, and sometimes it stays down for longer.
        if rng.one_in(5) {
            broker.again();
            broker.kill();
        }
        if rng.one_in(3) {
            thread::sleep(Duration::from_millis(rng.below(300)));
        }
        let start = Instant::now();
        broker.again();
        slowest = slowest.max(start.elapsed());
        let everything = round == rounds || round % 10 == 0;
        let answer = load.verify(if everything { "verify all" } else { "verify" });
        let counts = answer.map_err(|what| report(&broker, round, seed, &what))?;
        println!("round {round}: {counts} records and commits hold");
    }
    drop(load);
    broker.stop();
    println!(
        "{rounds} rounds: nothing lost, nothing twice, offsets contiguous, commits intact; slowest start {slowest:.0?} (seed {seed})"
    );
    Ok(())
}

/// Keeps the data for whoever looks into it.
fn report(broker: &Broker, round: u64, seed: u64, what: &str) -> String {
    let kept = broker.folder().with_extension("kept");
    let moved = std::fs::rename(broker.folder(), &kept).is_ok();
    let place = if moved { kept } else { broker.folder().to_path_buf() };
    format!("round {round} of seed {seed}: {what}\nthe broker's folder is {}", place.display())
}
