//! `case.toml`: what a scenario sets up, what stands at the trunk's far end, and what must be
//! true afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The ExoPhone of every case.
pub(crate) const EXOPHONE: &str = "+914412345678";
/// The people of every case, by the names that cases use.
pub(crate) const PEOPLE: [(&str, &str); 3] = [
    ("CUSTOMER", "+919876543210"),
    ("AGENT", "+919811112222"),
    ("STRANGER", "+917700990011"),
];

/// What a case may change in the caller's INVITE, and what stands there otherwise.
pub(crate) const INVITE: [(&str, &str); 4] = [
    ("MAX_FORWARDS", "70"),
    ("CONTENT_TYPE", "application/sdp"),
    ("FORMATS", "0 8 96"),
    // Begins with a line break: further header fields.
    ("MORE", ""),
];

/// One scenario.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// `NN-name`.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// `case.toml`.
    pub(crate) says: Says,
}

/// The content of `case.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Says {
    /// One sentence: who does what, and what must happen.
    pub(crate) description: String,
    /// Numbers in the list of SIP requirements that this case shows.
    pub(crate) requirements: Vec<u32>,
    /// Who calls: a name of [`PEOPLE`], or a user part as it stands.
    #[serde(default = "customer")]
    pub(crate) caller: String,
    /// Who is called, when anybody is.
    #[serde(default = "agent")]
    pub(crate) callee: String,
    /// The address the caller sends from.
    #[serde(default = "home")]
    pub(crate) caller_address: String,
    /// What stands at the trunk's target.
    #[serde(default)]
    pub(crate) target: Target,
    /// The final code a refusing callee sends.
    pub(crate) code: Option<u16>,
    /// What differs in the caller's INVITE: names of [`INVITE`].
    #[serde(default)]
    pub(crate) invite: BTreeMap<String, String>,
    /// Media port pairs of the server.
    #[serde(default = "pairs")]
    pub(crate) pairs: u16,
    /// Configuration keys that differ from the default ones.
    #[serde(default)]
    pub(crate) config: toml::Table,
    /// Keys of the one trunk that differ from the default ones.
    #[serde(default)]
    pub(crate) trunk: toml::Table,
    /// SIPp repeats nothing by itself and takes every repetition for a message of its own.
    #[serde(default)]
    pub(crate) exact: bool,
    /// Waits for 64·T1 or longer: played only in long runs.
    #[serde(default)]
    pub(crate) long: bool,
    /// Done before anybody calls; by default one ExoPhone and one allocation.
    #[serde(default = "one_allocation")]
    pub(crate) setup: Vec<Step>,
    /// Done while the caller's script runs.
    #[serde(default)]
    pub(crate) step: Vec<Step>,
    /// What must be true afterwards.
    pub(crate) expect: Expect,
}

/// What stands at the trunk's target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Target {
    /// SIPp with `callee.xml`.
    #[default]
    Sipp,
    /// A socket that must receive nothing.
    Untouched,
    /// A socket that must receive INVITEs of one call, and answers nothing.
    Silent,
    /// Nobody: the port is closed.
    Absent,
}

/// One thing to do; exactly one of the keys is set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// A `callmask` command that must succeed. `{{SID}}` is the live call.
    pub(crate) cli: Option<String>,
    /// With `cli`: repeat until its output matches this regular expression.
    pub(crate) until: Option<String>,
    /// Wait until a live call has this status.
    pub(crate) wait: Option<String>,
    /// Run `NAME.xml` as a further caller to its end.
    pub(crate) start: Option<String>,
    /// `term`: send SIGTERM to the server.
    pub(crate) signal: Option<String>,
    /// Wait until the server's log matches this regular expression.
    pub(crate) log: Option<String>,
    /// With `cli`: what it prints becomes `{{ID}}`.
    #[serde(default)]
    pub(crate) is_id: bool,
}

/// What must be true at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// The call records there must be, oldest first, by the fields that matter; `"null"` for a
    /// field without a value.
    #[serde(default)]
    pub(crate) record: Vec<BTreeMap<String, toml::Value>>,
    /// A regular expression that the server's log must match.
    pub(crate) log: Option<String>,
    /// Texts that neither side may receive, beside the other's numbers and canary.
    #[serde(default)]
    pub(crate) forbidden: Vec<String>,
    /// The caller receives no SIP message at all.
    #[serde(default)]
    pub(crate) caller_hears_nothing: bool,
    /// The server has been told to stop by a step of the case.
    #[serde(default)]
    pub(crate) stopped: bool,
    /// Somebody leaves the server without an answer: what it holds for them is not awaited.
    #[serde(default)]
    pub(crate) lingers: bool,
    /// How often a side received what.
    #[serde(default)]
    pub(crate) heard: Vec<Times>,
}

/// How often a side received a kind of message.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Times {
    /// Who.
    pub(crate) side: Side,
    /// A regular expression that the whole message matches.
    pub(crate) like: String,
    /// At least so often.
    #[serde(default)]
    pub(crate) least: usize,
    /// At most so often; without it exactly `least` times.
    pub(crate) most: Option<usize>,
}

/// A side of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// Who placed it.
    Caller,
    /// Who was called.
    Callee,
}

fn customer() -> String {
    "CUSTOMER".to_owned()
}

fn agent() -> String {
    "AGENT".to_owned()
}

fn home() -> String {
    "127.0.0.1".to_owned()
}

fn pairs() -> u16 {
    8
}

fn one_allocation() -> Vec<Step> {
    let cli = |text: &str| Step {
        cli: Some(text.to_owned()),
        ..Step::default()
    };
    vec![
        cli("exophone add {{EXOPHONE}}"),
        cli("allocation create --exophone {{EXOPHONE}} --customer {{CUSTOMER}} --agent {{AGENT}}"),
    ]
}

impl Case {
    /// Reads the case in this folder.
    pub(crate) fn read(folder: &Path) -> Result<Case, String> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let file = folder.join("case.toml");
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{name}: {e}"))?;
        let says: Says = toml::from_str(&text).map_err(|e| format!("{name}/case.toml: {e}"))?;
        if says.requirements.is_empty() {
            return Err(format!("{name}/case.toml names no requirement"));
        }
        let mut changed = says.invite.keys();
        if let Some(odd) = changed.find(|k| INVITE.iter().all(|(n, _)| n != k)) {
            return Err(format!("{name}/case.toml: the INVITE has no {odd}"));
        }
        Ok(Case {
            name: name.into_owned(),
            folder: folder.to_owned(),
            says,
        })
    }

    /// All cases below `root`, in order of their names.
    pub(crate) fn all(root: &Path) -> Result<Vec<Case>, String> {
        let entries = std::fs::read_dir(root).map_err(|e| format!("{}: {e}", root.display()))?;
        let mut folders: Vec<PathBuf> = entries
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.join("case.toml").is_file())
            .collect();
        folders.sort();
        folders.iter().map(|f| Case::read(f)).collect()
    }

    /// The number behind a name of [`PEOPLE`], or the text itself.
    pub(crate) fn number(name: &str) -> &str {
        PEOPLE
            .iter()
            .find(|(n, _)| *n == name)
            .map_or(name, |(_, number)| number)
    }

    /// Every number of [`PEOPLE`] but this one, national digits only: what its owner must not
    /// see.
    pub(crate) fn hidden_from(name: &str) -> Vec<&'static str> {
        PEOPLE
            .iter()
            .filter(|(n, _)| *n != name)
            .map(|(_, number)| number.trim_start_matches("+91"))
            .collect()
    }
}
