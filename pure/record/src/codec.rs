//! The four compressions of batches, each bounded in what may come out of it.

use crate::{Codec, Invalid};
use flate2::read::MultiGzDecoder;
use lz4::{BlockMode, BlockSize, ContentChecksum, EncoderBuilder};
use lz4_flex::frame::FrameDecoder;
use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};

/// Kafka's default levels, for those codecs that have levels.
pub const GZIP_LEVEL_DEFAULT: i32 = -1;
pub const LZ4_LEVEL_DEFAULT: i32 = 9;
pub const ZSTD_LEVEL_DEFAULT: i32 = 3;
/// The highest that the library has; Kafka's, up to 17, ask a library of their own for more of the same.
const LZ4_LEVEL_MAX: u32 = 12;

impl Codec {
    /// The level that Kafka uses where none is configured; 0 for codecs without levels.
    #[must_use]
    pub fn default_level(self) -> i32 {
        match self {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => GZIP_LEVEL_DEFAULT,
            Codec::Lz4 => LZ4_LEVEL_DEFAULT,
            Codec::Zstd => ZSTD_LEVEL_DEFAULT,
        }
    }
}

/// Appends the compressed form of `plain` to `out`. A level outside of the codec's range is taken as the nearest one.
pub(crate) fn compress(codec: Codec, level: i32, plain: &[u8], out: &mut Vec<u8>) {
    const MEMORY: &str = "writing to memory does not fail";
    match codec {
        Codec::None => out.extend_from_slice(plain),
        Codec::Gzip => {
            let level = u32::try_from(level)
                .map_or(flate2::Compression::default(), |level| flate2::Compression::new(level.min(9)));
            let mut encoder = flate2::write::GzEncoder::new(out, level);
            encoder.write_all(plain).expect(MEMORY);
            encoder.finish().expect(MEMORY);
        }
        Codec::Snappy => compress_xerial(plain, out),
        Codec::Lz4 => {
            // Kafka's own reader knows independent blocks only.
            let mut encoder = EncoderBuilder::new()
                .level(u32::try_from(level).unwrap_or(0).min(LZ4_LEVEL_MAX))
                .block_mode(BlockMode::Independent)
                .block_size(BlockSize::Max64KB)
                .checksum(ContentChecksum::NoChecksum)
                .build(out)
                .expect("lz4 finds the memory it needs");
            encoder.write_all(plain).expect(MEMORY);
            encoder.finish().1.expect(MEMORY);
        }
        Codec::Zstd => {
            let range = zstd::compression_level_range();
            let level = level.clamp(*range.start(), *range.end());
            let mut encoder = zstd::stream::write::Encoder::new(out, level).expect("zstd finds the memory it needs");
            // A known size keeps the encoder's tables and the reader's window as small as the batch.
            let size = u64::try_from(plain.len()).expect("sizes fit 64 bits");
            encoder.set_pledged_src_size(Some(size)).expect("the size is told before the first byte");
            encoder.write_all(plain).expect(MEMORY);
            encoder.finish().expect(MEMORY);
        }
    }
}

/// The decompressed form of `body` as a stream. Streams bound their own buffers; the caller counts what comes out.
pub(crate) fn reader<'a>(
    codec: Codec,
    body: &'a [u8],
    limit_bytes: usize,
) -> Result<Box<dyn Read + Send + 'a>, Invalid> {
    let bad = |error| invalid(codec, limit_bytes, &error);
    Ok(match codec {
        Codec::None => Box::new(body),
        Codec::Gzip => Box::new(MultiGzDecoder::new(body)),
        Codec::Snappy => Box::new(Snappy::new(body, limit_bytes)),
        Codec::Lz4 => Box::new(FrameDecoder::new(body)),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(body).map_err(bad)?),
    })
}

/// What a failed read from a reader means.
pub(crate) fn invalid(codec: Codec, limit_bytes: usize, error: &Error) -> Invalid {
    match error.kind() {
        ErrorKind::FileTooLarge => Invalid::TooLarge { limit_bytes },
        _ => Invalid::BadCompression { codec },
    }
}

/// Decompresses all of `body`, which must give at most `limit_bytes`.
pub(crate) fn decompress(codec: Codec, body: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Invalid> {
    let ceiling = u64::try_from(limit_bytes).expect("sizes fit 64 bits").saturating_add(1);
    let mut plain = Vec::new();
    let read = reader(codec, body, limit_bytes)?.take(ceiling).read_to_end(&mut plain);
    read.map_err(|error| invalid(codec, limit_bytes, &error))?;
    if plain.len() > limit_bytes { Err(Invalid::TooLarge { limit_bytes }) } else { Ok(plain) }
}

/// What xerial's framing of snappy begins with: its magic, then two version numbers.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// Plain bytes of one framed block, as Kafka's own clients choose it.
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// No snappy element makes more of its bytes than a copy does: 64 bytes out of 3.
const SNAPPY_RATIO_MAX: usize = 22;

fn compress_xerial(plain: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&XERIAL_HEADER);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in plain.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(chunk).expect("a block of 32 KiB is below snappy's bound");
        let length = u32::try_from(block.len()).expect("a block of 32 KiB stays small");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&block);
    }
}

/// Reads snappy, framed as xerial does or as one raw block, holding one block in memory.
struct Snappy<'a> {
    rest: &'a [u8],
    framed: bool,
    limit_bytes: usize,
    block: Vec<u8>,
    at: usize,
}

impl<'a> Snappy<'a> {
    fn new(body: &'a [u8], limit_bytes: usize) -> Snappy<'a> {
        let framed = body.starts_with(&XERIAL_MAGIC) && body.len() >= XERIAL_HEADER.len();
        let rest = if framed { &body[XERIAL_HEADER.len()..] } else { body };
        Snappy { rest, framed, limit_bytes, block: Vec::new(), at: 0 }
    }

    /// Cuts off the next compressed block.
    fn next_block(&mut self) -> Option<&'a [u8]> {
        if !self.framed {
            return Some(std::mem::take(&mut self.rest));
        }
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (block, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        self.rest = rest;
        Some(block)
    }

    fn refill(&mut self) -> IoResult<()> {
        let malformed = || Error::from(ErrorKind::InvalidData);
        let block = self.next_block().ok_or_else(malformed)?;
        let length = snap::raw::decompress_len(block).map_err(|_| malformed())?;
        // A raw block needs all of its output at once: a length that its input cannot fill is refused unallocated.
        if length > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
            return Err(malformed());
        }
        if length > self.limit_bytes {
            return Err(Error::from(ErrorKind::FileTooLarge));
        }
        self.block.resize(length, 0);
        self.at = 0;
        let written = snap::raw::Decoder::new().decompress(block, &mut self.block).map_err(|_| malformed())?;
        self.block.truncate(written);
        Ok(())
    }
}

impl Read for Snappy<'_> {
    fn read(&mut self, out: &mut [u8]) -> IoResult<usize> {
        while self.at == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.refill()?;
        }
        let count = out.len().min(self.block.len() - self.at);
        out[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lz4_flex::frame::{FrameEncoder, FrameInfo};

    fn text(bytes: usize) -> Vec<u8> {
        b"the river of Prague ".iter().copied().cycle().take(bytes).collect()
    }

    fn check(codec: Codec, body: &[u8], plain: &[u8]) {
        assert_eq!(decompress(codec, body, plain.len()).as_deref(), Ok(plain), "{codec}");
        if !plain.is_empty() {
            let limit_bytes = plain.len() - 1;
            assert_eq!(decompress(codec, body, limit_bytes), Err(Invalid::TooLarge { limit_bytes }), "{codec}");
        }
    }

    #[test]
    fn every_size_and_level_round_trips() {
        for codec in Codec::ALL {
            for bytes in [0, 1, 32 << 10, (32 << 10) + 1, 300_000] {
                for level in [i32::MIN, -1, 0, 1, 9, 17, 19] {
                    let (plain, mut body) = (text(bytes), Vec::new());
                    compress(codec, level, &plain, &mut body);
                    check(codec, &body, &plain);
                }
            }
        }
    }

    #[test]
    fn reads_the_dialects_of_other_writers() {
        let plain = text(200_000);
        check(Codec::Snappy, &snap::raw::Encoder::new().compress_vec(&plain).unwrap(), &plain);

        let info = FrameInfo::new()
            .block_mode(lz4_flex::frame::BlockMode::Linked)
            .block_size(lz4_flex::frame::BlockSize::Max1MB)
            .block_checksums(true)
            .content_checksum(true)
            .content_size(Some(200_000));
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&plain).unwrap();
        check(Codec::Lz4, &encoder.finish().unwrap(), &plain);

        let (mut two_members, mut whole_window) = (Vec::new(), Vec::new());
        compress(Codec::Gzip, 1, &plain[..100], &mut two_members);
        compress(Codec::Gzip, 9, &plain[100..], &mut two_members);
        check(Codec::Gzip, &two_members, &plain);

        // Of unknown size and at the highest level: the widest window that a producer can ask for.
        zstd::stream::copy_encode(&plain[..], &mut whole_window, 22).unwrap();
        check(Codec::Zstd, &whole_window, &plain);
    }

    #[test]
    fn a_higher_level_of_lz4_makes_less_of_it() {
        let mut rng = types::Rng::new(5);
        let words = ["river ", "bridge ", "castle ", "letter ", "trial ", "door ", "clerk ", "law "];
        let plain: Vec<u8> = (0..20_000).flat_map(|_| words[usize::try_from(rng.below(8)).unwrap()].bytes()).collect();
        let size = |level| {
            let mut out = Vec::new();
            compress(Codec::Lz4, level, &plain, &mut out);
            check(Codec::Lz4, &out, &plain);
            out.len()
        };
        assert!(size(12) <= size(9) && size(9) < size(1));
    }

    #[test]
    fn hostile_lengths_are_refused_before_memory_is_taken() {
        let bad = Err(Invalid::BadCompression { codec: Codec::Snappy });
        let claims_four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert_eq!(decompress(Codec::Snappy, &claims_four_gib, usize::MAX >> 1), bad);
        let mut framed = XERIAL_HEADER.to_vec();
        framed.extend([0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
        assert_eq!(decompress(Codec::Snappy, &framed, 1 << 20), bad);
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            assert!(decompress(codec, &[0x80; 40], 1 << 20).is_err(), "{codec}");
        }
    }
}
