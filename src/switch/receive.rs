//! Messages from the wire: which of them belong to a call, and what the others are answered
//! (RFC 3261 §8.2, §9.2, §11.2, §12.2.2, §13.2.2.4, §15.1.2).

use crate::sip::{Builder, Essentials, Header, Message, Method, response_target};
use crate::switch::call::Call;
use crate::switch::event::{Flow, Output};
use crate::switch::inbound::{self, Arrived};
use crate::switch::mask::{self, Asked};
use crate::switch::settings::TrunkId;
use crate::switch::trail::Cue;
use crate::switch::transaction::{Answer, Arrival, LegRef, TxId};
use crate::switch::{Switch, World};

impl Switch {
    pub(super) fn received(
        &mut self,
        flow: &Flow,
        trunk: TrunkId,
        bytes: &[u8],
        world: &mut World<'_>,
    ) {
        let Ok(message) = Message::scan(bytes) else {
            self.core.counters.malformed += 1;
            return;
        };
        let essentials = match message.essentials() {
            Ok(essentials) => essentials,
            Err(malformed) => {
                self.core.counters.malformed += 1;
                tracing::debug!(from = %flow.remote, "not usable: {malformed}");
                // §8.2, §16.3 by analogy: say so to a request whose sender can be answered.
                let answerable = message.method().is_some_and(|m| m != Method::Ack)
                    && message.first(Header::Via).is_some()
                    && message.first(Header::CSeq).is_some();
                if answerable {
                    let mut dice = self.core.mint.stream();
                    let tag = self.core.mint.id(&mut dice);
                    let status = malformed.status();
                    let mut reply = Builder::response(status, &message, flow.remote, Some(&tag));
                    reply.header(
                        Header::Warning,
                        format_args!("399 callmask \"{malformed}\""),
                    );
                    let remote = response_target(&message, flow.remote);
                    let flow = Flow {
                        remote,
                        ..flow.clone()
                    };
                    world.out.push(Output::Send {
                        flow,
                        bytes: reply.empty().bytes,
                    });
                }
                return;
            }
        };
        self.cue = Cue::of(&message, &essentials);
        if message.is_request() {
            self.request(flow, trunk, &message, &essentials, world);
        } else {
            self.response(trunk, flow, &message, &essentials, world);
        }
    }

    fn request(
        &mut self,
        flow: &Flow,
        trunk: TrunkId,
        message: &Message<'_>,
        e: &Essentials<'_>,
        world: &mut World<'_>,
    ) {
        let arrival = {
            let (transactions, mint, mut fx) = world.cx(&mut self.core).into_transactions();
            transactions.receive_request(message, e, flow, trunk, mint, &mut fx)
        };
        match arrival {
            Arrival::New(tx) => self.fresh(tx, flow, trunk, message, e, world),
            // §8.2.2.2
            Arrival::Merged(tx) => self.answer(tx, 482, &[], message, flow, world),
            Arrival::Ack => self.acknowledged(trunk, message, e, world),
            Arrival::Repeat => {}
            Arrival::Full => self.core.counters.overflow += 1,
        }
    }

    fn fresh(
        &mut self,
        tx: TxId,
        flow: &Flow,
        trunk: TrunkId,
        message: &Message<'_>,
        e: &Essentials<'_>,
        world: &mut World<'_>,
    ) {
        let method = e.cseq.method;
        if method == Method::Cancel {
            return self.cancel(tx, flow, trunk, message, e, world);
        }
        let in_dialog = e.to.tag().is_some();
        // A BYE is answered whatever it carries: nobody gains from a session that cannot end.
        if !(in_dialog && method == Method::Bye)
            && let Some((status, extra)) = inbound::objection(message, e)
        {
            let extra: Vec<(Header, &str)> = extra
                .iter()
                .map(|(header, value)| (*header, value.as_str()))
                .collect();
            return self.answer(tx, status, &extra, message, flow, world);
        }
        if in_dialog {
            return self.within(tx, flow, trunk, message, e, world);
        }
        match method {
            Method::Invite => self.invited(tx, flow, trunk, message, e, world),
            // §11.2: as an INVITE would be answered now.
            Method::Options if self.drain.is_some() => {
                self.answer(tx, 503, &[], message, flow, world);
            }
            Method::Options => {
                self.answer(tx, 200, &mask::CAPABILITIES, message, flow, world);
            }
            // §15.1.2
            Method::Bye => self.answer(tx, 481, &[], message, flow, world),
            Method::Refer => self.answer(tx, 603, &[], message, flow, world),
            // §8.2.1
            _ => self.answer(
                tx,
                405,
                &[(Header::Allow, mask::ALLOW)],
                message,
                flow,
                world,
            ),
        }
    }

    fn invited(
        &mut self,
        tx: TxId,
        flow: &Flow,
        trunk: TrunkId,
        message: &Message<'_>,
        essentials: &Essentials<'_>,
        world: &mut World<'_>,
    ) {
        if let Some(secs) = self.drain {
            let secs = secs.to_string();
            let extra = [(Header::RetryAfter, secs.as_str())];
            return self.answer(tx, 503, &extra, message, flow, world);
        }
        // A target's address alone does not make its calls ours.
        let carrier = self.core.settings.trunks.get(usize::from(trunk));
        if !carrier.is_some_and(|t| t.trusts(flow.remote.ip())) {
            return self.answer(tx, 403, &[], message, flow, world);
        }
        let directory = world.directory;
        let mut cx = world.cx(&mut self.core);
        cx.respond(tx, 100, mask::trying(message, flow.remote));
        let key = self.last_call + 1;
        let arrived = Arrived {
            tx,
            message,
            essentials,
            flow,
            trunk,
        };
        if let Some(call) = Call::inbound(key, &arrived, directory, &mut cx) {
            self.last_call = key;
            self.calls.insert(key, Box::new(call));
            self.with_call(key, world, |call, cx| call.start(cx));
        }
    }

    fn within(
        &mut self,
        tx: TxId,
        flow: &Flow,
        trunk: TrunkId,
        message: &Message<'_>,
        e: &Essentials<'_>,
        world: &mut World<'_>,
    ) {
        let Some(id) = self.leg_of(trunk, e, world) else {
            // §12.2.2: also what every request after the end gets.
            return self.answer(tx, 481, &[], message, flow, world);
        };
        let source = flow.remote;
        self.with_call(id.call, world, |call, cx| {
            let Some(leg) = call.legs.get_mut(usize::from(id.leg)) else {
                return;
            };
            if let Some(event) = leg.request(tx, message, e, source, cx) {
                call.heard(id.leg, event, cx);
            }
        });
    }

    fn cancel(
        &mut self,
        tx: TxId,
        flow: &Flow,
        trunk: TrunkId,
        message: &Message<'_>,
        e: &Essentials<'_>,
        world: &mut World<'_>,
    ) {
        let core = &self.core;
        let target = core
            .transactions
            .cancel_target(message, e, trunk, &core.mint);
        // §9.2: no such INVITE.
        let Some((_, owner)) = target else {
            return self.answer(tx, 481, &[], message, flow, world);
        };
        let owner = owner.filter(|id| self.calls.contains_key(&id.call));
        let Some(id) = owner else {
            return self.answer(tx, 200, &[], message, flow, world);
        };
        let source = flow.remote;
        self.with_call(id.call, world, |call, cx| {
            let Some(leg) = call.legs.get_mut(usize::from(id.leg)) else {
                return;
            };
            // §9.2: 200 in any case, with the tag of the INVITE's own responses.
            let tag = leg.dialog.local_tag.clone();
            let asked = Asked {
                message,
                source,
                tag: &tag,
            };
            cx.respond(tx, 200, mask::answer(&asked, 200, &[]));
            if let Some(event) = leg.cancelled(cx) {
                call.heard(id.leg, event, cx);
            }
        });
    }

    fn acknowledged(
        &mut self,
        trunk: TrunkId,
        message: &Message<'_>,
        e: &Essentials<'_>,
        world: &mut World<'_>,
    ) {
        let Some(id) = self.leg_of(trunk, e, world) else {
            return;
        };
        self.with_call(id.call, world, |call, cx| {
            let Some(leg) = call.legs.get_mut(usize::from(id.leg)) else {
                return;
            };
            if leg.acknowledged(e, cx).is_some() {
                call.caller_confirmed(message, cx);
            }
        });
    }

    fn response(
        &mut self,
        trunk: TrunkId,
        flow: &Flow,
        message: &Message<'_>,
        e: &Essentials<'_>,
        world: &mut World<'_>,
    ) {
        let answer = {
            let (transactions, mint, mut fx) = world.cx(&mut self.core).into_transactions();
            transactions.receive_response(message, e, trunk, mint, &mut fx)
        };
        match answer {
            Answer::ForUser(tx, id) => {
                self.with_call(id.call, world, |call, cx| {
                    let Some(leg) = call.legs.get_mut(usize::from(id.leg)) else {
                        return;
                    };
                    if let Some(event) = leg.response(tx, message, e, cx) {
                        call.heard(id.leg, event, cx);
                    }
                });
            }
            Answer::Surplus(_, id) => self.refuse_surplus(id, trunk, flow, message, e, world),
            Answer::Absorbed => {}
        }
    }

    /// A 2xx that nobody waits for: ACK and BYE, from the response alone (§13.2.2.4).
    fn refuse_surplus(
        &mut self,
        id: LegRef,
        trunk: TrunkId,
        flow: &Flow,
        message: &Message<'_>,
        e: &Essentials<'_>,
        world: &mut World<'_>,
    ) {
        let mut cx = world.cx(&mut self.core);
        let mut dice = cx.core.mint.stream();
        let (ack_branch, bye_branch) = (
            cx.core.mint.branch(&mut dice),
            cx.core.mint.branch(&mut dice),
        );
        let Some(listener) = cx.listener_of(flow) else {
            return;
        };
        let (ack_via, bye_via) = (
            mask::via(listener, &ack_branch),
            mask::via(listener, &bye_branch),
        );
        let Some((dialog, ack, bye)) = mask::refuse_answer(message, e, &ack_via, &bye_via) else {
            return;
        };
        let flow = cx.next_flow(&dialog, flow, trunk);
        cx.send(&flow, ack.bytes);
        cx.request(Method::Bye, &bye_branch, bye, &flow, trunk, id);
    }

    /// The leg whose dialog this request belongs to, by the trunk that leg is behind.
    fn leg_of(
        &mut self,
        trunk: TrunkId,
        e: &Essentials<'_>,
        world: &mut World<'_>,
    ) -> Option<LegRef> {
        let tag = e.to.tag()?;
        let id = world.cx(&mut self.core).find_dialog(e.call_id, tag)?;
        let leg = self.calls.get(&id.call)?.legs.get(usize::from(id.leg))?;
        (leg.trunk == trunk && leg.dialog.matches(e)).then_some(id)
    }

    fn answer(
        &mut self,
        tx: TxId,
        status: u16,
        extra: &[(Header, &str)],
        message: &Message<'_>,
        flow: &Flow,
        world: &mut World<'_>,
    ) {
        tracing::debug!(from = %flow.remote, "{}: {status}, and no call", self.cue);
        let mut cx = world.cx(&mut self.core);
        let mut dice = cx.core.mint.stream();
        let tag = cx.core.mint.id(&mut dice);
        let asked = Asked {
            message,
            source: flow.remote,
            tag: &tag,
        };
        cx.respond(tx, status, mask::answer(&asked, status, extra));
    }
}
