//! What may not stand in a file: unfinished code, silent tests, test hooks, loose ends; and what must: a module doc.

use super::Findings;
use super::source::Source;

pub fn check(sources: &[Source]) -> Findings {
    sources.iter().flat_map(|source| lines(source).into_iter().chain(code(source))).collect()
}

fn lines(source: &Source) -> Findings {
    let mut findings = Findings::new();
    // Tests hold expected output, whose spaces are meant.
    for (index, line) in source.text.lines().enumerate().filter(|_| !source.generated && !source.test) {
        if line.ends_with([' ', '\t']) {
            findings.push(format!("{}:{}: white space at the end of the line", source.path, index + 1));
        }
    }
    let room = source.path.starts_with("pure/") || source.path.starts_with("shell/");
    if room && source.is_rust() && !source.generated && !source.test && !source.text.starts_with("//!") {
        findings.push(format!("{}:1: open with `//!`: what this file owns and what it must never know", source.path));
    }
    findings
}

fn code(source: &Source) -> Findings {
    let mut findings = Findings::new();
    let mut find = |position: usize, what: &str| {
        findings.push(format!("{}:{}: {what}", source.path, source.line_of(position)));
    };
    for word in ["todo", "unimplemented"] {
        for at in source.words(word).filter(|at| source.code.get(at + word.len()) == Some(&b'!')) {
            find(at, "unfinished code does not land");
        }
    }
    for at in source.words("ignore").filter(|at| source.code[..*at].ends_with(b"#[")) {
        if source.code.get(at + "ignore".len()) == Some(&b']') {
            find(at, "an ignored test says why: `#[ignore = \"reason\"]`");
        }
    }
    // In two pieces, so that this file may name what it forbids.
    let hook = concat!("_for", "_test");
    for (at, _) in source.code.windows(hook.len()).enumerate().filter(|(_, found)| *found == hook.as_bytes()) {
        find(at, "observe through inputs, outputs and state views, not through a hook for tests");
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    #[track_caller]
    fn findings(text: &str) -> usize {
        check(&[Source::new("pure/x/src/a.rs".to_owned(), text.to_owned())]).len()
    }

    #[test]
    fn loose_ends_are_found_and_mentions_of_them_are_not() {
        assert_eq!(findings("//! Doc.\nfn a() {\n    todo!()\n}\n"), 1);
        assert_eq!(findings("//! Doc about todo!()\nconst A: &str = \"todo!()\";\n"), 0);
        assert_eq!(findings("//! Doc.\n#[ignore]\nfn a() {}\n#[ignore = \"slow\"]\nfn b() {}\n"), 1);
        assert_eq!(findings("//! Doc.\nfn log_end_for_test() {}\n"), 1);
        assert_eq!(findings("//! Doc. \n"), 1);
        assert_eq!(findings("use a;\n"), 1);
    }
}
