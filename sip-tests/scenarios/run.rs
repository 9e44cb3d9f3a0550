//! Plays one case against a server of its own and judges it.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use callmask::phone::server::{self, Home, Server};
use regex::Regex;
use serde_json::Value;
use tokio::time::{interval, timeout};

use crate::case::{Case, EXOPHONE, INVITE, PEOPLE, Step, Target};
use crate::script::{Logged, Player, Script, Seat};
use crate::watch::Watch;

/// Longest wait for a condition of a case: longer than Timer B (32 s) is never needed.
const PATIENCE: Duration = Duration::from_secs(40);
/// Longest time from SIGTERM to the end of a server without calls.
const STOP_PATIENCE: Duration = Duration::from_secs(8);
/// How often the command line is asked.
pub(crate) const POLL: Duration = Duration::from_millis(100);
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
pub(crate) struct Known {
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
    let trunk = config.get_mut("trunk").and_then(|t| t.get_mut(0));
    if let Some(toml::Value::Table(trunk)) = trunk {
        server::merge(trunk, &case.says.trunk);
    }
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
        stage
            .judge_records(Some(&Watch::of(&server)?), wrong)
            .await?;
        server.terminate().map_err(|e| e.to_string())?;
    }
    match server.wait_end(STOP_PATIENCE).await {
        Ok(status) if status.success() => {}
        Ok(status) => wrong.push(format!("after SIGTERM the server ends with {status}")),
        Err(e) => wrong.push(format!("after SIGTERM: {e}")),
    }
    if case.says.expect.stopped {
        // The store opens only when the server is gone, and then tells the same.
        stage.judge_records(None, wrong).await?;
    }
    stage.judge_log(&server.lines().join("\n"), wrong)
}

pub(crate) struct Stage<'a> {
    pub(crate) case: &'a Case,
    pub(crate) places: &'a Places,
    folder: PathBuf,
    pub(crate) home: &'a Home,
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
        self.judge_caller(&caller.log()?, wrong)?;
        let log = match &mut far {
            FarEnd::Nobody => return Ok(()),
            FarEnd::Plays(callee) => {
                if let Err(e) = callee.end().await {
                    wrong.push(e);
                }
                callee.log()?
            }
            FarEnd::Watched(socket) => drain(socket)?,
        };
        self.judge_callee(&log, wrong)
    }

    /// What the scripts and commands of this case may name.
    pub(crate) fn values(&self, callee_side: bool, known: &Known) -> Vec<(&'static str, String)> {
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
            exact: self.case.says.exact,
            long: self.case.says.long,
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
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
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
fn drain(socket: &UdpSocket) -> Result<Vec<Logged>, String> {
    socket.set_nonblocking(true).map_err(|e| e.to_string())?;
    let mut heard = Vec::new();
    let mut buffer = vec![0_u8; LARGEST];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                let message = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                heard.push(Logged {
                    received: true,
                    text: message.into_owned(),
                });
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
