//! The sections of the file, one function each: keys, defaults and bounds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::error::Error;
use super::read::{Document, Item, Section};
use super::value::{self, Complaint, LogLevel, Strangers};
use super::{Announcement, Api, Calls, Config, Log, MAX_TRUNKS, Media, Sip, Store, Trunk};
use crate::number::NumberPlan;
use crate::switch::settings::{AnnouncementMode, Cidr, EarlyMedia, IdentityHeader, NumberFormat};

/// Most sockets of one kind.
const MAX_LISTEN: usize = 16;
/// Most targets, or accepted prefixes, of one trunk.
const MAX_TRUNK_LIST: usize = 64;
/// Longest trunk name.
const MAX_NAME: usize = 64;
/// India.
const DEFAULT_COUNTRY_CODE: &str = "91";
/// A day: the longest time any limit may be set to.
const DAY_SECS: u32 = 86_400;

const MODES: &[(&str, AnnouncementMode)] = &[
    ("answer", AnnouncementMode::Answer),
    ("early", AnnouncementMode::Early),
];
const IDENTITY_HEADERS: &[(&str, IdentityHeader)] = &[
    ("p-asserted-identity", IdentityHeader::PAssertedIdentity),
    ("remote-party-id", IdentityHeader::RemotePartyId),
    ("from", IdentityHeader::From),
];
const NUMBER_FORMATS: &[(&str, NumberFormat)] = &[
    ("e164", NumberFormat::E164),
    ("plain", NumberFormat::Plain),
    ("national", NumberFormat::National),
];
const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Collects `section.key` for each key asked for.
type Keys = Vec<String>;

/// Reads the whole file.
pub(super) fn config(text: &str, file: Option<&Path>) -> Result<Config, Error> {
    read(text, file, &mut Keys::new())
}

/// Every known key, found by reading a file that has every section.
pub(super) fn keys() -> Vec<String> {
    let mut keys = Keys::new();
    let every = "[[trunk]]\nname = \"t\"\ntargets = \"udp:127.0.0.1\"\naccept_from = []\n";
    // The text is ours: reading it cannot fail, and a test reads the list.
    let _ = read(every, None, &mut keys);
    keys
}

fn read(text: &str, file: Option<&Path>, keys: &mut Keys) -> Result<Config, Error> {
    let document = Document::new(text, file);
    let table = document.table()?;
    let mut root = Section::root(&document, &table);
    let sip = root.section("sip", "[sip]")?;
    let trunk = root.sections("trunk", "[[trunk]]")?;
    let media = root.section("media", "[media]")?;
    let calls = root.section("calls", "[calls]")?;
    let announcement = root.section("announcement", "[announcement]")?;
    let store = root.section("store", "[store]")?;
    let api = root.section("api", "[api]")?;
    let log = root.section("log", "[log]")?;
    root.finish()?;
    Ok(Config {
        file: document.file(),
        sip: read_sip(sip, keys)?,
        trunks: read_trunks(trunk, keys)?,
        media: read_media(media, keys)?,
        calls: read_calls(calls, keys)?,
        announcement: read_announcement(announcement, &document, keys)?,
        store: read_store(store, &document, keys)?,
        api: read_api(api, keys)?,
        log: read_log(log, keys)?,
    })
}

fn done(section: Section<'_>, name: &str, keys: &mut Keys) -> Result<(), Error> {
    for key in section.finish()? {
        let full = format!("{name}.{key}");
        if !keys.contains(&full) {
            keys.push(full);
        }
    }
    Ok(())
}

/// Turns a complaint about a value into an error at its line.
fn at(section: &Section<'_>, key: &str, line: usize, complaint: Complaint) -> Error {
    section.error(key, Some(line), complaint.0, complaint.1)
}

fn count_within(
    section: &Section<'_>,
    key: &str,
    line: usize,
    count: usize,
    least: usize,
    most: usize,
) -> Result<(), Error> {
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let message = format!("{count} entries");
    let remedy = format!("write {least} to {most}");
    Err(section.error(key, Some(line), message, remedy))
}

fn read_sip(mut s: Section<'_>, keys: &mut Keys) -> Result<Sip, Error> {
    let mut listen = vec![SocketAddr::from((
        Ipv4Addr::LOCALHOST,
        value::DEFAULT_SIP_PORT,
    ))];
    if let Some(items) = s.texts("listen")? {
        count_within(&s, "listen", items.line, items.value.len(), 1, MAX_LISTEN)?;
        listen.clear();
        for item in items.value {
            let address = value::listen(&item.value).map_err(|c| at(&s, "listen", item.line, c))?;
            if address.port() != 0 && listen.contains(&address) {
                let complaint = ("the same socket twice".into(), "remove one".into());
                return Err(at(&s, "listen", item.line, complaint));
            }
            listen.push(address);
        }
    }
    let advertise = host(&mut s, "advertise")?;
    if advertise.is_none() && listen.iter().any(|a| a.ip().is_unspecified()) {
        let message = "is missing while listen is a wildcard address";
        let remedy = "say which address or name trunks shall reach this server at";
        return Err(s.error("advertise", None, message, remedy));
    }
    let domain = host(&mut s, "domain")?;
    let plan = number_plan(&mut s)?;
    let words = [("drop", Strangers::Drop), ("reject", Strangers::Reject)];
    let strangers = s.choice("strangers", &words)?.unwrap_or(Strangers::Drop);
    done(s, "sip", keys)?;
    Ok(Sip {
        listen,
        advertise,
        domain,
        plan,
        strangers,
    })
}

fn number_plan(s: &mut Section<'_>) -> Result<NumberPlan, Error> {
    let item = s.text("country_code")?;
    let (code, line) = match &item {
        None => (DEFAULT_COUNTRY_CODE, 0),
        Some(item) => (item.value.as_str(), item.line),
    };
    NumberPlan::new(code).map_err(|_| {
        let complaint = (
            format!("\"{code}\" is not a country code"),
            "write one to three digits that do not begin with 0, as in \"91\"".to_owned(),
        );
        at(s, "country_code", line, complaint)
    })
}

fn host(s: &mut Section<'_>, key: &'static str) -> Result<Option<String>, Error> {
    let Some(item) = s.text(key)? else {
        return Ok(None);
    };
    if !value::is_host(&item.value) {
        let complaint = (
            format!("\"{}\" is not a host name or an address", item.value),
            "write it without a port, as in \"203.0.113.10\"".to_owned(),
        );
        return Err(at(s, key, item.line, complaint));
    }
    Ok(Some(item.value))
}

fn read_trunks(sections: Vec<Section<'_>>, keys: &mut Keys) -> Result<Vec<Trunk>, Error> {
    let mut trunks: Vec<Trunk> = Vec::new();
    for mut s in sections {
        if trunks.len() == MAX_TRUNKS {
            let message = format!("more than {MAX_TRUNKS} trunks");
            return Err(s.error("name", None, message, "give trunks several targets instead"));
        }
        let name = trunk_name(&mut s, &trunks)?;
        let targets = trunk_targets(&mut s)?;
        let accept_from = trunk_sources(&mut s)?;
        let identity_order = trunk_identity(&mut s)?;
        let number_format = s.choice("number_format", NUMBER_FORMATS)?;
        let max_calls = s.number("max_calls", 0..=1_000_000)?;
        let max_cps = s.number("max_cps", 0..=100_000)?;
        let announcement_mode = s.choice("announcement_mode", MODES)?;
        done(s, "trunk", keys)?;
        trunks.push(Trunk {
            name,
            targets,
            accept_from,
            identity_order,
            number_format: number_format.unwrap_or(NumberFormat::E164),
            max_calls: max_calls.unwrap_or(0),
            max_cps: max_cps.unwrap_or(0),
            announcement_mode,
        });
    }
    Ok(trunks)
}

fn trunk_name(s: &mut Section<'_>, before: &[Trunk]) -> Result<String, Error> {
    let Some(item) = s.text("name")? else {
        return Err(s.error(
            "name",
            None,
            "is missing",
            "give each trunk a name of its own",
        ));
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if item.value.is_empty() || item.value.len() > MAX_NAME || !item.value.bytes().all(plain) {
        let message = format!("\"{}\" is not usable as a name", item.value);
        let remedy = format!("use 1 to {MAX_NAME} letters, digits, dots, dashes and underscores");
        return Err(s.error("name", Some(item.line), message, remedy));
    }
    if before.iter().any(|t| t.name == item.value) {
        let message = format!("a second trunk named \"{}\"", item.value);
        return Err(s.error(
            "name",
            Some(item.line),
            message,
            "give each trunk its own name",
        ));
    }
    Ok(item.value)
}

fn trunk_targets(s: &mut Section<'_>) -> Result<Vec<value::Endpoint>, Error> {
    let Some(items) = s.texts("targets")? else {
        let remedy = "say where its calls go, as in targets = [\"udp:sip.example.com:5060\"]";
        return Err(s.error("targets", None, "is missing", remedy));
    };
    let count = items.value.len();
    count_within(s, "targets", items.line, count, 1, MAX_TRUNK_LIST)?;
    let read = |item: &Item<String>| {
        value::endpoint(&item.value).map_err(|c| at(s, "targets", item.line, c))
    };
    items.value.iter().map(read).collect()
}

fn trunk_sources(s: &mut Section<'_>) -> Result<Vec<Cidr>, Error> {
    let Some(items) = s.texts("accept_from")? else {
        let remedy = "list the addresses its calls come from, as in accept_from = \
                      [\"192.0.2.0/24\"]; [] for a trunk that only takes calls";
        return Err(s.error("accept_from", None, "is missing", remedy));
    };
    let count = items.value.len();
    count_within(s, "accept_from", items.line, count, 0, MAX_TRUNK_LIST)?;
    let read = |item: &Item<String>| {
        Cidr::parse(&item.value).ok_or_else(|| {
            let complaint = (
                format!("\"{}\" is not an address or a prefix", item.value),
                "write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32; host names and ports are \
                 not compared"
                    .to_owned(),
            );
            at(s, "accept_from", item.line, complaint)
        })
    };
    items.value.iter().map(read).collect()
}

fn trunk_identity(s: &mut Section<'_>) -> Result<Vec<IdentityHeader>, Error> {
    let key = "identity_order";
    let Some(items) = s.texts(key)? else {
        return Ok(IDENTITY_HEADERS.iter().map(|(_, h)| *h).collect());
    };
    let count = items.value.len();
    count_within(s, key, items.line, count, 1, IDENTITY_HEADERS.len())?;
    let mut order = Vec::new();
    for item in &items.value {
        let header = s.one_of(key, item, IDENTITY_HEADERS)?;
        if order.contains(&header) {
            let complaint = (
                format!("\"{}\" stands there twice", item.value),
                "name each header once".to_owned(),
            );
            return Err(at(s, key, item.line, complaint));
        }
        order.push(header);
    }
    Ok(order)
}

fn read_media(mut s: Section<'_>, keys: &mut Keys) -> Result<Media, Error> {
    let mut listen = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if let Some(items) = s.texts("listen")? {
        count_within(&s, "listen", items.line, items.value.len(), 1, MAX_LISTEN)?;
        listen.clear();
        for item in &items.value {
            listen.push(media_address(&s, "listen", item)?);
        }
    }
    let advertise = match s.text("advertise")? {
        None => None,
        Some(item) => Some(media_address(&s, "advertise", &item)?),
    };
    let unspecified = listen.iter().any(IpAddr::is_unspecified);
    if unspecified && advertise.is_none() {
        let message = "is missing while listen is a wildcard address";
        let remedy = "say which address callers shall send audio to";
        return Err(s.error("advertise", None, message, remedy));
    }
    let (first_port, last_port) = match s.text("ports")? {
        None => (20_000, 29_999),
        Some(item) => value::ports(&item.value).map_err(|c| at(&s, "ports", item.line, c))?,
    };
    // Below 100 ms late packets of the last call would reach the next one on the same port.
    let quarantine_ms = s.number("quarantine_ms", 100..=600_000)?;
    let media_timeout_secs = s.number("media_timeout_secs", 0..=DAY_SECS)?;
    done(s, "media", keys)?;
    Ok(Media {
        listen,
        advertise,
        first_port,
        last_port,
        quarantine_ms: quarantine_ms.unwrap_or(2_000),
        media_timeout_secs: media_timeout_secs.unwrap_or(120),
    })
}

fn media_address(s: &Section<'_>, key: &str, item: &Item<String>) -> Result<IpAddr, Error> {
    item.value.parse().map_err(|_| {
        let complaint = (
            format!("\"{}\" is not an address", item.value),
            "SDP needs an address, as in \"203.0.113.10\", without a port".to_owned(),
        );
        at(s, key, item.line, complaint)
    })
}

fn read_calls(mut s: Section<'_>, keys: &mut Keys) -> Result<Calls, Error> {
    let ring_timeout_secs = s.number("ring_timeout_secs", 1..=600)?;
    let max_call_secs = s.number("max_call_secs", 1..=DAY_SECS)?;
    let words = [("hide", EarlyMedia::Hide), ("relay", EarlyMedia::Relay)];
    let early_media = s.choice("early_media", &words)?;
    let drain_secs = s.number("drain_secs", 0..=DAY_SECS)?;
    done(s, "calls", keys)?;
    Ok(Calls {
        ring_timeout_secs: ring_timeout_secs.unwrap_or(45),
        max_call_secs: max_call_secs.unwrap_or(14_400),
        early_media: early_media.unwrap_or(EarlyMedia::Hide),
        drain_secs: drain_secs.unwrap_or(60),
    })
}

fn read_announcement(
    mut s: Section<'_>,
    document: &Document<'_>,
    keys: &mut Keys,
) -> Result<Announcement, Error> {
    let mode = s.choice("mode", MODES)?;
    let max_concurrent = s.number("max_concurrent", 0..=100_000)?;
    let file = match s.text("file")? {
        None => None,
        Some(item) => {
            let path = document.folder().join(&item.value);
            if !path.is_file() {
                let complaint = (
                    format!("there is no file {}", path.display()),
                    "relative paths count from the folder of the configuration file".to_owned(),
                );
                return Err(at(&s, "file", item.line, complaint));
            }
            Some(path)
        }
    };
    done(s, "announcement", keys)?;
    Ok(Announcement {
        mode: mode.unwrap_or(AnnouncementMode::Answer),
        max_concurrent: max_concurrent.unwrap_or(500),
        file,
    })
}

fn read_store(
    mut s: Section<'_>,
    document: &Document<'_>,
    keys: &mut Keys,
) -> Result<Store, Error> {
    let path = match s.text("path")? {
        None => "data".to_owned(),
        Some(item) if item.value.is_empty() => {
            let complaint = ("is empty".into(), "name a folder, as in \"data\"".into());
            return Err(at(&s, "path", item.line, complaint));
        }
        Some(item) => item.value,
    };
    done(s, "store", keys)?;
    Ok(Store {
        path: document.folder().join(path),
    })
}

fn read_api(mut s: Section<'_>, keys: &mut Keys) -> Result<Api, Error> {
    let listen = match s.text("listen")? {
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        Some(item) => item.value.parse().map_err(|_| {
            let complaint = (
                format!("\"{}\" is not an address and a port", item.value),
                "write it as \"127.0.0.1:8080\"".to_owned(),
            );
            at(&s, "listen", item.line, complaint)
        })?,
    };
    done(s, "api", keys)?;
    Ok(Api { listen })
}

fn read_log(mut s: Section<'_>, keys: &mut Keys) -> Result<Log, Error> {
    let level = s.choice("level", LEVELS)?.unwrap_or(LogLevel::Info);
    done(s, "log", keys)?;
    Ok(Log { level })
}
