//! The size ratchet: files, functions and the whole product have limits; what is over may only shrink.

use super::Findings;
use super::source::{Source, item_end};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const FILE_LINES_MAX: usize = 1_000;
const FUNCTION_LINES_MAX: usize = 70;
const PRODUCT_LINES_MAX: usize = 60_000;

/// Where what is over its limit is listed: `SIZE PATH` for a file, `SIZE PATH fn NAME` for a function.
const RATCHET: &str = "xtask/ratchet.txt";

const HEADER: &str = "\
# What is over the limits of STYLE.md, with its size in lines: `SIZE PATH` or `SIZE PATH fn NAME`.
# An entry may only shrink: `cargo xtask tidy --write-ratchet` lowers it. A new entry needs a reason in its commit.
";

/// Sizes in lines by what they measure, for all that is over its limit.
type Sizes = BTreeMap<String, usize>;

pub fn check(root: &Path, sources: &[Source]) -> Result<Findings, String> {
    let listed = read(root)?;
    let over = over(sources);
    let mut findings: Findings = over.iter().filter_map(|(name, size)| grown(name, *size, &listed)).collect();
    for (name, size) in &listed {
        if over.get(name).is_none_or(|now| now < size) {
            findings.push(format!("{RATCHET}: `{name}` has shrunk; run `cargo xtask tidy --write-ratchet`"));
        }
    }
    let total = product_lines(sources);
    println!("tidy: {total} lines of product code (limit {PRODUCT_LINES_MAX})");
    if total > PRODUCT_LINES_MAX {
        findings
            .push(format!("the product has {total} lines; its limit is {PRODUCT_LINES_MAX}: make something smaller"));
    }
    Ok(findings)
}

/// Lowers what is listed to its present size and drops what is within its limit. Never adds or raises an entry.
pub fn write(root: &Path, sources: &[Source]) -> Result<(), String> {
    let over = over(sources);
    let mut text = HEADER.to_owned();
    for (name, listed) in read(root)? {
        if let Some(now) = over.get(&name) {
            writeln!(text, "{} {name}", listed.min(*now)).expect("a String takes every write");
        }
    }
    fs::write(root.join(RATCHET), text).map_err(|error| format!("{RATCHET}: {error}"))
}

/// Lines of pure/, shell/ and xtask/ that are neither tests nor generated.
fn product_lines(sources: &[Source]) -> usize {
    let product = |source: &&Source| ["pure/", "shell/", "xtask/"].iter().any(|room| source.path.starts_with(room));
    sources.iter().filter(product).filter(|source| source.is_rust()).map(Source::own_lines).sum()
}

fn grown(name: &str, size: usize, listed: &Sizes) -> Option<String> {
    let limit = if name.contains(" fn ") { FUNCTION_LINES_MAX } else { FILE_LINES_MAX };
    match listed.get(name) {
        Some(allowed) if size <= *allowed => None,
        Some(allowed) => Some(format!("{name}: {size} lines, and was {allowed}: the ratchet only lets it shrink")),
        None => Some(format!("{name}: {size} lines, over the limit of {limit}: split it")),
    }
}

fn over(sources: &[Source]) -> Sizes {
    let mut sizes = Sizes::new();
    for source in sources.iter().filter(|source| source.is_rust() && !source.generated) {
        let lines = source.own_lines();
        if lines > FILE_LINES_MAX {
            sizes.insert(source.path.clone(), lines);
        }
        for (name, lines) in functions(source).filter(|(_, lines)| *lines > FUNCTION_LINES_MAX) {
            let size = sizes.entry(format!("{} fn {name}", source.path)).or_default();
            *size = lines.max(*size);
        }
    }
    sizes
}

/// Name and length of each function that is not a test.
fn functions(source: &Source) -> impl Iterator<Item = (&str, usize)> {
    source.words("fn").filter(|at| !source.is_test_at(*at)).filter_map(|at| {
        // `fn(u8) -> u8` is a type: no name follows.
        let name = source.text[at + 2..].trim_start();
        let length = name.bytes().take_while(|byte| super::mask::is_word(*byte)).count();
        let body = item_end(&source.code, at);
        (length > 0 && !body.is_empty())
            .then(|| (&name[..length], 1 + source.line_of(body.end - 1) - source.line_of(at)))
    })
}

fn read(root: &Path) -> Result<Sizes, String> {
    let text = fs::read_to_string(root.join(RATCHET)).map_err(|error| format!("{RATCHET}: {error}"))?;
    let entries = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    entries
        .map(|line| {
            let entry = line.split_once(' ').and_then(|(size, name)| Some((name.to_owned(), size.parse().ok()?)));
            entry.ok_or_else(|| format!("{RATCHET}: {line:?} is not `SIZE PATH` or `SIZE PATH fn NAME`"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, functions, grown, over};

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let text = "fn one() {}\ntrait T { fn none(a: [u8; 2]); }\nfn three(f: fn(u8)) {\n    let s = \"}\";\n}\n\
                    #[cfg(test)]\nmod tests {\n    fn skipped() {\n    }\n}\n";
        let source = Source::new("pure/x/src/a.rs".to_owned(), text.to_owned());
        assert_eq!(functions(&source).collect::<Vec<_>>(), [("one", 1), ("three", 3)]);
    }

    #[test]
    fn what_is_over_may_only_shrink() {
        let body = "    a();\n".repeat(80);
        let source = Source::new("pure/x/src/a.rs".to_owned(), format!("fn long() {{\n{body}}}\n"));
        let sizes = over(&[source]);
        let name = "pure/x/src/a.rs fn long";
        assert_eq!(sizes[name], 82);
        let listed = |size: usize| [(name.to_owned(), size)].into();
        assert!(grown(name, 82, &listed(82)).is_none());
        assert!(grown(name, 82, &listed(81)).is_some());
        assert!(grown(name, 82, &[].into()).is_some());
    }
}
