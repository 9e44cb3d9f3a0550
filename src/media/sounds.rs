//! What can be played: the built-in announcement, ringback, and announcement files by name,
//! encoded once for both G.711 laws. Files are read by a thread of their own, because a disk can
//! take longer than a packet time; the worker keeps a bounded cache.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::media::mailbox::{Letter, Mailbox};
use crate::media::totals::Totals;
use crate::media::{Error, MediaConfig};
use crate::rtp::tone::Ringback;
use crate::rtp::{g711, wav};

/// "This number is not active", generated speech, 8 kHz mono. Made by
/// `espeak-ng -v en-gb -s 125 --stdout TEXT | sox - -r 8000 -c 1 -b 16 -D not-active.wav
/// highpass 150 silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse pad 0.2 0.25 norm -3`.
const NOT_ACTIVE: &[u8] = include_bytes!("../../configs/announcements/not-active.wav");

/// Sounds kept in memory beside the default one and ringback.
const CACHED_SOUNDS: usize = 64;
/// A cached sound is read again after this time, so that a replaced file is heard; a missing
/// file is complained about no more often than this. In microseconds.
const FRESH_US: u64 = 60_000_000;
/// Requests that may wait for the loader; beyond it the default sound is played.
const LOADER_QUEUE: usize = 64;
/// Longest name of an announcement.
const MAX_NAME: usize = 255;
/// Longest file that is read: the longest sound at 16 kHz, with room for other chunks.
const MAX_FILE: u64 = wav::MAX_SECONDS as u64 * 32_000 + 65_536;

/// A sound in both laws, one byte a sample, 8 kHz.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clip {
    pub(super) pcmu: Box<[u8]>,
    pub(super) pcma: Box<[u8]>,
    /// Begins again at its end and never comes to one.
    pub(super) endless: bool,
}

impl Clip {
    fn of(samples: &[i16], endless: bool) -> Clip {
        Clip {
            pcmu: samples.iter().map(|s| g711::ulaw_encode(*s)).collect(),
            pcma: samples.iter().map(|s| g711::alaw_encode(*s)).collect(),
            endless,
        }
    }

    fn from_wav(bytes: &[u8]) -> Result<Clip, wav::Error> {
        Ok(Clip::of(&wav::read(bytes)?, false))
    }
}

/// What looking for a sound gives.
pub(super) enum Found {
    /// Play this.
    Clip(Arc<Clip>),
    /// It is being read; a `Loaded` letter will come.
    Soon,
}

/// The worker's sounds.
#[derive(Debug)]
pub(super) struct Sounds {
    default: Arc<Clip>,
    ringback: Arc<Clip>,
    cache: BTreeMap<String, (u64, Arc<Clip>)>,
    loader: SyncSender<String>,
}

impl Sounds {
    /// The default sounds, and the thread that reads files. The thread ends with this value.
    pub(super) fn new(
        config: &MediaConfig,
        mailbox: Arc<Mailbox>,
        totals: Arc<Totals>,
    ) -> Result<(Sounds, JoinHandle<()>), Error> {
        let default = match &config.default_announcement {
            Some(path) => default_from(path)?,
            None => Clip::from_wav(NOT_ACTIVE).expect("a test reads the built-in announcement"),
        };
        let default = Arc::new(default);
        let (loader, requests) = sync_channel(LOADER_QUEUE);
        let files = Files {
            folder: config.announcement_folder.clone(),
            default: default.clone(),
            mailbox,
            totals,
        };
        let thread = std::thread::Builder::new()
            .name(String::from("media-files"))
            .spawn(move || files.serve(&requests))?;
        let ringback = Ringback::of(&config.ringback_country_code).samples();
        let sounds = Sounds {
            default,
            ringback: Arc::new(Clip::of(&ringback, true)),
            cache: BTreeMap::new(),
            loader,
        };
        Ok((sounds, thread))
    }

    pub(super) fn ringback(&self) -> Arc<Clip> {
        self.ringback.clone()
    }

    /// The announcement of this name; the default one without a name, or when too many files
    /// are being read already.
    pub(super) fn announcement(&self, name: Option<&str>, now_us: u64) -> Found {
        let Some(name) = name else {
            return Found::Clip(self.default.clone());
        };
        match self.cache.get(name) {
            Some((read_us, clip)) if now_us.saturating_sub(*read_us) < FRESH_US => {
                Found::Clip(clip.clone())
            }
            _ => match self.loader.try_send(String::from(name)) {
                Ok(()) => Found::Soon,
                Err(_) => Found::Clip(self.default.clone()),
            },
        }
    }

    /// Keeps what the loader has read; the longest-kept sound makes room.
    pub(super) fn keep(&mut self, name: String, clip: Arc<Clip>, now_us: u64) {
        if self.cache.len() >= CACHED_SOUNDS && !self.cache.contains_key(&name) {
            let oldest = self.cache.iter().min_by_key(|(_, (read_us, _))| *read_us);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.cache.remove(&oldest);
            }
        }
        self.cache.insert(name, (now_us, clip));
    }
}

fn default_from(path: &Path) -> Result<Clip, Error> {
    let bytes = read(path).map_err(|source| Error::AnnouncementFile {
        path: path.to_owned(),
        source,
    })?;
    Clip::from_wav(&bytes).map_err(|source| Error::Announcement {
        path: path.to_owned(),
        source,
    })
}

/// The thread that reads files.
struct Files {
    folder: PathBuf,
    default: Arc<Clip>,
    mailbox: Arc<Mailbox>,
    totals: Arc<Totals>,
}

impl Files {
    fn serve(&self, requests: &Receiver<String>) {
        while let Ok(name) = requests.recv() {
            let clip = self.load(&name).map(Arc::new).unwrap_or_else(|reason| {
                tracing::warn!(
                    announcement = name,
                    folder = %self.folder.display(),
                    "cannot use this announcement: {reason}; the default one is played"
                );
                self.totals.sounds_missing.count();
                self.default.clone()
            });
            self.mailbox.send(Letter::Loaded { name, clip });
        }
    }

    fn load(&self, name: &str) -> Result<Clip, String> {
        if !stays_inside(name) {
            return Err(String::from(
                "its name must be a file below the announcement folder, without ..",
            ));
        }
        let bytes = read(&self.folder.join(name)).map_err(|e| e.to_string())?;
        Clip::from_wav(&bytes).map_err(|e| e.to_string())
    }
}

/// Whether a name is a plain relative path: an ExoPhone's owner must not read other files.
fn stays_inside(name: &str) -> bool {
    let path = Path::new(name);
    !name.is_empty()
        && name.len() <= MAX_NAME
        && path.components().all(|c| matches!(c, Component::Normal(_)))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before opening: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!(
            "the file is longer than {} seconds of sound",
            wav::MAX_SECONDS
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sounds(config: &MediaConfig) -> Result<Sounds, Error> {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        Sounds::new(config, mailbox, Arc::default()).map(|(sounds, _)| sounds)
    }

    fn config() -> MediaConfig {
        MediaConfig::on([127, 0, 0, 1].into(), 20_000..=20_009)
    }

    #[test]
    fn names_stay_inside_the_folder() {
        for good in ["a.wav", "acme/a b.wav"] {
            assert!(stays_inside(good), "{good}");
        }
        let long = "a".repeat(256);
        for bad in ["", "/etc/passwd", "../a.wav", "a/../../b", "./a.wav", &long] {
            assert!(!stays_inside(bad), "{bad}");
        }
    }

    #[test]
    fn both_laws_say_the_same() {
        let sounds = sounds(&config()).unwrap();
        let Found::Clip(clip) = sounds.announcement(None, 0) else {
            panic!("the default is always at hand");
        };
        assert_eq!(clip.pcmu.len(), clip.pcma.len());
        assert!(!clip.endless && sounds.ringback().endless);
        for (u, a) in clip.pcmu.iter().zip(&clip.pcma) {
            let (u, a) = (g711::ulaw_decode(*u), g711::alaw_decode(*a));
            assert!((i32::from(u) - i32::from(a)).abs() <= 24 + i32::from(u).abs() / 8);
        }
    }

    #[test]
    fn a_default_that_cannot_be_used_is_a_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = MediaConfig {
            default_announcement: Some(folder.path().join("no.wav")),
            ..config()
        };
        let error = sounds(&missing).unwrap_err().to_string();
        assert!(error.contains("no.wav"), "{error}");
        let text = folder.path().join("text.wav");
        std::fs::write(&text, "not a sound").unwrap();
        let wrong = MediaConfig {
            default_announcement: Some(text),
            ..config()
        };
        let error = sounds(&wrong).unwrap_err().to_string();
        assert!(error.contains("8 kHz mono 16-bit"), "{error}");
    }

    #[test]
    fn the_cache_is_bounded_and_reads_again_after_a_while() {
        let mut sounds = sounds(&config()).unwrap();
        let clip = sounds.ringback();
        for n in 0..CACHED_SOUNDS + 10 {
            sounds.keep(format!("{n:03}"), clip.clone(), n as u64);
        }
        assert_eq!(sounds.cache.len(), CACHED_SOUNDS);
        assert!(!sounds.cache.contains_key("000") && sounds.cache.contains_key("073"));
        let fresh = sounds.announcement(Some("073"), 73 + FRESH_US - 1);
        assert!(matches!(fresh, Found::Clip(_)));
        let stale = sounds.announcement(Some("073"), 73 + FRESH_US);
        assert!(matches!(stale, Found::Soon));
    }
}
