//! What a call may use while it handles one input: the shard's tables and the shell's answers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::number::Number;
use crate::sip::{Built, Message, Method};
use crate::switch::admission::Admission;
use crate::switch::dialog::Dialog;
use crate::switch::event::{Flow, Now, Output};
use crate::switch::ids::{Mint, Table};
use crate::switch::media::{MediaCommand, Slot};
use crate::switch::settings::{Listener, Settings, Target, TrunkId};
use crate::switch::timers::{Owner, TimerQueue};
use crate::switch::transaction::{Effects, LegRef, Transactions, TxId};

/// The shard's tables, shared by all its calls.
#[derive(Debug)]
pub(super) struct Core {
    /// Configuration.
    pub settings: Settings,
    /// Ids and random streams.
    pub mint: Mint,
    /// Deadlines.
    pub timers: TimerQueue,
    /// Transactions.
    pub transactions: Transactions,
    /// Legs by Call-ID and our tag.
    pub dialogs: Table<u128, LegRef>,
    /// Legs by port pair.
    pub slots: Table<Slot, LegRef>,
    /// Masked calls up or being set up, by ExoPhone.
    pub busy: BTreeMap<Number, u32>,
    /// What went wrong, or is worth counting.
    pub counters: Counters,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Messages that could not be read.
    pub malformed: u64,
    /// Messages the guard stopped.
    pub guarded: u64,
    /// Panics that cost a call.
    pub panics: u64,
    /// Requests dropped because a table was full.
    pub overflow: u64,
    /// Calls begun.
    pub calls: u64,
}

/// How much the shard holds at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Held {
    /// Calls that are not finished, those that wait for their last answers included.
    pub calls: usize,
    /// Dialogs in which requests are taken.
    pub dialogs: usize,
    /// Transactions, those that only absorb late messages included.
    pub transactions: usize,
    /// Timers.
    pub timers: usize,
}

/// One input's view of the shard.
pub(super) struct Cx<'a> {
    /// The tables.
    pub core: &'a mut Core,
    /// The clocks.
    pub now: Now,
    /// Limits and ports.
    pub admission: &'a dyn Admission,
    /// What the shell must do.
    pub out: &'a mut Vec<Output>,
}

impl<'a> Cx<'a> {
    /// The transaction layer with what it needs, for as long as this view lasts.
    pub(super) fn into_transactions(self) -> (&'a mut Transactions, &'a Mint, Effects<'a>) {
        let core = self.core;
        let fx = Effects {
            now: self.now,
            timers: &mut core.timers,
            out: self.out,
        };
        (&mut core.transactions, &core.mint, fx)
    }

    /// The transaction layer with what it needs.
    pub(super) fn transactions(&mut self) -> (&mut Transactions, &Mint, Effects<'_>) {
        let core = &mut *self.core;
        let fx = Effects {
            now: self.now,
            timers: &mut core.timers,
            out: self.out,
        };
        (&mut core.transactions, &core.mint, fx)
    }

    /// Sends a response on a server transaction.
    pub(super) fn respond(&mut self, tx: TxId, status: u16, built: Built) {
        let (transactions, _, mut fx) = self.transactions();
        transactions.respond(tx, status, built, &mut fx);
    }

    /// Sends a request with a client transaction.
    pub(super) fn request(
        &mut self,
        method: Method,
        branch: &str,
        built: Built,
        flow: &Flow,
        trunk: TrunkId,
        owner: LegRef,
    ) -> TxId {
        let (transactions, mint, mut fx) = self.transactions();
        let bytes = built.bytes;
        transactions.request(
            method,
            branch,
            bytes,
            flow.clone(),
            trunk,
            owner,
            mint,
            &mut fx,
        )
    }

    /// Sends bytes outside any transaction: ACK of a 2xx, and a 2xx again.
    pub(super) fn send(&mut self, flow: &Flow, bytes: Vec<u8>) {
        self.out.push(Output::Send {
            flow: flow.clone(),
            bytes,
        });
    }

    /// Tells the media plane.
    pub(super) fn media(&mut self, command: MediaCommand) {
        self.out.push(Output::Media(command));
    }

    /// Microseconds from now on the monotonic clock.
    pub(super) fn after(&self, us: u64) -> u64 {
        self.now.mono_us.saturating_add(us)
    }

    /// Where a request in a dialog goes (RFC 3261 §8.1.2): the address its next hop names, when
    /// that address is one of the trunk's; else where the peer's messages come from. A peer can
    /// so neither aim us at strangers nor lose us behind a NAT.
    pub(super) fn next_flow(&self, dialog: &Dialog, flow: &Flow, trunk: TrunkId) -> Flow {
        let named = dialog.next_hop().and_then(|uri| uri.address());
        match named {
            Some(address) if self.core.settings.trunk_of(address.ip()) == Some(trunk) => Flow {
                remote: address,
                ..flow.clone()
            },
            _ => flow.clone(),
        }
    }

    /// The listener a target is reached from: same transport, same address family.
    pub(super) fn listener_for(&self, target: &Target) -> Option<&Listener> {
        let same = |l: &&Listener| {
            l.transport == target.transport && l.local.is_ipv4() == target.address.is_ipv4()
        };
        self.core.settings.listeners.iter().find(same)
    }

    /// The listener a flow belongs to.
    pub(super) fn listener_of(&self, flow: &Flow) -> Option<&Listener> {
        let settings = &self.core.settings;
        let same = |l: &&Listener| l.transport == flow.transport && l.local == flow.local;
        settings
            .listeners
            .iter()
            .find(same)
            .or(settings.listeners.first())
    }

    /// Registers a dialog's leg under Call-ID and our tag.
    pub(super) fn enter_dialog(&mut self, dialog: &Dialog, leg: LegRef) {
        let key = self.dialog_key(&dialog.call_id, dialog.local_tag.as_bytes());
        self.core.dialogs.insert(key, leg);
    }

    /// Forgets a dialog: from now on its requests get 481.
    pub(super) fn leave_dialog(&mut self, dialog: &Dialog) {
        let key = self.dialog_key(&dialog.call_id, dialog.local_tag.as_bytes());
        self.core.dialogs.remove(&key);
    }

    /// The leg a request in a dialog belongs to.
    pub(super) fn find_dialog(&self, call_id: &[u8], local_tag: &[u8]) -> Option<LegRef> {
        self.core
            .dialogs
            .get(&self.dialog_key(call_id, local_tag))
            .copied()
    }

    fn dialog_key(&self, call_id: &[u8], local_tag: &[u8]) -> u128 {
        self.core.mint.table_key(&[b"dialog", call_id, local_tag])
    }
}

/// Whether an address can be talked to from a port pair of the other's family.
pub(super) fn same_family(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical().is_ipv4() == other.to_canonical().is_ipv4()
}

/// The owner of a leg's timers.
pub(super) fn leg_owner(leg: LegRef) -> Owner {
    Owner::Leg(leg.call, leg.leg)
}

/// Reads back a message that we stored when it arrived.
pub(super) fn stored(bytes: &[u8]) -> Message<'_> {
    Message::scan(bytes).expect("a message is stored only after it was read")
}
