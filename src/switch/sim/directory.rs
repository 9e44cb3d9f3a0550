//! Who may call whom: five ExoPhones, seven parties and a stranger.

use super::style::{Flavour, number_of};
use crate::number::Number;
use crate::sid::Sid;
use crate::switch::plan::{Announce, Connect, Direction, Directory, Plan};
use crate::switch::record::Cause;

/// Parties are numbered; these are customers, the others agents.
pub(super) const CUSTOMERS: [u64; 4] = [0, 2, 5, STRANGER];
/// In no allocation.
pub(super) const STRANGER: u64 = 7;
/// How many parties there are.
pub(super) const PARTIES: u64 = 8;

/// One ExoPhone and its allocation.
#[derive(Debug, Clone)]
struct Row {
    exophone: Number,
    parties: Option<(u64, Vec<u64>)>,
    cause: Cause,
    max_calls: u32,
    trunk: Option<&'static str>,
}

/// The directory: a few rows, and which flavour the two sides have.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    rows: Vec<Row>,
    pub customers: Flavour,
    pub agents: Flavour,
}

/// The ExoPhones of the directory, and one number that is none.
pub(super) fn exophone(i: u64) -> Number {
    Number::from_digits(&format!("91449090{i:04}")).unwrap()
}

impl Rows {
    pub(super) fn new(customers: Flavour, agents: Flavour) -> Rows {
        let row = |i: u64, parties, cause, max_calls, trunk| Row {
            exophone: exophone(i),
            parties,
            cause,
            max_calls,
            trunk,
        };
        let rows = vec![
            row(0, Some((0, vec![1])), Cause::UnknownCaller, 1, None),
            row(
                1,
                Some((2, vec![3, 4])),
                Cause::UnknownCaller,
                0,
                Some("carrier"),
            ),
            row(
                2,
                Some((5, vec![6])),
                Cause::UnknownCaller,
                2,
                Some("other"),
            ),
            row(3, None, Cause::NoAllocation, 1, None),
            row(4, None, Cause::Expired, 1, None),
        ];
        Rows {
            rows,
            customers,
            agents,
        }
    }

    pub(super) fn number(&self, who: u64) -> Number {
        number_of(who, self.flavour(who))
    }

    pub(super) fn flavour(&self, who: u64) -> Flavour {
        if CUSTOMERS.contains(&who) {
            self.customers
        } else {
            self.agents
        }
    }

    /// Whether a call to this number leaves a record.
    pub(super) fn has(&self, number: Number) -> bool {
        self.rows.iter().any(|row| row.exophone == number)
    }
}

impl Directory for Rows {
    fn resolve(&self, exophone: Number, caller: Option<Number>, _wall_ms: u64) -> Plan {
        let Some(row) = self.rows.iter().find(|row| row.exophone == exophone) else {
            return Plan::Refuse;
        };
        let account = Sid::new(1, 1);
        let allocation = Sid::new(2, u128::from(row.max_calls));
        let refused = |allocation| {
            Plan::Announce(Box::new(Announce {
                account,
                exophone,
                allocation,
                cause: row.cause,
                announcement: None,
            }))
        };
        let (Some((customer, agents)), Some(caller)) = (&row.parties, caller) else {
            return refused(row.parties.as_ref().map(|_| allocation));
        };
        let customer = self.number(*customer);
        let agents: Vec<Number> = agents.iter().map(|who| self.number(*who)).collect();
        let (callees, direction) = if caller == customer {
            (agents, Direction::CustomerToAgent)
        } else if agents.contains(&caller) {
            (vec![customer], Direction::AgentToCustomer)
        } else {
            return refused(Some(allocation));
        };
        Plan::Connect(Box::new(Connect {
            account,
            allocation,
            exophone,
            caller,
            callees,
            present: exophone,
            direction,
            trunk: row.trunk.map(str::to_owned),
            max_calls: row.max_calls,
            max_call_secs: None,
            record: false,
            custom: None,
        }))
    }
}
