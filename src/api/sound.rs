//! Whether an announcement can be played, asked before anything refers to it: at a call it would
//! be too late, and the default one would be played instead.

use std::io::Read;
use std::path::{Component, Path};

use crate::rtp::wav;

/// Longest name of an announcement below the folder, in bytes; the player takes no longer one.
const MAX_NAME: usize = 255;
/// Largest file: the longest sound at 16 kHz, and room for headers.
const MAX_FILE_BYTES: u64 = wav::MAX_SECONDS as u64 * 32_000 + 65_536;

/// Checks the name of an ExoPhone's own announcement, a plain relative path below `folder`, and
/// the file it names.
pub(super) fn check_name(folder: &Path, name: &str) -> Result<(), String> {
    let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
    if name.is_empty() || !Path::new(name).components().all(plain) {
        return Err("it is not a relative path without ..".to_owned());
    }
    if name.len() > MAX_NAME {
        return Err(format!("it is longer than {MAX_NAME} bytes"));
    }
    check_file(&folder.join(name))
}

/// Checks that a file is a WAV file of a kind that can be played.
pub fn check_file(path: &Path) -> Result<(), String> {
    // Asked before opening: opening a pipe would wait for its writer.
    let found = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if !found.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let read = file.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    read.map_err(|e| format!("{}: {e}", path.display()))?;
    let samples = wav::read(&bytes);
    samples.map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_a_sound_below_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let check = |name: &str| check_name(&folder, name);
        assert_eq!(check("announcements/not-active.wav"), Ok(()));
        for bad in [
            "",
            "/etc/passwd",
            "../Cargo.toml",
            "announcements",
            "none.wav",
            "dev.toml",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
