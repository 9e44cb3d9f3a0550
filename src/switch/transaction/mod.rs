//! The transaction layer: matching, retransmission, absorption (RFC 3261 §17, RFC 6026).
//!
//! A transaction outlives the call that made it: when the call is gone, what is left here still
//! absorbs and answers late messages until its last timer fires, so a finished call needs no
//! other memory.

mod client;
mod server;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(super) use client::{Client, ClientState};
pub(super) use server::{Server, ServerState};

use crate::sip::{self, Built, Essentials, Message, Method};
use crate::switch::event::{Flow, Now, Output};
use crate::switch::ids::{Mint, Table};
use crate::switch::settings::TrunkId;
use crate::switch::timers::{Owner, Timer, TimerQueue};

/// Most transactions at once; above it new requests are dropped, which peers see as loss.
pub(super) const MAX_TRANSACTIONS: usize = 1 << 18;

/// A transaction's number.
pub(super) type TxId = u64;

/// The leg that made a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct LegRef {
    /// The call's number.
    pub call: u64,
    /// The leg's index in the call.
    pub leg: u16,
}

/// What every layer may do to the world.
pub(super) struct Effects<'a> {
    /// The clocks.
    pub now: Now,
    /// The timers.
    pub timers: &'a mut TimerQueue,
    /// What the shell must do.
    pub out: &'a mut Vec<Output>,
}

impl Effects<'_> {
    pub(super) fn send(&mut self, flow: &Flow, bytes: &[u8]) {
        self.out.push(Output::Send {
            flow: flow.clone(),
            bytes: bytes.to_vec(),
        });
    }
}

/// What a request turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A new server transaction: the user answers it.
    New(TxId),
    /// The same request by another way: the user answers 482 (RFC 3261 §8.2.2.2).
    Merged(TxId),
    /// Seen before, and answered as before.
    Repeat,
    /// An ACK that belongs to no failed INVITE: the user looks for its dialog.
    Ack,
    /// No room: dropped.
    Full,
}

/// What a response means to the transaction user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The first final response, or a provisional one.
    ForUser(TxId, LegRef),
    /// A 2xx to an INVITE beyond the first one's dialog, or after a failure: it needs ACK and
    /// BYE (RFC 3261 §13.2.2.4).
    Surplus(TxId, LegRef),
    /// Dealt with here, or not ours.
    Absorbed,
}

/// What a timer or the transport did to a transaction that its user must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lapse {
    /// The transaction that has ended.
    pub tx: TxId,
    /// Whose it was.
    pub owner: LegRef,
    /// How.
    pub how: Unanswered,
}

/// How a request stayed without a final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Timer B or F.
    Timeout,
    /// The transport reported failure (RFC 3261 §8.1.3.1).
    Unreachable,
    /// Cancelled, and no final response followed (RFC 3261 §9.1).
    Cancelled,
}

/// All transactions of a shard.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    servers: Table<TxId, Server>,
    clients: Table<TxId, Client>,
    by_key: Table<u128, TxId>,
    by_request: Table<u128, TxId>,
    by_branch: Table<u128, TxId>,
    last: TxId,
}

impl Transactions {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Matches a request (RFC 3261 §17.2.3) and creates a server transaction when it is new.
    pub(super) fn receive_request(
        &mut self,
        message: &Message<'_>,
        essentials: &Essentials<'_>,
        flow: &Flow,
        trunk: TrunkId,
        mint: &Mint,
        fx: &mut Effects<'_>,
    ) -> Arrival {
        let method = essentials.cseq.method;
        let key = server_key(message, essentials, invite_class(method), trunk, mint);
        if let Some(id) = self.by_key.get(&key).copied() {
            let server = self
                .servers
                .get_mut(&id)
                .expect("an indexed transaction exists");
            if method == Method::Ack {
                return if server.acknowledged(id, fx) {
                    Arrival::Repeat
                } else {
                    Arrival::Ack
                };
            }
            server.repeat(message, flow.remote, fx);
            self.reap(id, fx);
            return Arrival::Repeat;
        }
        if method == Method::Ack {
            return Arrival::Ack;
        }
        if self.len() >= MAX_TRANSACTIONS {
            return Arrival::Full;
        }
        // §8.2.2.2: no To tag, and the same From tag, Call-ID and CSeq under another branch.
        let request = request_key(essentials, method, trunk, mint);
        let tagged = essentials.to.tag().is_some();
        let merged = !tagged && self.by_request.contains_key(&request);
        self.last += 1;
        let id = self.last;
        let reply_to = Flow {
            remote: sip::response_target(message, flow.remote),
            ..flow.clone()
        };
        self.servers
            .insert(id, Server::new(key, request, method, tagged, reply_to));
        self.by_key.insert(key, id);
        if merged {
            Arrival::Merged(id)
        } else {
            self.by_request.insert(request, id);
            Arrival::New(id)
        }
    }

    /// The INVITE a CANCEL is about (RFC 3261 §9.2), if it is still here and came by the same
    /// trunk.
    pub(super) fn cancel_target(
        &self,
        message: &Message<'_>,
        essentials: &Essentials<'_>,
        trunk: TrunkId,
        mint: &Mint,
    ) -> Option<(TxId, Option<LegRef>)> {
        let key = server_key(message, essentials, Method::Invite, trunk, mint);
        let id = *self.by_key.get(&key)?;
        let server = self.servers.get(&id)?;
        Some((id, server.owner))
    }

    /// Gives a server transaction to a leg.
    pub(super) fn own(&mut self, id: TxId, owner: LegRef) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.owner = Some(owner);
        }
    }

    /// Sends a response. A transaction that is gone or has its final response sends nothing.
    pub(super) fn respond(&mut self, id: TxId, status: u16, built: Built, fx: &mut Effects<'_>) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.respond(id, status, built, fx);
            // What has its final answer is no ongoing transaction that a copy could merge with
            // (§8.2.2.2), but an INVITE's copies may take long ways.
            if server.state == ServerState::Completed && server.method != Method::Invite {
                forget(&mut self.by_request, server.request_key, id);
            }
            self.reap(id, fx);
        }
    }

    /// Where responses of a server transaction go.
    pub(super) fn reply_flow(&self, id: TxId) -> Option<&Flow> {
        self.servers.get(&id).map(|server| &server.flow)
    }

    /// Sends a request and watches over it. `branch` is the one in its Via.
    #[allow(clippy::too_many_arguments)] // the parts of one request, each of its own type
    pub(super) fn request(
        &mut self,
        method: Method,
        branch: &str,
        bytes: Vec<u8>,
        flow: Flow,
        trunk: TrunkId,
        owner: LegRef,
        mint: &Mint,
        fx: &mut Effects<'_>,
    ) -> TxId {
        self.last += 1;
        let id = self.last;
        let key = client_key(branch.as_bytes(), method, mint);
        fx.send(&flow, &bytes);
        let mut client = Client::new(key, method, bytes, flow, trunk, owner);
        client.start(id, fx);
        self.by_branch.insert(key, id);
        self.clients.insert(id, client);
        id
    }

    /// Cancels an INVITE: now, or after its first provisional response (RFC 3261 §9.1).
    pub(super) fn cancel(&mut self, id: TxId, mint: &Mint, fx: &mut Effects<'_>) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.cancel(id, fx) {
            self.send_cancel(id, mint, fx);
        }
    }

    /// Keeps the ACK of a 2xx, to be sent again for every repetition of that 2xx.
    pub(super) fn keep_ack(
        &mut self,
        id: TxId,
        to_tag: &[u8],
        flow: Flow,
        via: String,
        mint: &Mint,
    ) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.keep_ack(tag_key(to_tag, mint), flow, via);
        }
    }

    /// Matches a response (RFC 3261 §17.1.3).
    pub(super) fn receive_response(
        &mut self,
        message: &Message<'_>,
        essentials: &Essentials<'_>,
        trunk: TrunkId,
        mint: &Mint,
        fx: &mut Effects<'_>,
    ) -> Answer {
        // §8.1.3.3: our response has exactly our Via.
        let (1, Some(branch)) = (essentials.via_count, essentials.via.branch) else {
            return Answer::Absorbed;
        };
        let key = client_key(branch, essentials.cseq.method, mint);
        let Some(id) = self.by_branch.get(&key).copied() else {
            return Answer::Absorbed;
        };
        let client = self
            .clients
            .get_mut(&id)
            .expect("an indexed transaction exists");
        if client.trunk != trunk {
            return Answer::Absorbed;
        }
        let (answer, cancel_now) = client.receive(id, message, essentials, mint, fx);
        if cancel_now {
            self.send_cancel(id, mint, fx);
        }
        self.reap(id, fx);
        answer
    }

    /// A transaction's timer has fired.
    pub(super) fn fire(&mut self, id: TxId, timer: Timer, fx: &mut Effects<'_>) -> Option<Lapse> {
        let mut lapse = None;
        if let Some(server) = self.servers.get_mut(&id) {
            server.fire(id, timer, fx);
        } else if let Some(client) = self.clients.get_mut(&id) {
            lapse = client.fire(id, timer, fx).map(|how| Lapse {
                tx: id,
                owner: client.owner,
                how,
            });
        }
        self.reap(id, fx);
        lapse
    }

    /// Requests without any response whose target the transport calls unreachable end at once.
    pub(super) fn undeliverable(
        &mut self,
        reached: impl Fn(&Flow) -> bool,
        fx: &mut Effects<'_>,
    ) -> Vec<Lapse> {
        let waiting = |c: &Client| c.state == ClientState::Calling && reached(&c.flow);
        let mut ids: Vec<TxId> = self
            .clients
            .iter()
            .filter(|(_, c)| waiting(c))
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        let mut lapses = Vec::with_capacity(ids.len());
        for id in ids {
            let client = self.clients.get_mut(&id).expect("just listed");
            client.state = ClientState::Terminated;
            let (owner, how) = (client.owner, Unanswered::Unreachable);
            lapses.push(Lapse { tx: id, owner, how });
            self.reap(id, fx);
        }
        lapses
    }

    /// Every transaction as plain data and back: what a hand-over to another process would do.
    #[cfg(test)]
    pub(crate) fn reserialise(&mut self) {
        fn through<T: Serialize + serde::de::DeserializeOwned>(value: &mut T) {
            let text = serde_json::to_string(value).unwrap();
            *value = serde_json::from_str(&text).unwrap();
        }
        self.servers.values_mut().for_each(through);
        self.clients.values_mut().for_each(through);
    }

    /// Whose a transaction is, for tests to look at.
    #[cfg(test)]
    pub(crate) fn owner_of(&self, id: TxId) -> Option<LegRef> {
        let server = self.servers.get(&id).and_then(|s| s.owner);
        server.or_else(|| self.clients.get(&id).map(|c| c.owner))
    }

    fn send_cancel(&mut self, invite: TxId, mint: &Mint, fx: &mut Effects<'_>) {
        let client = self.clients.get(&invite).expect("the caller holds its id");
        let Some((branch, bytes)) = client.build_cancel() else {
            return;
        };
        let (flow, trunk, owner) = (client.flow.clone(), client.trunk, client.owner);
        self.request(Method::Cancel, &branch, bytes, flow, trunk, owner, mint, fx);
    }

    fn reap(&mut self, id: TxId, fx: &mut Effects<'_>) {
        if self
            .servers
            .get(&id)
            .is_some_and(|s| s.state == ServerState::Terminated)
        {
            let mut server = self.servers.remove(&id).expect("just seen");
            server
                .deadlines
                .clear_all(fx.timers, Owner::Transaction(id));
            self.by_key.remove(&server.key);
            forget(&mut self.by_request, server.request_key, id);
        } else if self
            .clients
            .get(&id)
            .is_some_and(|c| c.state == ClientState::Terminated)
        {
            let mut client = self.clients.remove(&id).expect("just seen");
            client
                .deadlines
                .clear_all(fx.timers, Owner::Transaction(id));
            self.by_branch.remove(&client.key);
        }
    }
}

/// ACK and INVITE share a transaction (RFC 3261 §17.2.3).
fn invite_class(method: Method) -> Method {
    if method == Method::Ack {
        Method::Invite
    } else {
        method
    }
}

/// §17.2.3 matches branch, sent-by and method. The sender's own Call-ID, From tag and CSeq
/// number stand here in place of sent-by: they tell senders apart as well, and unlike sent-by
/// no NAT on the way rewrites them. Without the magic cookie (RFC 2543) the Request-URI and the
/// whole top Via join. So does the trunk: behind another one sits somebody else, who may know all
/// of this and must neither be answered as the sender nor stand in its way.
fn server_key(
    message: &Message<'_>,
    e: &Essentials<'_>,
    method: Method,
    trunk: TrunkId,
    mint: &Mint,
) -> u128 {
    let trunk = trunk.to_be_bytes();
    let cseq = e.cseq.number.to_be_bytes();
    let from_tag = e.from.tag().unwrap_or_default();
    let branch = e.via.branch.unwrap_or_default();
    let name = method.as_str().as_bytes();
    if branch.starts_with(b"z9hG4bK") {
        return mint.table_key(&[b"3261", &trunk, branch, e.call_id, from_tag, &cseq, name]);
    }
    let uri = message.request_uri().unwrap_or_default();
    mint.table_key(&[
        b"2543", &trunk, uri, e.via.host, branch, e.call_id, from_tag, &cseq, name,
    ])
}

fn request_key(e: &Essentials<'_>, method: Method, trunk: TrunkId, mint: &Mint) -> u128 {
    let cseq = e.cseq.number.to_be_bytes();
    let from_tag = e.from.tag().unwrap_or_default();
    mint.table_key(&[
        b"merge",
        &trunk.to_be_bytes(),
        e.call_id,
        from_tag,
        &cseq,
        method.as_str().as_bytes(),
    ])
}

/// Takes an entry out of an index, unless another transaction has taken its place.
fn forget(index: &mut Table<u128, TxId>, key: u128, id: TxId) {
    if index.get(&key) == Some(&id) {
        index.remove(&key);
    }
}

/// A peer may choose a long tag; what is compared later need not be.
fn tag_key(tag: &[u8], mint: &Mint) -> u128 {
    mint.table_key(&[b"tag", tag])
}

fn client_key(branch: &[u8], method: Method, mint: &Mint) -> u128 {
    mint.table_key(&[b"branch", branch, method.as_str().as_bytes()])
}
