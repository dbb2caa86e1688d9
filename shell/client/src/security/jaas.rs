//! The text of `sasl.jaas.config`, as Java's login modules are configured. Must never know what an option is for.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

#[derive(Debug, PartialEq, Eq)]
pub struct Jaas {
    /// The class's name without its package.
    pub module: String,
    pub options: BTreeMap<String, String>,
}

impl Jaas {
    /// Reads `package.PlainLoginModule required username="alice" password="secret";`.
    pub fn parse(text: &str) -> Result<Jaas, String> {
        const WANTED: &str = "it is not as in: org.apache.kafka.common.security.plain.PlainLoginModule required \
                              username=\"alice\" password=\"secret\";";
        let words = words(text).ok_or_else(|| format!("a quote is not closed; {WANTED}"))?;
        let mut words = words.into_iter();
        let class = words.next().filter(|class| class != ";").ok_or(WANTED)?;
        let flag = words.next().unwrap_or_default().to_ascii_lowercase();
        if !["required", "requisite", "sufficient", "optional"].contains(&flag.as_str()) {
            return Err(format!("after {class} has to come `required`; {WANTED}"));
        }
        let mut options = BTreeMap::new();
        loop {
            let name = words.next().ok_or_else(|| format!("the `;` at its end is missing; {WANTED}"))?;
            if name == ";" {
                break;
            }
            let value = words.next().filter(|sign| sign == "=").and_then(|_| words.next());
            let value = value.filter(|value| value != ";").ok_or_else(|| format!("{name} has no value; {WANTED}"))?;
            options.insert(name, value);
        }
        if words.next().is_some() {
            return Err("there is more than one login module in it: leave one".to_owned());
        }
        let module = class.rsplit('.').next().unwrap_or_default().to_owned();
        Ok(Jaas { module, options })
    }
}

/// Words, quoted or not, and the signs `=` and `;` between them; None where a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut rest) = (Vec::new(), text.chars().peekable());
    while let Some(next) = rest.next() {
        match next {
            '"' | '\'' => words.push(quoted(&mut rest, next)?),
            '=' | ';' => words.push(next.to_string()),
            blank if blank.is_whitespace() => {}
            plain => {
                let mut word = String::from(plain);
                while let Some(more) = rest.next_if(|more| !more.is_whitespace() && !['=', ';', '"'].contains(more)) {
                    word.push(more);
                }
                words.push(word);
            }
        }
    }
    Some(words)
}

fn quoted(rest: &mut Peekable<Chars<'_>>, quote: char) -> Option<String> {
    let mut word = String::new();
    loop {
        match rest.next()? {
            '\\' => match rest.next()? {
                'n' => word.push('\n'),
                't' => word.push('\t'),
                other => word.push(other),
            },
            end if end == quote => return Some(word),
            plain => word.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_options_are_read() {
        let text = "org.apache.kafka.common.security.scram.ScramLoginModule required\n  username=\"al=i;ce\" \
                    password='se\\'cr\"et' tokenauth=true ;";
        let Jaas { module, options } = Jaas::parse(text).expect("it is right");
        assert_eq!(module, "ScramLoginModule");
        let expected = [("password", "se'cr\"et"), ("tokenauth", "true"), ("username", "al=i;ce")];
        assert_eq!(options.into_iter().collect::<Vec<_>>(), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let bare = Jaas::parse("OAuthBearerLoginModule Required;").expect("it is right");
        assert_eq!((bare.module.as_str(), bare.options.len()), ("OAuthBearerLoginModule", 0));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("", "it is not as in"),
            (";", "it is not as in"),
            ("a.PlainLoginModule username=\"x\";", "has to come `required`"),
            ("a.PlainLoginModule required username=\"x\"", "`;` at its end is missing"),
            ("a.PlainLoginModule required username=\"x;", "a quote is not closed"),
            ("a.PlainLoginModule required username;", "username has no value"),
            ("a.PlainLoginModule required username=;", "username has no value"),
            ("a.PlainLoginModule required; b.Other required;", "more than one login module"),
        ] {
            let said = Jaas::parse(text).expect_err(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
