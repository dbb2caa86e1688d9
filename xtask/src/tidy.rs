//! `cargo xtask tidy`: the house rules that the compiler does not know.

mod arrows;

/// What one check found wrong, each as `path: what to do`.
type Findings = Vec<String>;

pub fn run(_options: &[String]) -> Result<(), String> {
    let findings: Findings = arrows::check(&crate::root())?;
    if findings.is_empty() {
        return Ok(());
    }
    Err(format!("{}\ntidy: {} findings", findings.join("\n"), findings.len()))
}

/// The names of the folders in `path`, in order.
fn folders(path: &std::path::Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}
