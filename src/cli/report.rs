//! `callmask report …`

use clap::{Args, Subcommand, ValueEnum};

use super::Done;
use super::client::{Client, Query};
use super::output::{Output, cell, moment};
use crate::api::report_shape::{CallsReportRow, PoolShape};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Calls by hour or day; the last seven days without --from
    Calls(Calls),
    /// How many ExoPhones of each pool are in use
    Pool,
}

#[derive(Debug, Args)]
pub(super) struct Calls {
    /// Begun at or after this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Begun before this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// One row for each
    #[arg(long, value_enum, default_value = "day")]
    by: By,
    /// Where days begin, as in +05:30
    #[arg(long, value_name = "OFFSET", default_value = "+00:00", value_parser = offset,
          allow_hyphen_values = true)]
    utc_offset: i64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum By {
    /// Hours
    Hour,
    /// Days
    Day,
}

pub(super) async fn run(command: Command, client: &Client, out: Output) -> Done {
    match command {
        Command::Calls(calls) => {
            let by = match calls.by {
                By::Hour => "hour",
                By::Day => "day",
            };
            let query = Query::new()
                .with("from", calls.from)
                .with("to", calls.to)
                .with("by", Some(by))
                .with("utc_offset_secs", Some(calls.utc_offset));
            let rows: Vec<CallsReportRow> = client.get(&query.on("reports/calls")).await?;
            let header = [
                "FROM (UTC)",
                "CALLS",
                "COMPLETED",
                "BUSY",
                "NO ANSWER",
                "FAILED",
                "CANCELED",
                "ANNOUNCEMENTS",
                "TALK SECONDS",
            ];
            out.list(&rows, &header, |r| {
                let counts = [
                    r.calls,
                    r.completed,
                    r.busy,
                    r.no_answer,
                    r.failed,
                    r.canceled,
                    r.announcements,
                ];
                let mut row = vec![moment(r.from)];
                row.extend(counts.iter().map(u64::to_string));
                row.push(format!("{:.1}", r.talk_secs));
                row
            });
        }
        Command::Pool => {
            let pools: Vec<PoolShape> = client.get("reports/pool").await?;
            let header = ["POOL", "EXOPHONES", "IN USE", "FREE", "ACTIVE ALLOCATIONS"];
            out.list(&pools, &header, |p| {
                let mut row = vec![cell(p.pool.as_ref())];
                let counts = [p.exophones, p.in_use, p.free, p.active_allocations];
                row.extend(counts.iter().map(usize::to_string));
                row
            });
        }
    }
    Ok(())
}

/// Reads `+05:30` as seconds.
fn offset(text: &str) -> Result<i64, String> {
    let read = || -> Option<i64> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
        let fits = (0..=14).contains(&hours) && (0..60).contains(&minutes);
        fits.then_some(sign * (hours * 3_600 + minutes * 60))
    };
    read().ok_or_else(|| "write hours and minutes, as in +05:30".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_a_sign_hours_and_minutes() {
        assert_eq!(offset("+05:30"), Ok(19_800));
        assert_eq!(offset("-08:00"), Ok(-28_800));
        for junk in ["", "5", "+5", "+15:00", "+05:60", "IST"] {
            assert!(offset(junk).is_err(), "{junk}");
        }
    }
}
