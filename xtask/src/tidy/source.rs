//! The repository's files as the checks see them: which are tests, which are generated, which lines are code.

use super::mask::{is_word, mask};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// Folders that hold what is built, fetched or somebody else's.
const SKIPPED: &[&str] = &["target", ".git", "data", "node_modules"];

/// Files whose text is ours to keep tidy.
const TEXT: &[&str] = &["rs", "md", "toml", "py", "sh", "java", "txt", "xml", "yml", "schema", "html", "css", "js"];

pub struct Source {
    /// Relative to the root, with forward slashes.
    pub path: String,
    pub text: String,
    /// The text without comments and strings; empty where the file is not Rust or is generated.
    pub code: Vec<u8>,
    /// The file is a test as a whole.
    pub test: bool,
    pub generated: bool,
    /// Byte ranges of what `#[cfg(test)]` or `#[test]` guards.
    test_ranges: Vec<Range<usize>>,
}

impl Source {
    pub fn new(path: String, text: String) -> Source {
        let generated = path.contains("/generated/") || text.lines().take(5).any(|line| line.contains("@generated"));
        let rust = path.ends_with(".rs");
        let code = if rust && !generated { mask(&text) } else { Vec::new() };
        // Examples are for readers and are not the product either.
        let test = ["/tests/", "/benches/", "/examples/"].iter().any(|folder| path.contains(folder))
            || path.ends_with("/tests.rs");
        let test_ranges = test_ranges(&code);
        Source { path, text, code, test, generated, test_ranges }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub fn is_test_at(&self, position: usize) -> bool {
        self.test || self.test_ranges.iter().any(|range| range.contains(&position))
    }

    pub fn line_of(&self, position: usize) -> usize {
        1 + line_ends(&self.text.as_bytes()[..position])
    }

    /// How many lines are neither tests nor generated.
    pub fn own_lines(&self) -> usize {
        if self.test || self.generated {
            return 0;
        }
        let tests: usize =
            self.test_ranges.iter().map(|range| 1 + line_ends(&self.text.as_bytes()[range.clone()])).sum();
        self.text.lines().count().saturating_sub(tests)
    }

    /// Where each word of the code begins that equals `word`.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        words(&self.code, word)
    }
}

/// All files worth a check, in order of their paths.
pub fn load(root: &Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    walk(root, root, &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let test_modules: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.test |= test_modules.contains(&source.path);
    }
    Ok(sources)
}

fn walk(root: &Path, folder: &Path, into: &mut Vec<Source>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) && !name.starts_with("target-") {
                walk(root, &path, into)?;
            }
        } else if TEXT.iter().any(|ending| name.strip_suffix(ending).is_some_and(|stem| stem.ends_with('.'))) {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            into.push(Source::new(relative, text));
        }
    }
    Ok(())
}

/// The paths that `#[cfg(test)] mod name;` of this file may stand for.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = source.path.trim_end_matches(".rs");
    let mut paths = Vec::new();
    for range in &source.test_ranges {
        let item = String::from_utf8_lossy(&source.code[range.clone()]);
        if let Some((_, name)) = item.split_once("mod ").filter(|_| item.ends_with(';')) {
            let name = name.trim_end_matches(';').trim();
            paths.extend([folder, own].map(|parent| format!("{parent}/{name}.rs")));
        }
    }
    paths
}

/// Finds `#[cfg(test)]` and `#[test]` and the item that each guards.
fn test_ranges(code: &[u8]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let here = &code[at..];
        if here.starts_with(b"#[cfg(test)]") || here.starts_with(b"#[test]") {
            let end = item_end(code, at).end;
            ranges.push(at..end);
            at = end;
        }
        at += 1;
    }
    ranges
}

/// The body of the item that starts at `start`: its braces, or nothing before its semicolon.
pub fn item_end(code: &[u8], start: usize) -> Range<usize> {
    let (mut brackets, mut braces, mut open) = (0_i32, 0_i32, None);
    for (at, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if brackets == 0 && braces == 0 => return at + 1..at + 1,
            b'{' => {
                braces += 1;
                open = open.or(Some(at));
            }
            b'}' => {
                braces -= 1;
                if braces == 0 && brackets == 0 {
                    return open.unwrap_or(at)..at + 1;
                }
            }
            _ => {}
        }
    }
    open.unwrap_or(code.len())..code.len()
}

pub fn words<'a>(code: &'a [u8], word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let word = word.as_bytes();
    code.windows(word.len()).enumerate().filter_map(move |(at, found)| {
        let free = |at: Option<usize>| at.and_then(|at| code.get(at)).is_none_or(|byte| !is_word(*byte));
        (found == word && free(at.checked_sub(1)) && free(Some(at + word.len()))).then_some(at)
    })
}

fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::{Source, test_modules};

    #[test]
    fn tests_and_generated_code_do_not_count() {
        let text = "//! Doc.\nfn a() {\n}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let source = Source::new("pure/x/src/a.rs".to_owned(), text.to_owned());
        assert_eq!(source.own_lines(), 3);
        let generated = Source::new("pure/x/src/g.rs".to_owned(), format!("// @generated by a\n{text}"));
        assert_eq!(generated.own_lines(), 0);
    }

    #[test]
    fn a_test_module_in_its_own_file_is_a_test() {
        let source = Source::new("pure/x/src/a.rs".to_owned(), "#[cfg(test)]\nmod cases;\n".to_owned());
        assert_eq!(test_modules(&source), ["pure/x/src/cases.rs", "pure/x/src/a/cases.rs"]);
    }
}
