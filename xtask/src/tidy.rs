//! `cargo xtask tidy`: the house rules that the compiler does not know.

mod arrows;
mod mask;
mod sizes;
mod source;
mod words;

/// What one check found wrong, each as `path: what to do`.
type Findings = Vec<String>;

pub fn run(options: &[String]) -> Result<(), String> {
    let root = crate::root();
    let sources = source::load(&root)?;
    match options {
        [] => {}
        [option] if option == "--write-ratchet" => sizes::write(&root, &sources)?,
        _ => return Err("usage: cargo xtask tidy [--write-ratchet]".to_owned()),
    }
    let mut findings = arrows::check(&root)?;
    findings.extend(sizes::check(&root, &sources)?);
    findings.extend(words::check(&sources));
    findings.extend(crate::codegen::run(&["--check".to_owned()]).err());
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
