//! `cargo xtask codegen`: Rust for every message of the schema. Owns which file comes from what; must never know what a
//! message means.

mod expressions;
mod names;
mod sample;
mod schema;
mod structs;
mod tables;

use schema::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Text by path below the folder of one crate's generated code.
type Files = BTreeMap<String, String>;

const SCHEMA: &str = "pure/wire/schema";
const TARGETS: [(&str, &str); 3] = [
    ("messages.kafka", "pure/wire/src/generated"),
    ("coordinator.kafka", "pure/coordinator/src/generated"),
    ("metadata.kafka", "pure/metadata/src/generated"),
];

/// With `--check`, fails where a written file is not what would be generated.
pub fn run(options: &[String]) -> Result<(), String> {
    let check = match options {
        [] => false,
        [only] if only == "--check" => true,
        _ => return Err("usage: cargo xtask codegen [--check]".to_owned()),
    };
    let root = crate::root();
    for (source, folder) in TARGETS {
        let path = root.join(SCHEMA).join(source);
        let text = fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        let messages = schema::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        let files = format(&root, generate(&messages))?;
        let folder = root.join(folder);
        if check {
            compare(&folder, &files)?;
        } else {
            write(&folder, &files)?;
        }
    }
    Ok(())
}

fn generate(messages: &[Message]) -> Files {
    let mut files = Files::new();
    for message in messages {
        files.insert(format!("{}.rs", names::snake(message.name())), structs::module(message));
    }
    files.insert("sample.rs".to_owned(), sample::module(messages));
    files.insert("tests.rs".to_owned(), sample::tests(messages));
    files.insert("mod.rs".to_owned(), tables::root(messages));
    tables::add(messages, &mut files);
    files
}

/// Formats all files in one run of rustfmt, for each run costs more than a file.
fn format(root: &Path, files: Files) -> Result<Files, String> {
    let scratch = root.join("target/codegen");
    let world = |why: std::io::Error| format!("{}: {why}", scratch.display());
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).map_err(world)?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for (name, text) in &files {
        let path = scratch.join(name);
        fs::write(&path, text).map_err(world)?;
        paths.push(path);
    }
    let status = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .args(&paths)
        .status()
        .map_err(|why| format!("rustfmt: {why}"))?;
    if !status.success() {
        return Err(format!("rustfmt cannot read what is in {}", scratch.display()));
    }
    let read = |name: String| fs::read_to_string(scratch.join(&name)).map(|text| (name, text)).map_err(world);
    files.into_keys().map(read).collect()
}

fn write(folder: &Path, files: &Files) -> Result<(), String> {
    let world = |why: std::io::Error| format!("{}: {why}", folder.display());
    fs::create_dir_all(folder).map_err(world)?;
    for name in present(folder)?.into_iter().filter(|name| !files.contains_key(name)) {
        fs::remove_file(folder.join(name)).map_err(world)?;
    }
    for (name, text) in files {
        // A file that stays as it is keeps its time, so that nothing is built anew for it.
        if fs::read_to_string(folder.join(name)).is_ok_and(|old| old == *text) {
            continue;
        }
        fs::write(folder.join(name), text).map_err(world)?;
    }
    Ok(())
}

fn compare(folder: &Path, files: &Files) -> Result<(), String> {
    let stale = |name: &String| !fs::read_to_string(folder.join(name)).is_ok_and(|old| old == files[name]);
    let extra = present(folder)?.into_iter().find(|name| !files.contains_key(name));
    match files.keys().find(|name| stale(name)).cloned().or(extra) {
        Some(name) => Err(format!("{} is stale: run `cargo xtask codegen`", folder.join(name).display())),
        None => Ok(()),
    }
}

fn present(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}
