//! Which room may name which: the table of ARCHITECTURE.md, checked against every Cargo.toml of pure/ and shell/.

use super::Findings;
use std::fs;
use std::path::Path;

/// A room and the rooms that it may depend on.
struct Room {
    folder: &'static str,
    arrows: &'static [&'static str],
}

/// Mirrors the rooms table of ARCHITECTURE.md. A new arrow is a change of the design: its own commit, with the reason.
const ROOMS: &[Room] = &[
    Room { folder: "pure/types", arrows: &[] },
    Room { folder: "pure/wire", arrows: &["types"] },
    Room { folder: "pure/record", arrows: &["types"] },
    Room { folder: "pure/log", arrows: &["types", "record"] },
    Room { folder: "pure/metadata", arrows: &["types", "record"] },
    Room { folder: "pure/coordinator", arrows: &["types", "record"] },
    Room { folder: "pure/replica", arrows: &["types", "record", "log"] },
    Room { folder: "pure/broker", arrows: &["types", "wire", "record", "log", "metadata", "coordinator", "replica"] },
    Room { folder: "pure/client", arrows: &["types", "wire", "record"] },
    Room { folder: "shell/server", arrows: &["broker"] },
    Room { folder: "shell/client", arrows: &["client"] },
    Room { folder: "shell/cli", arrows: &["server", "vltava-client"] },
];

/// Names that are rooms of this repository; every other dependency comes from a registry.
const OWN: &[&str] = &[
    "types",
    "wire",
    "record",
    "log",
    "quorum",
    "metadata",
    "coordinator",
    "replica",
    "broker",
    "client",
    "server",
    "vltava-client",
];

pub fn check(root: &Path) -> Result<Findings, String> {
    let mut findings = Findings::new();
    for home in ["pure", "shell"] {
        for folder in super::folders(&root.join(home))? {
            let path = format!("{home}/{folder}");
            let manifest = root.join(&path).join("Cargo.toml");
            let text = fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
            match ROOMS.iter().find(|room| room.folder == path) {
                Some(room) => findings.extend(forbidden(room, &text)),
                None => findings.push(format!("{path}: this room is not in the table of ARCHITECTURE.md")),
            }
        }
    }
    Ok(findings)
}

/// The arrows of one manifest that its room does not have. Dev-dependencies are free: tests may use every room.
fn forbidden(room: &Room, manifest: &str) -> Findings {
    dependencies(manifest)
        .filter(|name| OWN.contains(name) && !room.arrows.contains(name))
        .map(|name| {
            format!("{}/Cargo.toml: no arrow from here to `{name}` in the table of ARCHITECTURE.md", room.folder)
        })
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
    use super::{ROOMS, dependencies, forbidden};

    #[test]
    fn only_runtime_dependencies_are_arrows() {
        let manifest = "[package]\nname = \"x\"\n\n[dependencies]\ntypes.workspace = true\nlog = { path = \"../log\" }\n\
                        \n[dependencies.wire]\npath = \"../wire\"\n\n[dev-dependencies]\nbroker.workspace = true\n\
                        \n[target.'cfg(unix)'.dependencies]\nserver.workspace = true\n";
        assert_eq!(dependencies(manifest).collect::<Vec<_>>(), ["types", "log", "wire", "server"]);
        let record = ROOMS.iter().find(|room| room.folder == "pure/record").expect("it is a room");
        assert_eq!(forbidden(record, manifest).len(), 3);
    }
}
