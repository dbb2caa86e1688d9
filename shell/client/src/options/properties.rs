//! Files of options as Java writes them: `.properties`. Must never know which options there are.

use std::str::Chars;

/// Reads `name=value` lines (`:` and blanks part them as well) with Java's comments, continued lines and escapes. A name
/// that comes twice has its last value, as in Java.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut options = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.starts_with(['#', '!']) || logical.is_empty() {
            continue;
        }
        while logical.chars().rev().take_while(|last| *last == '\\').count() % 2 == 1 {
            logical.pop();
            logical.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let (name, value) = split(&logical)?;
        options.retain(|(known, _)| *known != name);
        options.push((name, value));
    }
    Ok(options)
}

fn split(line: &str) -> Result<(String, String), String> {
    let (mut name, mut rest) = (String::new(), line.chars());
    loop {
        let before = rest.clone();
        match rest.next() {
            None => break,
            Some('\\') => name.push(escaped(&mut rest)?),
            Some('=' | ':' | ' ' | '\t' | '\u{c}') => {
                rest = before;
                break;
            }
            Some(plain) => name.push(plain),
        }
    }
    let value = rest.as_str().trim_start_matches([' ', '\t', '\u{c}']);
    let value = value.strip_prefix(['=', ':']).unwrap_or(value).trim_start_matches([' ', '\t', '\u{c}']);
    let (mut text, mut rest) = (String::new(), value.chars());
    while let Some(next) = rest.next() {
        text.push(if next == '\\' { escaped(&mut rest)? } else { next });
    }
    Ok((name, text))
}

fn escaped(rest: &mut Chars<'_>) -> Result<char, String> {
    Ok(match rest.next() {
        Some('t') => '\t',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('f') => '\u{c}',
        Some('u') => {
            let digits: String = rest.by_ref().take(4).collect();
            let number = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
            let wrong = || format!("`\\u{digits}`: that is no character; write it as itself, in UTF-8");
            number.and_then(char::from_u32).ok_or_else(wrong)?
        }
        Some(other) => other,
        None => '\\',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_java_reads_them() {
        let text = "# a comment\n! another\n\nlinger.ms=5\n batch.size : 1 \\\n   000\nacks all\nempty=\nbare\n\
                    path=C:\\\\logs\\u00e9\nsasl.jaas.config=A required \\\n  user=\"x=y\";\nlinger.ms=7\n\
                    a\\ b\\=c=d=e";
        let read = parse(text).expect("it is right");
        let expected = [
            ("batch.size", "1 000"),
            ("acks", "all"),
            ("empty", ""),
            ("bare", ""),
            ("path", "C:\\logs\u{e9}"),
            ("sasl.jaas.config", "A required user=\"x=y\";"),
            ("linger.ms", "7"),
            ("a b=c", "d=e"),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(parse("x=\\u12").expect_err("it is wrong").contains("no character"));
        assert!(parse("x=\\ud83d\\ude00").expect_err("it is wrong").contains("no character"));
    }
}
