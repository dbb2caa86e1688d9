//! One client, one load, one process: what it sent or read in a second, and what that cost in processor time and memory.
//!
//! `compare.py` runs it for each client in turn against the same broker.

mod confluent;
mod ours;
mod rdkafka;

use confluent_kafka::consumer::KafkaConsumer;
use std::process::ExitCode;
use std::time::Instant;

/// What to do, the same for each client.
pub struct Load {
    pub bootstrap: String,
    pub topic: String,
    pub partitions: i32,
    pub records: u64,
    pub record_bytes: usize,
    pub codec: String,
    /// How many consumers are made where memory is measured.
    pub consumers: usize,
}

impl Load {
    /// Kafka's names, which all three understand.
    pub fn producer_options(&self) -> Vec<(String, String)> {
        let named = [
            ("bootstrap.servers", self.bootstrap.as_str()),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("linger.ms", "5"),
            ("batch.size", "65536"),
            ("compression.type", self.codec.as_str()),
        ];
        named.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    pub fn consumer_options(&self) -> Vec<(String, String)> {
        let named = [
            ("bootstrap.servers", self.bootstrap.as_str()),
            ("group.id", "bench"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
        ];
        named.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Varied text with numbers in it: what compresses to about a half.
    pub fn values(&self) -> Vec<Vec<u8>> {
        const WORDS: [&str; 16] = [
            "river", "bridge", "castle", "stone", "charles", "water", "mill", "island", "order", "payment", "customer",
            "status", "created", "updated", "amount", "currency",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..1024)
            .map(|_| {
                let mut value = String::with_capacity(self.record_bytes + 32);
                while value.len() < self.record_bytes {
                    let number = random();
                    value.push_str(WORDS[(number >> 60) as usize]);
                    value.push_str(&format!("={:x} ", number & 0xff_ffff));
                }
                value.truncate(self.record_bytes);
                value.into_bytes()
            })
            .collect()
    }
}

fn cpu_seconds() -> f64 {
    // SAFETY: getrusage fills the structure it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
}

/// A consumer of one of the clients.
trait Reader: Sized {
    /// Reads all partitions of the topic from their beginnings.
    async fn open(load: &Load) -> Self;
    /// Reads so many records, and says how many bytes their values have.
    async fn read(&mut self, records: u64) -> u64;
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

/// Says what the load's records cost.
async fn measured(load: &Load, work: impl Future<Output = ()>) {
    let (cpu, at) = (cpu_seconds(), Instant::now());
    work.await;
    let (seconds, cpu) = (at.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let gigabytes = load.records as f64 * load.record_bytes as f64 / 1e9;
    println!(
        "{{\"records_per_s\": {:.0}, \"mb_per_s\": {:.1}, \"cpu_s_per_gb\": {:.3}, \"rss_mb\": {:.1}}}",
        load.records as f64 / seconds,
        gigabytes * 1000.0 / seconds,
        cpu / gigabytes,
        resident_bytes() as f64 / 1e6
    );
}

fn consume<R: Reader>(load: &Load) {
    run(measured(load, async {
        let bytes = R::open(load).await.read(load.records).await;
        assert_eq!(bytes, load.records * load.record_bytes as u64, "every byte that was sent");
    }));
}

/// Says what a consumer holds in memory that has read a little of much.
fn hold<R: Reader>(load: &Load) {
    let before = resident_bytes();
    run(async {
        let mut readers = Vec::new();
        for _ in 0..load.consumers {
            readers.push(R::open(load).await);
        }
        for reader in &mut readers {
            reader.read(1000).await;
        }
        let each = (resident_bytes() - before) as f64 / load.consumers as f64 / 1024.0;
        println!("{{\"kib_per_consumer\": {each:.1}}}");
        std::mem::forget(readers);
    });
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let get = |name: &str, default: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).map_or(default, |value| value.as_str()).to_owned()
    };
    let number = |name: &str, default: &str| get(name, default).parse::<u64>().expect("a number");
    let load = Load {
        bootstrap: get("--bootstrap", "127.0.0.1:9092"),
        topic: get("--topic", "bench"),
        partitions: i32::try_from(number("--partitions", "16")).expect("few"),
        records: number("--records", "1000000"),
        record_bytes: usize::try_from(number("--record-bytes", "100")).expect("small"),
        codec: get("--codec", "none"),
        consumers: usize::try_from(number("--consumers", "50")).expect("few"),
    };
    match (get("--client", "ours").as_str(), get("--mode", "produce").as_str()) {
        ("ours", "produce") => ours::produce(&load),
        ("ours", "consume") => consume::<vltava_client::Consumer>(&load),
        ("ours", "memory") => hold::<vltava_client::Consumer>(&load),
        ("rdkafka", "produce") => rdkafka::produce(&load),
        ("rdkafka", "consume") => consume::<::rdkafka::consumer::BaseConsumer>(&load),
        ("rdkafka", "memory") => hold::<::rdkafka::consumer::BaseConsumer>(&load),
        ("confluent", "produce") => confluent::produce(&load),
        ("confluent", "consume") => consume::<KafkaConsumer<Vec<u8>, Vec<u8>>>(&load),
        ("confluent", "memory") => hold::<KafkaConsumer<Vec<u8>, Vec<u8>>>(&load),
        (client, mode) => {
            eprintln!("--client {client} --mode {mode}: ours, rdkafka or confluent; produce, consume or memory");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
