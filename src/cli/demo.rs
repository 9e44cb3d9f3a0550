//! `callmask demo`: shows masking at work on this machine, with nothing to set up.
//!
//! It runs this very binary's `serve` as a child with a throw-away store on loopback ports that
//! the kernel chooses, adds an ExoPhone and an allocation through the command line, and lets test
//! phones call through it over real sockets with real audio. It judges only by what the phones
//! received and what the command line reports.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::phone::ladder::{Side, draw};
use crate::phone::server::{Home, Server, config};
use crate::phone::{Call, Carrier, Error, PATIENCE, Phone, Profile, Source, random_hex, sound};

/// `callmask demo`
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct DemoArgs {
    /// Leave the configuration, the store and the log where they are, and say where that is.
    #[arg(long)]
    pub keep: bool,
}

const CUSTOMER: &str = "+919876543210";
const AGENT: &str = "+919811112222";
const STRANGER: &str = "+917700990011";
const EXOPHONE: &str = "+914412345678";
/// Where the phones and the server live.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Port pairs for media: four calls' worth, more than the demo makes.
const MEDIA_PAIRS: u16 = 16;
/// Longest time for the whole demo; the promise is 20 s.
const TIME: Duration = Duration::from_secs(19);
/// Longest time for the announcement to be played and hung up.
const ANNOUNCEMENT_TIME: Duration = Duration::from_secs(10);
/// How often records are asked for.
const POLL: Duration = Duration::from_millis(100);
/// Fewest announcement packets, half a second, and their least loudness: speech is far above
/// both, silence and clicks below.
const ANNOUNCEMENT_PACKETS: usize = 25;
const ANNOUNCEMENT_LOUDNESS: f64 = 300.0;

/// Counts what held and what did not, and prints each.
#[derive(Debug, Default)]
struct Score {
    held: u32,
    failed: u32,
}

impl Score {
    fn note(&mut self, what: &str, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.held += 1;
                println!("  held    {what}");
            }
            Err(why) => {
                self.failed += 1;
                println!("  FAILED  {what}: {why}");
            }
        }
    }
}

/// Runs the demo; the last line it prints is the result.
pub fn run(args: DemoArgs) -> ExitCode {
    let mut score = Score::default();
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(in_time(args, &mut score)),
        Err(e) => score.note("the demo starts", Err(e.to_string())),
    }
    println!("demo: {} held, {} failed", score.held, score.failed);
    if score.failed == 0 && score.held > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whatever ends the story early drops the server, which kills the child.
async fn in_time(args: DemoArgs, score: &mut Score) {
    let result = tokio::select! {
        told = story(args, score) => told.map_err(|e| e.to_string()),
        () = tokio::time::sleep(TIME) => Err(format!("more than {} s", TIME.as_secs())),
        () = told_to_stop() => Err("interrupted".to_owned()),
    };
    score.note("the demo runs to its end", result);
}

/// SIGINT or SIGTERM. Without handlers the demo would die and leave its child behind.
async fn told_to_stop() {
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

async fn story(args: DemoArgs, score: &mut Score) -> Result<(), Error> {
    let carrier = Carrier::bind(HOME)?;
    let binary = std::env::current_exe()?;
    let mut home = Home::new(&binary, &config(carrier.local(), MEDIA_PAIRS)?)?;
    if args.keep {
        home.keep();
        println!("Everything stays in {}", home.folder().display());
    }
    let mut server = home.serve().await?;
    println!(
        "callmask serve listens on {}; the carrier with all phones is {}.",
        server.sip(),
        carrier.local()
    );
    tell(&home, &["exophone", "add", EXOPHONE]).await?;
    let create = [
        "allocation",
        "create",
        "--exophone",
        EXOPHONE,
        "--customer",
        CUSTOMER,
        "--agent",
        AGENT,
    ];
    tell(&home, &create).await?;
    let phone = |number, name: &str| {
        let profile = Profile {
            display_name: name.to_owned(),
            ..Profile::default()
        };
        carrier.phone(number, profile)
    };
    let customer = phone(CUSTOMER, "Asha Customer");
    let agent = phone(AGENT, "Ravi Agent");
    let stranger = phone(STRANGER, "Somebody Else");

    println!("\nThe customer calls the ExoPhone; the agent's phone rings.");
    let sides = [("customer", &customer), ("agent", &agent)];
    masked_call(score, &server, sides).await?;
    println!("\nThe agent calls the same ExoPhone; the customer's phone rings.");
    let sides = [("agent", &agent), ("customer", &customer)];
    masked_call(score, &server, sides).await?;
    println!("\nSomebody else calls the ExoPhone and hears that it is not active.");
    announcement(score, &server, &stranger).await?;

    println!("\nThe operator sees the real numbers:");
    let records = records(&home, 3).await?;
    println!("{}", home.ask(&["call", "list"]).await?);
    for (what, caller, callee, status) in [
        (
            "the first call is on record",
            CUSTOMER,
            Some(AGENT),
            "completed",
        ),
        (
            "the second call is on record",
            AGENT,
            Some(CUSTOMER),
            "completed",
        ),
        ("the refused caller is on record", STRANGER, None, "failed"),
    ] {
        score.note(what, one_record(&records, caller, callee, status));
    }
    server.terminate()?;
    let ended = server.wait_end(PATIENCE).await?;
    let clean = match ended.code() {
        Some(0) => Ok(()),
        _ => Err(format!("it ended with {ended}")),
    };
    score.note("the server stops cleanly when asked to", clean);
    let log = server.lines().join("\n");
    if args.keep {
        std::fs::write(home.folder().join("serve.log"), &log)?;
    }
    let shown = [CUSTOMER, AGENT, STRANGER]
        .iter()
        .filter(|n| log.contains(national(n)))
        .count();
    let quiet = match shown {
        0 => Ok(()),
        n => Err(format!("{n} numbers stand in it")),
    };
    score.note("no full number stands in the server's log", quiet);
    Ok(())
}

/// Runs a command that changes something, as an operator would type it.
async fn tell(home: &Home, args: &[&str]) -> Result<(), Error> {
    println!("$ callmask {}", args.join(" "));
    let said = home.ask(args).await?;
    if !said.is_empty() {
        println!("{said}");
    }
    Ok(())
}

/// A call from one side to the other, with a tone each way, hung up by the caller.
async fn masked_call(
    score: &mut Score,
    server: &Server,
    [(from, caller), (to, callee)]: [(&str, &Phone); 2],
) -> Result<(), Error> {
    let (there, back) = two_tones()?;
    let out = caller.place(server.sip(), EXOPHONE)?;
    let inc = match callee.next_call(PATIENCE).await {
        Ok(call) => call,
        Err(e) => {
            print!("{}", draw(&Side::of(from, &out), None));
            score.note(&format!("the {to}'s phone rings"), Err(e.to_string()));
            return Ok(());
        }
    };
    let talk = talk(&out, &inc, there, back).await;
    print!("{}", draw(&Side::of(from, &out), Some(&Side::of(to, &inc))));
    score.note(
        &format!("answered, {there:.0} Hz heard by the {to}, {back:.0} Hz by the {from}, hung up"),
        talk.map_err(|e| e.to_string()),
    );
    score.note(
        &format!("the {to} sees the ExoPhone as the caller"),
        shows_exophone(&inc),
    );
    for (side, call, other, name) in [(to, &inc, caller, from), (from, &out, callee, to)] {
        let number = national(other.number());
        let hidden = match call.received_contains(number) {
            false => Ok(()),
            true => Err(format!("{number} arrived there")),
        };
        score.note(
            &format!("the {side} received nothing with the {name}'s number"),
            hidden,
        );
    }
    Ok(())
}

async fn talk(out: &Call, inc: &Call, there: f64, back: f64) -> Result<(), Error> {
    out.answered().await?;
    inc.answered().await?;
    out.media().play(Source::Tone(there));
    inc.media().play(Source::Tone(back));
    inc.media().wait_tone(PATIENCE, there).await?;
    out.media().wait_tone(PATIENCE, back).await?;
    out.hang_up().await?;
    inc.ended(PATIENCE).await?;
    Ok(())
}

/// A call by somebody who is no party: answered, spoken to, hung up by callmask.
async fn announcement(score: &mut Score, server: &Server, phone: &Phone) -> Result<(), Error> {
    let call = phone.place(server.sip(), EXOPHONE)?;
    let ended = call.ended(ANNOUNCEMENT_TIME).await;
    print!("{}", draw(&Side::of("stranger", &call), None));
    let heard = call.media().heard();
    let loudness = sound::loudness(&heard);
    let spoken = if heard.len() < ANNOUNCEMENT_PACKETS * sound::FRAME {
        Err(format!("only {} samples arrived", heard.len()))
    } else if loudness < ANNOUNCEMENT_LOUDNESS {
        Err(format!("it is nearly silent ({loudness:.0})"))
    } else {
        Ok(())
    };
    let seconds = heard.len() as f64 / f64::from(sound::SAMPLE_RATE);
    score.note(
        &format!("an announcement of {seconds:.1} s was heard"),
        spoken,
    );
    let hung_up = match ended {
        Ok(view) if view.byes_received > 0 => Ok(()),
        Ok(view) => Err(format!("no BYE came; the INVITE got {:?}", view.code)),
        Err(e) => Err(e.to_string()),
    };
    score.note("then callmask hung up", hung_up);
    let seen = [CUSTOMER, AGENT]
        .iter()
        .find(|n| call.received_contains(national(n)));
    let hidden = seen.map_or(Ok(()), |n| Err(format!("{n} arrived there")));
    score.note("the stranger received neither party's number", hidden);
    Ok(())
}

/// The INVITE must name the ExoPhone as caller in every identity header it has.
fn shows_exophone(call: &Call) -> Result<(), String> {
    let invite = call.invite().ok_or("there is no INVITE")?;
    let from = invite.field("From").unwrap_or_default();
    if from.contains(EXOPHONE) {
        Ok(())
    } else {
        Err(format!("From is {from}"))
    }
}

/// Asks until `count` calls are on record: they are written in groups.
async fn records(home: &Home, count: usize) -> Result<Vec<Value>, Error> {
    let ask = async {
        let mut pace = tokio::time::interval(POLL);
        loop {
            pace.tick().await;
            let answer = home.ask_json(&["call", "list"]).await?;
            let list = answer.as_array().cloned().unwrap_or_default();
            if list.len() >= count {
                return Ok(list);
            }
        }
    };
    let late = Error::TooLate {
        what: format!("{count} call records"),
        waited_ms: PATIENCE.as_millis() as u64,
    };
    tokio::time::timeout(PATIENCE, ask)
        .await
        .unwrap_or(Err(late))
}

fn one_record(
    records: &[Value],
    caller: &str,
    callee: Option<&str>,
    status: &str,
) -> Result<(), String> {
    let text =
        |record: &Value, key: &str| record.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut of_caller = records
        .iter()
        .filter(|r| text(r, "caller").as_deref() == Some(caller));
    let (Some(record), None) = (of_caller.next(), of_caller.next()) else {
        return Err("there is not exactly one record of this caller".to_owned());
    };
    for (key, wanted) in [
        ("callee", callee),
        ("exophone", Some(EXOPHONE)),
        ("status", Some(status)),
    ] {
        let found = text(record, key);
        if found.as_deref() != wanted {
            return Err(format!("{key} is {found:?}, not {wanted:?}"));
        }
    }
    Ok(())
}

/// The digits of a number without its country code: what must not be found.
fn national(number: &str) -> &str {
    number.strip_prefix("+91").unwrap_or(number)
}

/// Two tones for this run, 400 to 1,200 and 1,400 to 2,200 Hz, apart enough to be told apart.
fn two_tones() -> Result<(f64, f64), Error> {
    let random = u32::from_str_radix(&random_hex(4)?, 16).unwrap_or_default();
    let step = |r: u32| f64::from(r % 33) * 25.0;
    Ok((400.0 + step(random), 1_400.0 + step(random / 33)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_must_be_there_once_and_say_the_truth() {
        let good = serde_json::json!({
            "caller": CUSTOMER, "callee": AGENT, "exophone": EXOPHONE, "status": "completed",
        });
        let check = |list: &[Value]| one_record(list, CUSTOMER, Some(AGENT), "completed");
        assert_eq!(check(std::slice::from_ref(&good)), Ok(()));
        assert!(check(&[]).is_err());
        assert!(check(&[good.clone(), good.clone()]).is_err());
        let mut wrong = good.clone();
        wrong["status"] = "failed".into();
        assert!(check(&[wrong]).is_err());
        assert!(one_record(&[good], CUSTOMER, None, "completed").is_err());
    }

    #[test]
    fn tones_differ_and_stay_in_the_band() {
        for _ in 0..50 {
            let (there, back) = two_tones().unwrap();
            assert!((400.0..=1_200.0).contains(&there) && (1_400.0..=2_200.0).contains(&back));
        }
    }
}
