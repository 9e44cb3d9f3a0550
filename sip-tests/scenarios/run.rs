//! Plays one case against a server of its own and judges it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use callmask::phone::server::{self, Home, Server};
use regex::Regex;
use serde_json::Value;
use tokio::time::{interval, timeout};

use crate::case::{Case, EXOPHONE, INVITE, PEOPLE, Step, Target};
use crate::script::{Heard, Player, Script, Seat};

/// Longest wait for a condition of a case: longer than Timer B (32 s) is never needed.
const PATIENCE: Duration = Duration::from_secs(40);
/// Longest time from SIGTERM to the end of a server without calls.
const STOP_PATIENCE: Duration = Duration::from_secs(8);
/// Longest time from the end of a call to its record.
const RECORD_PATIENCE: Duration = Duration::from_secs(6);
/// How often the command line is asked.
const POLL: Duration = Duration::from_millis(100);
/// Largest datagram a watched socket takes.
const LARGEST: usize = 65_535;

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The callmask binary.
    pub(crate) binary: PathBuf,
    /// Script fragments.
    pub(crate) fragments: PathBuf,
    /// Filled scripts and logs, one folder a case.
    pub(crate) work: PathBuf,
}

/// Everything that was found wrong, in words; empty when the case holds.
pub(crate) async fn run(case: &Case, places: &Places) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(e) = play(case, places, &mut wrong).await {
        wrong.push(e);
    }
    wrong
}

/// What steps found out.
#[derive(Debug, Default)]
struct Known {
    /// The live call.
    sid: String,
    /// What the command marked `is_id` printed.
    id: String,
}

/// What stands at the trunk's target during a case.
enum FarEnd {
    Plays(Box<Player>),
    Watched(UdpSocket),
    Nobody,
}

async fn play(case: &Case, places: &Places, wrong: &mut Vec<String>) -> Result<(), String> {
    let folder = places.work.join(&case.name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let target = Seat::take("127.0.0.1")?;
    let mut config =
        server::config(target.address(), case.says.pairs).map_err(|e| e.to_string())?;
    server::merge(&mut config, &case.says.config);
    let home = Home::new(&places.binary, &config).map_err(|e| e.to_string())?;
    let mut server = home.serve().await.map_err(|e| e.to_string())?;
    let stage = Stage {
        case,
        places,
        folder,
        home: &home,
        server: server.sip(),
    };
    let mut known = Known::default();
    let played = stage.act(&server, target, &mut known, wrong).await;
    let log = server.lines().join("\n");
    let _ = std::fs::write(stage.folder.join("serve.log"), &log);
    played?;
    if !case.says.expect.stopped {
        if !server.is_alive() {
            return Err("the server died".to_owned());
        }
        stage.judge_records(wrong).await?;
        server.terminate().map_err(|e| e.to_string())?;
    }
    match server.wait_end(STOP_PATIENCE).await {
        Ok(status) if status.success() => {}
        Ok(status) => wrong.push(format!("after SIGTERM the server ends with {status}")),
        Err(e) => wrong.push(format!("after SIGTERM: {e}")),
    }
    if case.says.expect.stopped {
        // The store opens only when the server is gone, and then tells the same.
        stage.judge_records(wrong).await?;
    }
    stage.judge_log(&server.lines().join("\n"), wrong)
}

struct Stage<'a> {
    case: &'a Case,
    places: &'a Places,
    folder: PathBuf,
    home: &'a Home,
    server: SocketAddr,
}

impl Stage<'_> {
    /// Sets up, lets both sides play, does the steps and judges what each side received.
    async fn act(
        &self,
        server: &Server,
        target: Seat,
        known: &mut Known,
        wrong: &mut Vec<String>,
    ) -> Result<(), String> {
        let says = &self.case.says;
        for step in &says.setup {
            self.step(step, server, known).await?;
        }
        let mut far = match says.target {
            Target::Sipp => FarEnd::Plays(Box::new(self.start("callee", target, None).await?)),
            Target::Absent => {
                target.leave().await;
                FarEnd::Nobody
            }
            Target::Untouched | Target::Silent => {
                FarEnd::Watched(target.into_socket().ok_or("a seat has sockets")?)
            }
        };
        let local = Seat::take(&says.caller_address)?;
        let mut caller = self.start("caller", local, Some(self.server)).await?;
        for step in &says.step {
            self.step(step, server, known).await?;
        }
        if let Err(e) = caller.end().await {
            wrong.push(e);
        }
        let heard = caller.heard()?;
        if says.expect.caller_hears_nothing && !heard.is_empty() {
            wrong.push(format!("the caller received {} messages", heard.len()));
        }
        if !says.expect.caller_hears_nothing && heard.is_empty() {
            wrong.push("the caller received nothing".to_owned());
        }
        self.judge_heard("caller", &says.caller, "canary-b", &heard, wrong)?;
        let heard = match &mut far {
            FarEnd::Nobody => return Ok(()),
            FarEnd::Plays(callee) => {
                if let Err(e) = callee.end().await {
                    wrong.push(e);
                }
                callee.heard()?
            }
            FarEnd::Watched(socket) => drain(socket)?,
        };
        self.judge_far_end(&heard, wrong);
        self.judge_heard("callee", &says.callee, "canary-a", &heard, wrong)
    }

    /// What the scripts and commands of this case may name.
    fn values(&self, callee_side: bool, known: &Known) -> Vec<(&'static str, String)> {
        let says = &self.case.says;
        let (caller, callee) = (Case::number(&says.caller), Case::number(&says.callee));
        let (own, other) = if callee_side {
            ("canary-b", "canary-a")
        } else {
            ("canary-a", "canary-b")
        };
        let owner = if callee_side {
            &says.callee
        } else {
            &says.caller
        };
        let digits = |number: &str| number.trim_start_matches('+').to_owned();
        let mut values = vec![
            ("EXOPHONE", EXOPHONE.to_owned()),
            ("EXOPHONE_DIGITS", digits(EXOPHONE)),
            ("CALLER", caller.to_owned()),
            ("CALLEE", callee.to_owned()),
            ("CALLEE_DIGITS", digits(callee)),
            ("OTHER_DIGITS", Case::hidden_from(owner).join("|")),
            ("OTHER_CANARY", other.to_owned()),
            ("OWN_CANARY", own.to_owned()),
            ("CODE", says.code.map(|c| c.to_string()).unwrap_or_default()),
            ("SID", known.sid.clone()),
            ("ID", known.id.clone()),
        ];
        values.extend(INVITE.iter().map(|(name, usual)| {
            let changed = says.invite.get(*name).map(String::as_str);
            (*name, changed.unwrap_or(usual).to_owned())
        }));
        values.extend(PEOPLE.iter().map(|(n, number)| (*n, (*number).to_owned())));
        values
    }

    async fn start(
        &self,
        name: &str,
        seat: Seat,
        server: Option<SocketAddr>,
    ) -> Result<Player, String> {
        let mut values = self.values(server.is_none(), &Known::default());
        // Makes the branches of each script its own.
        values.push(("RUN", seat.address().port().to_string()));
        let script = Script {
            source: self.case.folder.join(format!("{name}.xml")),
            folder: &self.folder,
            name,
            seat,
            server,
            values: &values,
        };
        script.play(&self.places.fragments).await
    }

    async fn step(&self, step: &Step, server: &Server, known: &mut Known) -> Result<(), String> {
        if let Some(command) = &step.cli {
            let command = self.fill(command, known)?;
            let said = self.command(&command, step.until.as_deref()).await?;
            if step.is_id {
                known.id = said;
            }
            return Ok(());
        }
        if let Some(status) = &step.wait {
            let look = || async {
                let live = self.home.ask_json(&["call", "live"]).await.ok()?;
                let mut calls = live.as_array()?.iter();
                let call = calls.find(|c| text(c, "status") == Some(status))?;
                text(call, "sid").map(str::to_owned)
            };
            let what = format!("a live call that is {status}");
            known.sid = until(&what, look).await?;
        }
        if let Some(pattern) = &step.log {
            let pattern = Regex::new(pattern).map_err(|e| e.to_string())?;
            let look = || async {
                server
                    .lines()
                    .iter()
                    .any(|l| pattern.is_match(l))
                    .then_some(())
            };
            until(&format!("a line of the log like {pattern}"), look).await?;
        }
        if let Some(name) = &step.start {
            let local = Seat::take(&self.case.says.caller_address)?;
            let mut player = self.start(name, local, Some(self.server)).await?;
            player.end().await?;
        }
        match step.signal.as_deref() {
            Some("term") => server.terminate().map_err(|e| e.to_string())?,
            Some(other) => return Err(format!("unknown signal {other}")),
            None => {}
        }
        Ok(())
    }

    async fn command(&self, command: &str, wanted: Option<&str>) -> Result<String, String> {
        let args: Vec<&str> = command.split_whitespace().collect();
        let Some(wanted) = wanted else {
            let asked = self.home.ask(&args).await;
            return asked.map_err(|e| e.to_string());
        };
        let wanted = Regex::new(wanted).map_err(|e| e.to_string())?;
        let look = || async {
            let said = self.home.run(&args).await.ok()?;
            wanted.is_match(&said.out).then_some(said.out)
        };
        until(&format!("`{command}` to say {wanted}"), look).await
    }

    fn fill(&self, text: &str, known: &Known) -> Result<String, String> {
        crate::script::fill(text, &self.values(false, known), &self.places.fragments)
    }

    /// No message that a side received may match the others' numbers or the other's canary.
    fn judge_heard(
        &self,
        side: &str,
        owner: &str,
        canary: &str,
        heard: &[Heard],
        wrong: &mut Vec<String>,
    ) -> Result<(), String> {
        let mut forbidden: Vec<String> = Case::hidden_from(owner)
            .iter()
            .map(|n| (*n).to_owned())
            .collect();
        forbidden.push(canary.to_owned());
        forbidden.extend(self.case.says.expect.forbidden.iter().cloned());
        for pattern in forbidden {
            let pattern = Regex::new(&pattern).map_err(|e| e.to_string())?;
            if let Some(Heard(message)) = heard.iter().find(|h| pattern.is_match(&h.0)) {
                let line = message.lines().find(|l| pattern.is_match(l));
                let line = line.unwrap_or_default();
                wrong.push(format!("the {side} received {pattern}, as in: {line}"));
            }
        }
        Ok(())
    }

    /// At most one leg B, and none where there must be none.
    fn judge_far_end(&self, heard: &[Heard], wrong: &mut Vec<String>) {
        let mut legs: Vec<&str> = heard
            .iter()
            .filter(|h| h.0.starts_with("INVITE "))
            .filter_map(|h| h.0.lines().find(|l| l.starts_with("Call-ID:")))
            .collect();
        legs.sort_unstable();
        legs.dedup();
        let wanted = usize::from(self.case.says.target != Target::Untouched);
        if legs.len() != wanted {
            wrong.push(format!("{} legs B were tried, not {wanted}", legs.len()));
        }
        // RFC 3261 §9.1: no CANCEL to who never answered anything.
        let silent = self.case.says.target == Target::Silent;
        if silent && heard.iter().any(|h| h.0.starts_with("CANCEL ")) {
            wrong.push("a CANCEL came before any provisional response".to_owned());
        }
        if self.case.says.target == Target::Untouched && !heard.is_empty() {
            wrong.push(format!("the target received {} messages", heard.len()));
        }
    }

    /// As many records as expected, the oldest as expected, and no live call.
    async fn judge_records(&self, wrong: &mut Vec<String>) -> Result<(), String> {
        let expect = &self.case.says.expect;
        let mut last = (Vec::new(), Vec::new());
        let mut pace = interval(POLL);
        let settled = async {
            loop {
                pace.tick().await;
                let list = |v: Value| v.as_array().cloned().unwrap_or_default();
                let records = self.home.ask_json(&["call", "list"]).await;
                let live = self.home.ask_json(&["call", "live"]).await;
                last = (
                    records.map(list).map_err(|e| e.to_string())?,
                    live.map(list).map_err(|e| e.to_string())?,
                );
                if last.0.len() == expect.record.len() && last.1.is_empty() {
                    return Ok::<(), String>(());
                }
            }
        };
        if let Ok(result) = timeout(RECORD_PATIENCE, settled).await {
            result?;
        }
        let (mut records, live) = last;
        if !live.is_empty() {
            wrong.push(format!("{} calls are still live", live.len()));
        }
        if records.len() != expect.record.len() {
            let (found, wanted) = (records.len(), expect.record.len());
            wrong.push(format!("{found} records, not {wanted}"));
        }
        // Call ids begin with the time of the INVITE.
        records.sort_by_key(|r| text(r, "sid").map(str::to_owned));
        for (record, wanted) in records.iter().zip(&expect.record) {
            self.judge_record(record, wanted, wrong)?;
        }
        Ok(())
    }

    fn judge_record(
        &self,
        record: &Value,
        wanted: &BTreeMap<String, toml::Value>,
        wrong: &mut Vec<String>,
    ) -> Result<(), String> {
        let exophone = toml::Value::String(EXOPHONE.to_owned());
        let always = [("exophone".to_owned(), exophone)];
        for (key, value) in always.iter().map(|(k, v)| (k, v)).chain(wanted) {
            let value = match value {
                toml::Value::String(s) if s == "null" => Value::Null,
                toml::Value::String(s) => self.fill(s, &Known::default())?.into(),
                other => serde_json::to_value(other).map_err(|e| e.to_string())?,
            };
            let found = record.get(key).unwrap_or(&Value::Null);
            if *found != value {
                wrong.push(format!("the record's {key} is {found}, not {value}"));
            }
        }
        Ok(())
    }

    /// No full number in the log; the line the case expects.
    fn judge_log(&self, log: &str, wrong: &mut Vec<String>) -> Result<(), String> {
        for (_, number) in PEOPLE {
            if log.contains(number.trim_start_matches("+91")) {
                wrong.push("a full number stands in the server's log".to_owned());
            }
        }
        if log.contains("panicked at") {
            wrong.push("something panicked in the server".to_owned());
        }
        if let Some(pattern) = &self.case.says.expect.log {
            let pattern = Regex::new(pattern).map_err(|e| e.to_string())?;
            if !pattern.is_match(log) {
                wrong.push(format!("no line of the server's log matches {pattern}"));
            }
        }
        Ok(())
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// Asks until there is an answer.
async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> Result<T, String> {
    let mut pace = interval(POLL);
    let found = async {
        loop {
            pace.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    timeout(PATIENCE, found)
        .await
        .map_err(|_| format!("waited {} s for {what}", PATIENCE.as_secs()))
}

/// What waits in the kernel's buffer of a socket that nobody has read yet.
fn drain(socket: &UdpSocket) -> Result<Vec<Heard>, String> {
    socket.set_nonblocking(true).map_err(|e| e.to_string())?;
    let mut heard = Vec::new();
    let mut buffer = vec![0_u8; LARGEST];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                let message = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                heard.push(Heard(message.into_owned()));
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(heard),
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// The folder of this file: where the cases are.
pub(crate) fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sip-tests/scenarios")
}
