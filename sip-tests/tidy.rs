//! The house rules that a compiler does not check: which room may name which, what the pure
//! rooms may not name, how long a file may be, and that each says what it is for.

// Clippy's allowance for tests covers functions marked as such, not their helpers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the bottom up: a room may name itself and those before it.
const ROOMS: [&str; 14] = [
    "sid",
    "number",
    "sip",
    "sdp",
    "rtp",
    "switch",
    "config",
    "telemetry",
    "media",
    "store",
    "io",
    "api",
    "phone",
    "cli",
];
/// Rooms that take time, randomness and the world as arguments.
const PURE: [&str; 4] = ["sip", "sdp", "rtp", "switch"];
/// What the pure rooms may not name outside their tests.
const IMPURE: [&str; 13] = [
    "tokio",
    "sled::",
    "rusqlite",
    "Instant",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "std::fs",
    "std::thread",
    "getrandom",
    "thread_rng",
    "RandomState",
    "std::env",
];
/// Rooms that must not know each other although one stands below the other.
const STRANGERS: [(&str, &str); 6] = [
    ("sdp", "sip"),
    ("rtp", "sip"),
    ("store", "media"),
    // The test phones judge what the builders print, so they may not use them.
    ("phone", "switch"),
    ("phone", "media"),
    ("api", "media"),
];
/// Lines a file may have.
const LONGEST: usize = 1_000;

struct File {
    path: PathBuf,
    room: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn product_files() -> Vec<File> {
    let src = root().join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    let room = |path: &Path| {
        let first = path
            .strip_prefix(&src)
            .unwrap()
            .components()
            .next()
            .unwrap();
        first
            .as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_owned()
    };
    paths
        .into_iter()
        .map(|path| File {
            room: room(&path),
            text: fs::read_to_string(&path).unwrap(),
            path,
        })
        .collect()
}

/// The part of a file that ships: what stands before its unit tests.
fn shipped(file: &File) -> &str {
    let is_test = file.path.components().any(|c| c.as_os_str() == "sim")
        || file
            .path
            .file_stem()
            .is_some_and(|s| s == "tests" || s.to_string_lossy().ends_with("_tests"));
    if is_test {
        return "";
    }
    file.text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line))
        .filter(move |(_, line)| code(line))
}

fn report(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn arrows_point_one_way() {
    let rank = |room: &str| ROOMS.iter().position(|r| *r == room);
    let mut broken = Vec::new();
    for file in product_files()
        .iter()
        .filter(|f| !["lib", "main"].contains(&f.room.as_str()))
    {
        let own =
            rank(&file.room).unwrap_or_else(|| panic!("room {} has no place in ROOMS", file.room));
        for (number, line) in code_lines(shipped(file)) {
            for piece in line.split("crate::").skip(1) {
                let named: String = piece
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let Some(other) = rank(&named) else { continue };
                let strangers = STRANGERS.contains(&(file.room.as_str(), named.as_str()));
                if other > own || strangers {
                    broken.push(format!(
                        "{}:{number}: {} may not name {named}",
                        file.path.display(),
                        file.room
                    ));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn pure_rooms_name_no_world() {
    let mut broken = Vec::new();
    for file in product_files()
        .iter()
        .filter(|f| PURE.contains(&f.room.as_str()))
    {
        for (number, line) in code_lines(shipped(file)) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                broken.push(format!(
                    "{}:{number}: a pure room names {word}",
                    file.path.display()
                ));
            }
        }
    }
    report(broken);
}

#[test]
fn phones_print_with_their_own_words() {
    let mut broken = Vec::new();
    for file in product_files().iter().filter(|f| f.room == "phone") {
        for word in [
            "sip::Builder",
            "sip::build",
            "sdp::print",
            "print_offer",
            "print_answer",
        ] {
            if file.text.contains(word) {
                broken.push(format!("{}: a test phone uses {word}", file.path.display()));
            }
        }
    }
    report(broken);
}

#[test]
fn files_say_what_they_are_for_and_stay_short() {
    let mut paths = Vec::new();
    sources(&root().join("src"), &mut paths);
    sources(&root().join("sip-tests"), &mut paths);
    let mut broken = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            broken.push(format!("{}: does not open with //!", path.display()));
        }
        let lines = text.lines().count();
        if lines > LONGEST {
            broken.push(format!(
                "{}: {lines} lines, split it by concept",
                path.display()
            ));
        }
    }
    report(broken);
}
