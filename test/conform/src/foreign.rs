//! The foreign clients: installed by name from their registries into `target/foreign`, pinned in `clients/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of all that is installed.
fn cache() -> PathBuf {
    let target = crate::build_folder().parent().expect("a build folder lies in the target folder").to_path_buf();
    target.join("foreign")
}

#[must_use]
pub fn python() -> PathBuf {
    cache().join("venv/bin/python")
}

/// What `java -cp` needs: the cases' classes, then the clients and tools.
#[must_use]
pub fn classpath() -> String {
    format!("{}:{}/*", cache().join("java/classes").display(), cache().join("java/jars").display())
}

/// Installs what is not installed yet; the error says what is missing and what to do.
pub fn install() -> Result<(), String> {
    let _lock = lock()?;
    kcat()?;
    once("python", &["clients/requirements.txt"], install_python)?;
    once("jars", &["clients/pom.xml"], install_jars)?;
    let sources = java_sources()?;
    once("classes", &sources.iter().map(String::as_str).collect::<Vec<_>>(), || compile(&sources))
}

/// Installs the clients of Python alone.
pub fn install_python_clients() -> Result<(), String> {
    let _lock = lock()?;
    once("python", &["clients/requirements.txt"], install_python)
}

/// Several test binaries may come here at once.
fn lock() -> Result<File, String> {
    fs::create_dir_all(cache()).map_err(|error| format!("{}: {error}", cache().display()))?;
    let lock = File::create(cache().join("lock")).map_err(|error| format!("the cache's lock: {error}"))?;
    lock.lock().map_err(|error| format!("the cache's lock: {error}"))?;
    Ok(lock)
}

fn kcat() -> Result<(), String> {
    run(Command::new("kcat").arg("-V")).map_err(|_| "kcat is not installed: apt-get install kcat".to_owned())
}

fn install_python() -> Result<(), String> {
    let venv = cache().join("venv");
    let _ = fs::remove_dir_all(&venv);
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let requirements = crate::home().join("clients/requirements.txt");
    run(Command::new(python()).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))
}

fn install_jars() -> Result<(), String> {
    let jars = cache().join("java/jars");
    let _ = fs::remove_dir_all(&jars);
    run(Command::new("mvn")
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(crate::home().join("clients/pom.xml"))
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", jars.display())))
}

fn java_sources() -> Result<Vec<String>, String> {
    let folder = crate::home().join("cases/java");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut sources: Vec<String> =
        names.filter(|name| name.ends_with(".java")).map(|name| format!("cases/java/{name}")).collect();
    sources.sort();
    Ok(sources)
}

fn compile(sources: &[String]) -> Result<(), String> {
    let classes = cache().join("java/classes");
    let _ = fs::remove_dir_all(&classes);
    let mut javac = Command::new("javac");
    javac.args(["-Xlint:all,-processing", "-cp", &classpath(), "-d"]).arg(classes).current_dir(crate::home());
    run(javac.args(sources))
}

/// Calls `make` unless it was done for these very files.
fn once(name: &str, inputs: &[&str], make: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let mut wanted = String::new();
    for input in inputs {
        let path = crate::home().join(input);
        wanted += &fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let stamp = cache().join(format!("{name}.stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    println!("installing {name} into {}", cache().display());
    make()?;
    write(&stamp, &wanted)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&said)))
}
