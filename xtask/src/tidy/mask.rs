//! Blanks out comments, strings and character literals, so that what remains can be scanned as code.
//!
//! Every blanked byte becomes a space and every line end stays, so positions and line numbers are those of the source.

/// `text` with everything that is not code turned into spaces.
pub fn mask(text: &str) -> Vec<u8> {
    let source = text.as_bytes();
    let mut code = source.to_vec();
    let mut at = 0;
    while at < source.len() {
        let end = match source[at] {
            b'/' if source.get(at + 1) == Some(&b'/') => line_end(source, at),
            b'/' if source.get(at + 1) == Some(&b'*') => comment_end(source, at),
            b'"' => string_end(source, at),
            b'r' if !is_word_before(source, at) => raw_string_end(source, at),
            b'\'' => character_end(source, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    code
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the byte before `at` makes it part of a longer word; `br"` and `cr"` are prefixes, not words.
fn is_word_before(source: &[u8], at: usize) -> bool {
    match at.checked_sub(1).map(|before| source[before]) {
        Some(b'b' | b'c') => at.checked_sub(2).is_some_and(|before| is_word(source[before])),
        Some(byte) => is_word(byte),
        None => false,
    }
}

fn line_end(source: &[u8], at: usize) -> usize {
    source[at..].iter().position(|byte| *byte == b'\n').map_or(source.len(), |length| at + length)
}

/// Block comments nest.
fn comment_end(source: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_u32);
    while at < source.len() {
        match &source[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(source: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < source.len() {
        match source[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    source.len()
}

/// The end of `r"..."` or `r##"..."##`; `start` itself where no raw string begins there.
fn raw_string_end(source: &[u8], start: usize) -> usize {
    let hashes = source[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = start + 1 + hashes;
    if source.get(open) != Some(&b'"') {
        return start;
    }
    let mut at = open + 1;
    while at < source.len() {
        if source[at] == b'"' && source[at + 1..].iter().take(hashes).filter(|byte| **byte == b'#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    source.len()
}

/// The end of a character literal; `start` itself where the quote opens a lifetime or a label.
fn character_end(source: &[u8], start: usize) -> usize {
    let rest = &source[start + 1..];
    match rest {
        [b'\\', _, tail @ ..] => start + 3 + tail.iter().position(|byte| *byte == b'\'').map_or(0, |length| length + 1),
        [first, ..] => {
            let width = match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ => 4,
            };
            if rest.get(width) == Some(&b'\'') { start + 1 + width + 1 } else { start }
        }
        [] => start,
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[track_caller]
    fn check(source: &str, code: &str) {
        assert_eq!(String::from_utf8(mask(source)).expect("masked bytes are spaces"), code);
    }

    #[test]
    fn only_code_remains() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* { */ */ c", "a                 c");
        check(r#"f("{\"", x)"#, "f(     , x)");
        check(r###"f(r#"{"}"#, br"{")"###, "f(        , b    )");
        check("match '{' { 'a' => &'static b, '\\'' => c }", "match     {     => &'static b,      => c }");
        check("let for_r = r; let é = 'é';", "let for_r = r; let é =     ;");
    }
}
