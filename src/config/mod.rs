//! The configuration file: TOML, every key checked, every mistake named with its line and remedy.
//!
//! A key exists here only when the code honours it; an unknown key is an error, because a
//! setting that is silently ignored is worse than none. With no file at all the defaults run a
//! server on loopback. Relative paths count from the folder of the file.

pub mod capacity;
pub mod error;
mod read;
mod resolve;
mod sections;
pub mod value;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

pub use capacity::{Capacity, raise_descriptor_limit};
pub use error::Error;
pub use resolve::Resolved;
pub use value::{Endpoint, LogLevel, Strangers};

use crate::number::NumberPlan;
use crate::switch::settings::{AnnouncementMode, Cidr, EarlyMedia, IdentityHeader, NumberFormat};

/// Largest configuration file read, in bytes: far beyond any honest one.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most trunks in one configuration.
pub const MAX_TRUNKS: usize = 256;

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it came from; `None` = the defaults.
    pub file: Option<PathBuf>,
    /// `[sip]`
    pub sip: Sip,
    /// `[[trunk]]`, in the order of the file.
    pub trunks: Vec<Trunk>,
    /// `[media]`
    pub media: Media,
    /// `[calls]`
    pub calls: Calls,
    /// `[announcement]`
    pub announcement: Announcement,
    /// `[store]`
    pub store: Store,
    /// `[api]`
    pub api: Api,
    /// `[log]`
    pub log: Log,
}

/// `[sip]`: our side of the signalling.
#[derive(Debug, Clone, PartialEq)]
pub struct Sip {
    /// Sockets to open; port 0 lets the kernel choose.
    pub listen: Vec<SocketAddr>,
    /// Host others reach us at, when it differs from the bound address: what we write in Via and
    /// Contact. A host name or an address, without a port.
    pub advertise: Option<String>,
    /// Host in the URIs of our From and P-Asserted-Identity; `None` = the advertised host.
    pub domain: Option<String>,
    /// How numbers in national format are read and written, from `country_code`.
    pub plan: NumberPlan,
    /// What happens to datagrams from addresses that belong to no trunk.
    pub strangers: Strangers,
}

/// `[[trunk]]`: a carrier.
#[derive(Debug, Clone, PartialEq)]
pub struct Trunk {
    /// Its unique name.
    pub name: String,
    /// Where its calls go, tried in order; at least one.
    pub targets: Vec<Endpoint>,
    /// Addresses whose calls and identity headers are trusted.
    pub accept_from: Vec<Cidr>,
    /// Where to look for the caller, in order; never empty.
    pub identity_order: Vec<IdentityHeader>,
    /// How numbers are written to this trunk.
    pub number_format: NumberFormat,
    /// Calls at once, both directions; 0 = unlimited.
    pub max_calls: u32,
    /// New calls a second; 0 = unlimited.
    pub max_cps: u32,
    /// This trunk's own announcement mode.
    pub announcement_mode: Option<AnnouncementMode>,
}

/// `[media]`: RTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// Addresses to bind; each gives the whole port range once.
    pub listen: Vec<IpAddr>,
    /// Address written into SDP, when it differs from the bound one.
    pub advertise: Option<IpAddr>,
    /// First port of the range, even.
    pub first_port: u16,
    /// Last port of the range, odd.
    pub last_port: u16,
    /// How long a closed port pair rests, in milliseconds.
    pub quarantine_ms: u32,
    /// A call without RTP or RTCP from either side ends after this; 0 = never.
    pub media_timeout_secs: u32,
}

/// `[calls]`: limits of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Calls {
    /// Longest time a callee may ring.
    pub ring_timeout_secs: u32,
    /// Longest call.
    pub max_call_secs: u32,
    /// What the caller hears before the answer.
    pub early_media: EarlyMedia,
    /// How long live calls may go on after SIGTERM.
    pub drain_secs: u32,
}

/// `[announcement]`: "This number is not active".
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// How it is given, unless the trunk says otherwise.
    pub mode: AnnouncementMode,
    /// Announcements at once.
    pub max_concurrent: u32,
    /// A WAV file of 8 kHz mono; `None` = the built-in one.
    pub file: Option<PathBuf>,
}

/// `[store]`: where data lives.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// Folder of the allocations, the call log and the admin socket.
    pub path: PathBuf,
}

/// `[api]`: HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    /// Address of the public listener; port 0 lets the kernel choose.
    pub listen: SocketAddr,
}

/// `[log]`: what is told on standard error.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The least severe level that is printed.
    pub level: LogLevel,
}

impl Config {
    /// Reads and checks a file; `None` gives the defaults, with paths relative to the working
    /// folder.
    pub fn load(file: Option<&Path>) -> Result<Config, Error> {
        let Some(path) = file else {
            return Config::parse("", None);
        };
        let text = read_bounded(path).map_err(|why| Error::unreadable(path, &why))?;
        Config::parse(&text, Some(path))
    }

    /// Checks a text that came from `file` (named in errors; its folder is where relative paths
    /// begin).
    pub fn parse(text: &str, file: Option<&Path>) -> Result<Config, Error> {
        sections::config(text, file)
    }

    /// Every key that a file can hold, as `section.key`, in the order of the annotated file.
    pub fn keys() -> Vec<String> {
        sections::keys()
    }

    /// Where relative paths begin: the file's folder, or the working folder (empty).
    pub fn folder(&self) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent);
        folder.map(Path::to_owned).unwrap_or_default()
    }

    /// What is allowed, but hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.trunks.is_empty() {
            found.push("no trunk is configured: every call is dropped".to_owned());
        }
        for Trunk {
            name, accept_from, ..
        } in &self.trunks
        {
            if accept_from.is_empty() {
                found.push(format!(
                    "trunk {name} accepts calls from nowhere: it can only take calls"
                ));
            }
            if accept_from.iter().any(Cidr::is_everything) {
                found.push(format!(
                    "trunk {name} accepts calls from everywhere: whoever reaches this server can \
                     call as any number"
                ));
            }
        }
        found
    }

    /// The SQLite file of the call log.
    pub fn call_log(&self) -> PathBuf {
        self.store.path.join("calls.sqlite")
    }

    /// The admin socket of a server on this store.
    pub fn admin_socket(&self) -> PathBuf {
        self.store.path.join("admin.sock")
    }
}

/// Reads the file, or says in words why that failed.
fn read_bounded(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut text = String::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    read.map_err(|e| e.to_string())?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
