//! Which room may name which: the table of ARCHITECTURE.md, read and checked against every Cargo.toml of pure/ and shell/.

use super::Findings;
use std::fs;
use std::path::Path;

/// The table's place, and the one source of what is allowed.
const MAP: &str = "ARCHITECTURE.md";

/// A room and the rooms that it may name.
struct Room {
    folder: String,
    arrows: Vec<String>,
}

/// Names that are rooms of this repository; every other dependency comes from a registry.
const OWN: &str = "types wire record log quorum metadata coordinator replica broker client server vltava-client";

pub fn check(root: &Path) -> Result<Findings, String> {
    let map = fs::read_to_string(root.join(MAP)).map_err(|error| format!("{MAP}: {error}"))?;
    let rooms = rooms(&map);
    let mut findings = Findings::new();
    for home in ["pure", "shell"] {
        for folder in super::folders(&root.join(home))? {
            let path = format!("{home}/{folder}");
            let manifest = root.join(&path).join("Cargo.toml");
            let text = fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
            match rooms.iter().find(|room| room.folder == path) {
                Some(room) => findings.extend(forbidden(room, &text)),
                None => findings.push(format!("{path}: this room is not in the table of {MAP}")),
            }
        }
    }
    Ok(findings)
}

/// The rows of the table: a room's folder in the first cell, the rooms it may name in the last.
fn rooms(map: &str) -> Vec<Room> {
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
        let folder = quoted(cells.first()?).pop().filter(|folder| folder.contains('/'))?;
        Some(Room { folder, arrows: quoted(cells.last()?) })
    };
    map.lines().filter_map(row).collect()
}

/// The arrows of one manifest that its room does not have. Dev-dependencies are free: tests may use every room.
fn forbidden(room: &Room, manifest: &str) -> Findings {
    dependencies(manifest)
        .filter(|name| OWN.split(' ').any(|own| own == *name) && !room.arrows.iter().any(|arrow| arrow == name))
        .map(|name| format!("{}/Cargo.toml: no arrow from here to `{name}` in the table of {MAP}", room.folder))
        .collect()
}

/// The names under `[dependencies]` and `[target.....dependencies]` of a manifest.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if let Some(header) = line.trim().strip_prefix('[') {
            let header = header.trim_end_matches(']');
            inside = header == "dependencies" || (header.starts_with("target.") && header.ends_with(".dependencies"));
            // `[dependencies.name]` is a dependency by itself.
            return header.strip_prefix("dependencies.");
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or("");
        (inside && !name.is_empty() && !name.starts_with('#')).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{dependencies, forbidden, rooms};

    #[test]
    fn only_runtime_dependencies_are_arrows() {
        let manifest = "[package]\nname = \"x\"\n\n[dependencies]\ntypes.workspace = true\nlog = { path = \"../log\" }\n\
                        \n[dependencies.wire]\npath = \"../wire\"\n\n[dev-dependencies]\nbroker.workspace = true\n\
                        \n[target.'cfg(unix)'.dependencies]\nserver.workspace = true\n";
        assert_eq!(dependencies(manifest).collect::<Vec<_>>(), ["types", "log", "wire", "server"]);
        let map = "| Room | May name |\n|---|---|\n| `pure/types` | |\n| `pure/record` | `types` `client` |\n";
        assert_eq!(rooms(map)[0].arrows.len(), 0);
        assert_eq!(forbidden(&rooms(map)[1], manifest).len(), 3);
    }
}
