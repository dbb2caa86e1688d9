//! Variable-length numbers in plain slices, as records use them: fast where one or two bytes hold the number.

/// Reads forward through a slice; `None` means that the bytes are not what was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    pub rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// An unsigned number of at most 64 bits in at most ten bytes.
    #[inline(always)]
    fn raw(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let second = self.byte()?;
        let low = u64::from(first & 0x7f) | u64::from(second & 0x7f) << 7;
        if second < 0x80 {
            return Some(low);
        }
        self.raw_tail(low)
    }

    fn raw_tail(&mut self, mut value: u64) -> Option<u64> {
        for step in 2..10 {
            let byte = self.byte()?;
            if step == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * step);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    #[inline(always)]
    pub fn varlong(&mut self) -> Option<i64> {
        let raw = self.raw()?;
        Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    #[inline(always)]
    pub fn varint(&mut self) -> Option<i32> {
        i32::try_from(self.varlong()?).ok()
    }

    #[inline(always)]
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// A byte field behind its length, where -1 stands for null. The outer `None` is the malformed field.
    #[inline(always)]
    #[expect(clippy::option_option, reason = "malformed and null are two different things")]
    pub fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }
}

/// Appends a zigzag number.
pub(crate) fn write(out: &mut Vec<u8>, value: i64) {
    let mut raw = (value << 1 ^ value >> 63).cast_unsigned();
    while raw >= 0x80 {
        out.push(u8::try_from(raw & 0x7f | 0x80).expect("the mask leaves eight bits"));
        raw >>= 7;
    }
    out.push(u8::try_from(raw).expect("the loop leaves seven bits"));
}

/// Appends a byte field behind its length, where -1 stands for null.
pub(crate) fn write_nullable(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => write(out, -1),
        Some(bytes) => {
            write(out, length(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

pub(crate) fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("no slice is that long")
}
