//! How bytes are damaged. Must never know a message: it only knows where lengths like to be.

use types::Rng;

/// Bytes of no meaning; often enough all the same, for runs of zeros are lists of empty things.
pub fn noise(rng: &mut Rng) -> Vec<u8> {
    let length = if rng.one_in(4) { rng.below(4096) } else { rng.below(64) };
    let same = rng.one_in(2).then(|| [0, 1, 2, 0x7f, 0xff][at(rng, 5)]);
    (0..length).map(|_| same.unwrap_or_else(|| byte(rng))).collect()
}

/// Damages what lies behind `from` in up to four places; leaves one case in eight as it is.
pub fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, from: usize) {
    for _ in 0..rng.below(4) + u64::from(!rng.one_in(2)) {
        if bytes.len() <= from {
            return;
        }
        let place = from + at(rng, bytes.len() - from);
        match rng.below(8) {
            0 => bytes[place] ^= 1 << rng.below(8),
            1 => bytes[place] = byte(rng),
            2 => bytes[place] = [0, 1, 0x7f, 0x80, 0xff][at(rng, 5)],
            // A length that claims two gigabytes, in either encoding.
            3 => overwrite(bytes, place, &[0x7f, 0xff, 0xff, 0xff]),
            4 => overwrite(bytes, place, &[0xff, 0xff, 0xff, 0xff, 0x07]),
            5 => bytes.truncate(place),
            6 => {
                let end = place + at(rng, bytes.len() - place);
                bytes.drain(place..end);
            }
            _ => repeat(rng, bytes, place),
        }
    }
}

fn overwrite(bytes: &mut [u8], place: usize, with: &[u8]) {
    let count = with.len().min(bytes.len() - place);
    bytes[place..place + count].copy_from_slice(&with[..count]);
}

/// A part of the bytes again and again, with a count before it that may be right.
fn repeat(rng: &mut Rng, bytes: &mut Vec<u8>, place: usize) {
    let end = (place + 1 + at(rng, 16)).min(bytes.len());
    let times = 1 + at(rng, 120);
    let part = bytes[place..end].repeat(times);
    bytes.splice(place..place, part);
    if let Some(count) = place.checked_sub(1).and_then(|before| bytes.get_mut(before)) {
        *count = u8::try_from(times + 1).expect("at most 121");
    }
}

fn at(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).expect("below a length")
}

fn byte(rng: &mut Rng) -> u8 {
    rng.next_u64().to_be_bytes()[0]
}
