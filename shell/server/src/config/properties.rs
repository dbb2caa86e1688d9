//! Reads a file of properties as Java writes them: comments, `=` `:` or blanks between name and value, lines that go on
//! after a backslash, escapes. Knows no names.

/// One property and the line it begins at, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Property {
    pub line: usize,
    pub name: String,
    pub value: String,
}

pub fn parse(text: &str) -> Result<Vec<Property>, String> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = String::from(first);
        while goes_on(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        let line = index + 1;
        let (name, value) = split(&logical);
        let unescaped = |text| unescape(text).ok_or_else(|| format!("line {line}: a broken \\u escape"));
        properties.push(Property { line, name: unescaped(name)?, value: unescaped(value)?.trim_end().to_owned() });
    }
    Ok(properties)
}

/// An odd number of backslashes at the end: two are an escaped one.
fn goes_on(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The name ends at the first blank, `=` or `:` that is not escaped; one `=` or `:` among blanks belongs to neither.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let ends = |symbol: char| {
        let end = !escaped && (symbol.is_whitespace() || symbol == '=' || symbol == ':');
        escaped = symbol == '\\' && !escaped;
        end
    };
    let Some(at) = line.find(ends) else { return (line, "") };
    let (name, rest) = line.split_at(at);
    let rest = rest.trim_start();
    (name, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

/// None where a `\u` lacks its four digits.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut symbols = text.chars();
    while let Some(symbol) = symbols.next() {
        if symbol != '\\' {
            plain.push(symbol);
            continue;
        }
        match symbols.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits = symbols.as_str().get(..4)?;
                plain.push(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?);
                symbols = symbols.as_str()[4..].chars();
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_java_writes() {
        let text = "# comment\n! other\n\nlog.dirs = /data/a\nname:value\nonly\nwith blanks here \n\
                    long=one,\\\n   two\nback\\\\slash=c\\:\\\\d\\u0041\nempty=\n";
        let found: Vec<_> = parse(text).expect("well formed").into_iter().map(|p| (p.line, p.name, p.value)).collect();
        let expected = [
            (4, "log.dirs", "/data/a"),
            (5, "name", "value"),
            (6, "only", ""),
            (7, "with", "blanks here"),
            (8, "long", "one,two"),
            (10, "back\\slash", "c:\\dA"),
            (11, "empty", ""),
        ];
        assert_eq!(found, expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())));
        assert_eq!(parse("a=\\u12").err().as_deref(), Some("line 1: a broken \\u escape"));
    }
}
