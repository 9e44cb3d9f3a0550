//! Table of mistakes: each names its line, its key and what to do.

use super::*;

const TRUNK: &str =
    "[[trunk]]\nname = \"a\"\ntargets = [\"udp:127.0.0.1:5070\"]\naccept_from = [\"127.0.0.1\"]\n";

fn error(text: &str) -> Error {
    let name = Path::new("some/callmask.toml");
    match Config::parse(text, Some(name)) {
        Ok(_) => panic!("accepted: {text}"),
        Err(e) => e,
    }
}

#[test]
fn an_empty_file_runs_on_loopback() {
    let config = Config::load(None).unwrap();
    assert!(config.sip.listen.iter().all(|a| a.ip().is_loopback()));
    assert!(config.media.listen.iter().all(IpAddr::is_loopback));
    assert!(config.api.listen.ip().is_loopback());
    assert!(config.trunks.is_empty());
    assert_eq!(config.store.path, Path::new("data"));
    assert_eq!(
        (config.media.first_port, config.media.last_port),
        (20_000, 29_999)
    );
}

#[test]
fn a_trunk_is_read_with_its_defaults() {
    let config = Config::parse(TRUNK, None).unwrap();
    let trunk = &config.trunks[0];
    assert_eq!(
        (trunk.name.as_str(), trunk.max_calls, trunk.max_cps),
        ("a", 0, 0)
    );
    assert_eq!(trunk.targets[0].host_port, "127.0.0.1:5070");
    assert_eq!(trunk.identity_order.len(), 3);
    assert_eq!(trunk.identity_order[0], IdentityHeader::PAssertedIdentity);
    assert_eq!(trunk.number_format, NumberFormat::E164);
}

#[test]
fn relative_paths_count_from_the_files_folder() {
    let config = Config::parse("[store]\npath = \"d\"\n", Some(Path::new("/etc/x/c.toml")));
    assert_eq!(config.unwrap().store.path, Path::new("/etc/x/d"));
    let config = Config::parse("[store]\npath = \"/var/d\"\n", Some(Path::new("c.toml")));
    assert_eq!(config.unwrap().store.path, Path::new("/var/d"));
}

#[test]
fn every_mistake_names_line_key_and_remedy() {
    let second = format!("{TRUNK}{TRUNK}");
    let listed = |line: &str| format!("{TRUNK}{line}\n");
    let cases: Vec<(String, usize, &str, &str, &str)> = vec![
        (
            "[sip]\nlisten = \"udp:0.0.0.0:5060\"".into(),
            1,
            "[sip] advertise",
            "wildcard",
            "which address",
        ),
        ("[sip]\n\nlisten = ".into(), 3, "", "TOML", "correct"),
        (
            "[spi]\n".into(),
            1,
            "[spi]",
            "unknown section",
            "did you mean sip?",
        ),
        (
            "colour = 1\n".into(),
            1,
            "[colour]",
            "unknown section",
            "known here: sip, trunk",
        ),
        (
            "[sip]\nlisen = \"x\"\n".into(),
            2,
            "[sip] lisen",
            "unknown key",
            "mean listen?",
        ),
        (
            "[log]\nlevle = \"info\"".into(),
            2,
            "[log] levle",
            "unknown key",
            "mean level?",
        ),
        (
            "[sip]\nlisten = 5060\n".into(),
            2,
            "[sip] listen",
            "whole number",
            "list of texts",
        ),
        (
            "[sip]\nlisten = []\n".into(),
            2,
            "[sip] listen",
            "0 entries",
            "1 to 16",
        ),
        (
            "[sip]\nlisten = [\n \"udp:127.0.0.1:5060\",\n \"tcp:127.0.0.1:5060\"]\n".into(),
            4,
            "[sip] listen",
            "tcp is not supported yet",
            "write udp:",
        ),
        (
            "[sip]\nlisten = \"127.0.0.1:5060\"".into(),
            2,
            "[sip] listen",
            "transport",
            "udp:host:port",
        ),
        (
            "[sip]\nlisten = \"udp:sip.example.com:5060\"".into(),
            2,
            "[sip] listen",
            "no address",
            "udp:127.0.0.1:5060",
        ),
        (
            "[sip]\nlisten = [\"udp:127.0.0.1:5060\", \"udp:127.0.0.1:5060\"]".into(),
            2,
            "[sip] listen",
            "twice",
            "remove",
        ),
        (
            "[sip]\nadvertise = \"1.2.3.4:5060\"".into(),
            2,
            "[sip] advertise",
            "host name",
            "without a port",
        ),
        (
            "[sip]\ndomain = \"a b\"".into(),
            2,
            "[sip] domain",
            "host name",
            "without a port",
        ),
        (
            "[sip]\ncountry_code = \"091\"".into(),
            2,
            "[sip] country_code",
            "091",
            "digits",
        ),
        (
            "[sip]\ncountry_code = 91".into(),
            2,
            "[sip] country_code",
            "whole number",
            "quotes",
        ),
        (
            "[sip]\nstrangers = \"ban\"".into(),
            2,
            "[sip] strangers",
            "ban",
            "\"drop\", \"reject\"",
        ),
        (
            "trunk = 1".into(),
            1,
            "[trunk]",
            "list of sections",
            "brackets",
        ),
        (
            "[trunk]\nname = \"a\"".into(),
            1,
            "[trunk]",
            "list of sections",
            "brackets",
        ),
        (
            "[[trunk]]\ntargets = []".into(),
            1,
            "[[trunk]] name",
            "missing",
            "name",
        ),
        (
            "\n[[trunk]]\nname = \"a\"".into(),
            2,
            "[[trunk]] targets",
            "missing",
            "where",
        ),
        (
            "[[trunk]]\nname = \"a\"\ntargets = \"udp:h\"".into(),
            1,
            "[[trunk]] accept_from",
            "missing",
            "list the addresses",
        ),
        (
            "[[trunk]]\nname = \"a b\"".into(),
            2,
            "[[trunk]] name",
            "a b",
            "letters",
        ),
        (
            second,
            6,
            "[[trunk]] name",
            "second trunk named \"a\"",
            "own name",
        ),
        (
            "[[trunk]]\nname = \"a\"\ntargets = \"udp:h:0\"".into(),
            3,
            "[[trunk]] targets",
            "port",
            "udp:host:port",
        ),
        (
            TRUNK.replace("[\"127.0.0.1\"]", "[\"192.0.2.0/33\"]"),
            4,
            "[[trunk]] accept_from",
            "192.0.2.0/33",
            "192.0.2.0/24",
        ),
        (
            listed("identity_order = []"),
            5,
            "[[trunk]] identity_order",
            "0 entries",
            "1 to 3",
        ),
        (
            listed("identity_order = [\"from\", \"from\"]"),
            5,
            "[[trunk]] identity_order",
            "twice",
            "once",
        ),
        (
            listed("identity_order = [\"pai\"]"),
            5,
            "[[trunk]] identity_order",
            "pai",
            "p-asserted-identity",
        ),
        (
            listed("number_format = \"x\""),
            5,
            "[[trunk]] number_format",
            "\"x\"",
            "e164",
        ),
        (
            listed("max_calls = -1"),
            5,
            "[[trunk]] max_calls",
            "out of range",
            "from 0 to",
        ),
        (
            listed("max_cps = 1.5"),
            5,
            "[[trunk]] max_cps",
            "a fraction",
            "whole number",
        ),
        (
            listed("announcement_mode = true"),
            5,
            "[[trunk]] announcement_mode",
            "true or false",
            "quotes",
        ),
        (
            "[media]\nlisten = \"host\"".into(),
            2,
            "[media] listen",
            "host",
            "address",
        ),
        (
            "[media]\nlisten = \"0.0.0.0\"".into(),
            1,
            "[media] advertise",
            "wildcard",
            "which address",
        ),
        (
            "[media]\nports = \"20001-20010\"".into(),
            2,
            "[media] ports",
            "splits",
            "20000-20011",
        ),
        (
            "[media]\nports = \"20000-20000\"".into(),
            2,
            "[media] ports",
            "no port pair",
            "even",
        ),
        (
            "[media]\nports = \"80-90\"".into(),
            2,
            "[media] ports",
            "privileged",
            "1024",
        ),
        (
            "[media]\nquarantine_ms = 50".into(),
            2,
            "[media] quarantine_ms",
            "50 is out of range",
            "from 100",
        ),
        (
            "[calls]\nring_timeout_secs = 0".into(),
            2,
            "[calls] ring_timeout_secs",
            "0 is out",
            "1 to 600",
        ),
        (
            "[calls]\nearly_media = \"x\"".into(),
            2,
            "[calls] early_media",
            "\"x\"",
            "\"hide\"",
        ),
        (
            "[announcement]\nfile = \"none.wav\"".into(),
            2,
            "[announcement] file",
            "some/none.wav",
            "folder",
        ),
        (
            "[store]\npath = \"\"".into(),
            2,
            "[store] path",
            "empty",
            "folder",
        ),
        (
            "[api]\nlisten = \"8080\"".into(),
            2,
            "[api] listen",
            "8080",
            "127.0.0.1:8080",
        ),
        (
            "[api]\nrequests_per_min = 5".into(),
            2,
            "[api] requests_per_min",
            "unknown",
            "listen",
        ),
        ("sip = 1".into(), 1, "[sip]", "not a section", "write [sip]"),
        (
            "[log]\nlevel = \"loud\"".into(),
            2,
            "[log] level",
            "loud",
            "\"info\"",
        ),
    ];
    for (text, line, key, message, remedy) in cases {
        let e = error(&text);
        assert_eq!((e.line, e.key.as_str()), (Some(line), key), "{text}\n{e}");
        assert!(e.message.contains(message), "{text}\n{e}");
        assert!(e.remedy.contains(remedy), "{text}\n{e}");
        let shown = e.to_string();
        assert!(
            shown.starts_with(&format!("some/callmask.toml:{line}: ")),
            "{shown}"
        );
    }
}

#[test]
fn a_missing_file_is_named() {
    let e = Config::load(Some(Path::new("/nowhere/callmask.toml"))).unwrap_err();
    assert!(
        e.to_string()
            .contains("/nowhere/callmask.toml: cannot be read"),
        "{e}"
    );
}

#[test]
fn keys_are_listed_once() {
    let keys = Config::keys();
    for key in [
        "sip.listen",
        "trunk.max_cps",
        "media.ports",
        "calls.drain_secs",
        "log.level",
    ] {
        assert_eq!(keys.iter().filter(|k| *k == key).count(), 1, "{key}");
    }
    assert_eq!(keys.len(), 28, "{keys:?}");
}

fn shipped(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("configs")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_shipped_files_are_sound() {
    for name in ["callmask.toml", "dev.toml"] {
        let (path, text) = shipped(name);
        let config = Config::parse(&text, Some(&path)).unwrap();
        assert_eq!(config.trunks.len(), 1, "{name}");
    }
}

/// The annotated file shows each key, set or commented out; what it shows commented out is
/// accepted too.
#[test]
fn the_annotated_file_shows_every_key() {
    let (path, text) = shipped("callmask.toml");
    let mut section = String::new();
    let mut shown = Vec::new();
    let mut uncommented = String::new();
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let key = bare.split_once(" = ").map(|(key, _)| key);
        let is_key = |k: &&str| k.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if let Some(key) = key.filter(is_key) {
            shown.push(format!("{section}.{key}"));
            uncommented += bare;
        }
        if !line.starts_with('#') {
            uncommented += if key.is_some() { "" } else { line };
        }
        uncommented.push('\n');
    }
    let mut wanted = Config::keys();
    wanted.sort();
    shown.sort();
    assert_eq!(shown, wanted);
    Config::parse(&uncommented, Some(&path)).unwrap();
}

#[test]
fn the_annotated_file_names_the_true_defaults() {
    let (_, text) = shipped("callmask.toml");
    let annotated = Config::parse(&text, None).unwrap();
    let trunk = &annotated.trunks[0];
    let plain = Config::parse(TRUNK, None).unwrap();
    assert_eq!(trunk.identity_order, plain.trunks[0].identity_order);
    assert_eq!(trunk.max_calls, plain.trunks[0].max_calls);
    assert_eq!(annotated.calls, plain.calls);
    assert_eq!(annotated.announcement, plain.announcement);
    assert_eq!(annotated.log, plain.log);
    assert_eq!(annotated.api, plain.api);
    assert_eq!(annotated.media.quarantine_ms, plain.media.quarantine_ms);
    assert_eq!(
        annotated.media.media_timeout_secs,
        plain.media.media_timeout_secs
    );
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let warnings = |text: &str| Config::parse(text, None).unwrap().warnings().join("; ");
    assert!(warnings("").contains("no trunk"));
    let trunk = |from: &str| {
        format!("[[trunk]]\nname = \"t\"\ntargets = \"udp:127.0.0.1\"\naccept_from = {from}\n")
    };
    assert!(warnings(&trunk("[]")).contains("trunk t accepts calls from nowhere"));
    for everything in ["\"0.0.0.0/0\"", "[\"192.0.2.1\", \"::/0\"]"] {
        assert!(warnings(&trunk(everything)).contains("trunk t accepts calls from everywhere"));
    }
    assert_eq!(warnings(&trunk("\"192.0.2.0/24\"")), "");
}
