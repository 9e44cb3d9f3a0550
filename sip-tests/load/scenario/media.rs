//! media: what a relayed packet costs, what is lost, how long it takes. Both parties of every
//! call speak without pause, 50 packets a second each way.

use std::time::Duration;

use crate::audio::{Audio, Heard, Stream};
use crate::calls::{Calls, Plan};
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::report::Row;
use crate::scenario::{Bench, await_records, records_of};
use crate::subject::{Kind, Session, Subject};

/// New calls a second while they are set up.
const RATE: f64 = 250.0;
/// Audio before the measurement: sources are learnt, tables are warm.
const WARM_UP: Duration = Duration::from_secs(1);
/// Behind by more than this, the generator is measured and not the subject.
const BEHIND_NS: u64 = 100_000_000;
/// Packets that may be lost, of all.
const LOSS: f64 = 0.001;

pub(super) fn run(bench: &mut Bench) -> Outcome<()> {
    let sizes = Options::list(
        &bench.options.calls,
        bench.options.either(&[100], &[100, 500, 1_000]),
    );
    for calls in sizes {
        for round in 1..=bench.options.rounds() {
            let mut kinds = bench.options.relaying();
            kinds.extend([Kind::Relay, Kind::Direct]);
            for kind in kinds {
                one(bench, kind, calls, round)?;
            }
        }
    }
    Ok(())
}

fn one(bench: &mut Bench, kind: Kind, calls: usize, round: usize) -> Outcome<()> {
    let subject = bench.start(kind, calls)?;
    let mut row = Row::new("media", kind.name(), round);
    row.set("calls", calls as f64);
    match kind {
        Kind::Callmask => {
            let before = records_of(&subject)?;
            let plan = Plan {
                hold: None,
                ..bench.plan(RATE, calls)
            };
            let mut held = Calls::new(&mut bench.ends, subject.addresses(), plan)?;
            held.run();
            let streams: Option<Vec<Stream>> = held
                .calls()
                .iter()
                .map(|c| Some([c.caller_audio?, c.callee_audio?]))
                .collect();
            let streams = streams.ok_or_else(|| Failure::new("media: a call was not set up"))?;
            let beside = &bench.options.beside;
            speak(
                &mut bench.ears,
                &subject,
                streams,
                bench.options.secs(),
                beside,
                &mut row,
            )?;
            held.release();
            let tally = held.finish();
            let records = await_records(&subject, before, calls)?;
            row.check(
                "every call was masked and ended",
                tally.masked == calls && tally.completed == calls,
            );
            row.check("both ends got a new audio address", tally.new_sdp == calls);
            row.check("as many records on disk as calls", records == calls as u64);
        }
        Kind::Rtpengine => {
            let ng = subject
                .ng()
                .ok_or_else(|| Failure::new("rtpengine has no ng port"))?;
            let [caller, callee] = bench.ears.each_ref().map(|w| w.local());
            let (session, streams) = Session::open(ng, calls, caller, callee)?;
            let new = streams
                .iter()
                .flatten()
                .all(|to| ![caller, callee].contains(to));
            row.check("both ends got a new audio address", new);
            speak(
                &mut bench.ears,
                &subject,
                streams,
                bench.options.secs(),
                &None,
                &mut row,
            )?;
            session.close()?;
        }
        Kind::Relay => {
            let at = |port: &u16| std::net::SocketAddrV4::new(bench.world.server_ip, *port);
            let pairs = subject.ports().chunks_exact(2);
            let streams = pairs
                .filter_map(|p| Some([at(p.first()?), at(p.get(1)?)]))
                .collect();
            speak(
                &mut bench.ears,
                &subject,
                streams,
                bench.options.secs(),
                &None,
                &mut row,
            )?;
        }
        _ => {
            let [caller, callee] = bench.ears.each_ref().map(|w| w.local());
            let streams = vec![[callee, caller]; calls];
            speak(
                &mut bench.ears,
                &subject,
                streams,
                bench.options.secs(),
                &None,
                &mut row,
            )?;
        }
    }
    bench.report.add(row)
}

fn speak(
    [caller, callee]: &mut [crate::wire::Wire; 2],
    subject: &Subject,
    streams: Vec<Stream>,
    secs: u64,
    beside: &Option<String>,
    row: &mut Row,
) -> Outcome<()> {
    let mut audio = Audio::new(caller, callee, streams);
    audio.run(WARM_UP);
    let beside = super::beside(beside.as_deref(), subject)?;
    let cpu = subject.cpu_ns()?;
    let mut heard = audio.run(Duration::from_secs(secs));
    let spent = subject.cpu_ns()? - cpu;
    if let Some(mut child) = beside {
        child.wait()?;
    }
    tell(row, subject.kind(), &mut heard, spent);
    Ok(())
}

fn tell(row: &mut Row, kind: Kind, heard: &mut Heard, spent_ns: u64) {
    let lost = heard.sent.saturating_sub(heard.received);
    row.figure("packets", heard.received as f64);
    row.figure(
        "cpu_us_per_packet",
        spent_ns as f64 / 1e3 / heard.received.max(1) as f64,
    );
    row.figure(
        "loss_percent",
        100.0 * lost as f64 / heard.sent.max(1) as f64,
    );
    row.times(["delay_p50_us", "delay_p99_us"], &mut heard.delay_ns);
    row.check(
        "packets arrive at the other end and nowhere else",
        heard.strange == 0 && heard.received > 0,
    );
    row.check(
        "under 0.1 % of packets are lost",
        (lost as f64) < LOSS * heard.sent as f64,
    );
    if kind == Kind::Callmask {
        row.check(
            "every packet has a fresh header",
            heard.fresh == heard.received,
        );
    }
    if heard.behind_ns > BEHIND_NS {
        let ms = heard.behind_ns / 1_000_000;
        row.note(format!(
            "the generator itself fell {ms} ms behind: the packets came in bursts"
        ));
    }
}
