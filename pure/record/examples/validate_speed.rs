//! Prints what checking a batch costs: `cargo run --release -p vltava-record --example validate_speed`.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a measurement reads a clock")]

use bytes::Bytes;
use record::{Builder, Codec, HEADER_BYTES, Rules, Template, crc32c, records, validate};
use std::hint::black_box;
use std::time::Instant;
use types::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn main() {
    let rules = Rules { client: true, now: NOW, max_message_bytes: 1 << 20, ..Rules::default() };
    for (batch_bytes, value_bytes) in
        [(200, 100), (16 << 10, 100), (64 << 10, 100), (64 << 10, 1024), (900 << 10, 1024)]
    {
        let batch = batch(batch_bytes, value_bytes, Codec::None);
        println!("{} bytes in records of {value_bytes}", batch.len());
        let crc = time("  checksum", &batch, || u64::from(crc32c(&batch[21..])));
        let all = time("  validate", &batch, || accept(&batch, &rules));
        let walk = rate(&batch, all - crc);
        println!("  validate without checksum: {:.0} ns, {walk:.1} GB/s", all - crc);
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = batch(64 << 10, 1024, codec);
        println!("64 KiB in records of 1024 as {codec}: {} bytes", batch.len());
        time("  validate, codec kept", &batch, || accept(&batch, &rules));
        time("  validate, codec kept, compacted", &batch, || accept(&batch, &Rules { compacted: true, ..rules }));
        time("  read all records", &batch, || read_all(&batch));
        let target = Some((codec, codec.default_level()));
        let plain = self::batch(64 << 10, 1024, Codec::None);
        time("  compress for the topic", &plain, || accept(&plain, &Rules { target_codec: target, ..rules }));
    }
}

fn accept(batch: &Bytes, rules: &Rules) -> u64 {
    let batches = validate(batch.clone(), rules).expect("the batch is sound");
    u64::from(batches[0].header.crc)
}

fn read_all(batch: &Bytes) -> u64 {
    let mut reader = records(batch, 1 << 20).expect("the batch is sound");
    let mut bytes = 0;
    while let Some(record) = reader.next_record().expect("the records are sound") {
        bytes += record.value.map_or(0, |value| value.len() as u64);
    }
    bytes
}

/// Values of text-like bytes, which compress to about a half.
fn batch(batch_bytes: usize, value_bytes: usize, codec: Codec) -> Bytes {
    let mut rng = types::Rng::new(1);
    let level = codec.default_level();
    let mut builder = Builder::new(Template { codec, level, ..Template::default() });
    while builder.size_bytes() + value_bytes + 20 <= batch_bytes.max(HEADER_BYTES + value_bytes + 20) {
        let value: Vec<u8> = (0..value_bytes).map(|_| b'a' + (rng.next_u64() % 16) as u8).collect();
        builder.append(NOW, Some(b"a-key"), Some(&value), &[]);
    }
    builder.finish()
}

fn time(name: &str, batch: &Bytes, mut run: impl FnMut() -> u64) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let rounds = (20 << 20) / batch.len() / 4 + 1;
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(run());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / rounds as f64);
    }
    println!("{name}: {best:.0} ns, {:.1} GB/s", rate(batch, best));
    best
}

fn rate(batch: &Bytes, ns: f64) -> f64 {
    batch.len() as f64 / ns
}
