//! The four compressions of batches, each bounded in what may come out of it.

use crate::{Codec, Invalid};
use flate2::read::MultiGzDecoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};

/// Kafka's default levels, for those codecs that have levels.
pub const GZIP_LEVEL_DEFAULT: i32 = -1;
pub const LZ4_LEVEL_DEFAULT: i32 = 9;
pub const ZSTD_LEVEL_DEFAULT: i32 = 3;

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
/// lz4 has one level here, which every reader of lz4 understands; its `level` is accepted and changes nothing.
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
            let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(info, out);
            encoder.write_all(plain).expect(MEMORY);
            encoder.finish().expect(MEMORY);
        }
        Codec::Zstd => {
            let range = zstd::compression_level_range();
            let level = level.clamp(*range.start(), *range.end());
            zstd::stream::copy_encode(plain, out, level).expect(MEMORY);
        }
    }
}

/// The decompressed form of `body` as a stream. Streams bound their own buffers; the caller counts what comes out.
pub(crate) fn reader<'a>(codec: Codec, body: &'a [u8], limit_bytes: usize) -> Result<Box<dyn Read + 'a>, Invalid> {
    let bad = |_| Invalid::BadCompression { codec };
    Ok(match codec {
        Codec::None => Box::new(body),
        Codec::Gzip => Box::new(MultiGzDecoder::new(body)),
        Codec::Snappy => Box::new(Snappy::new(body, limit_bytes)),
        Codec::Lz4 => Box::new(FrameDecoder::new(body)),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(body).map_err(bad)?),
    })
}

/// Decompresses all of `body`, which must give at most `limit_bytes`.
pub(crate) fn decompress(codec: Codec, body: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Invalid> {
    let ceiling = u64::try_from(limit_bytes).expect("sizes fit 64 bits").saturating_add(1);
    let mut plain = Vec::new();
    let read = reader(codec, body, limit_bytes)?.take(ceiling).read_to_end(&mut plain);
    read.map_err(|_| Invalid::BadCompression { codec })?;
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
        if length > block.len().saturating_mul(SNAPPY_RATIO_MAX) || length > self.limit_bytes.saturating_add(1) {
            return Err(malformed());
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
