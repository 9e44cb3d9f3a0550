//! A phone that is called: ringing, early media, answers and refusals, and what callees do wrong
//! (RFC 3261 §9.2, §13.3, §17.2.1).

use super::style::Wants;
use super::ua::{Chore, Dialog, Part, Talk, Ua, What};
use crate::phone::message::Message;
use crate::phone::sdp::Description;

/// How a callee ends the INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// 200, after so many microseconds.
    Answer(u64),
    /// This final response, after so many microseconds.
    Reject(u16, u64),
    Never,
}

/// What a CANCEL does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnCancel {
    /// 487.
    Obey,
    /// It is answered at this very moment.
    Answer,
    /// 200 to the CANCEL and no final response, ever.
    Ignore,
}

/// What is wrong with a callee's 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerFlaw {
    None,
    NoSdp,
    NoContact,
    BrokenSdp,
    NoCodec,
}

/// What a callee does, in microseconds from the INVITE unless said otherwise.
#[derive(Debug, Clone)]
pub(super) struct CalleePlan {
    pub wants: Wants,
    pub trying: bool,
    pub ring_us: Option<u64>,
    /// 183 with SDP.
    pub progress_us: Option<u64>,
    pub ending: Ending,
    pub on_cancel: OnCancel,
    /// A second 2xx with another To tag, from the first one.
    pub fork_us: Option<u64>,
    /// From the ACK.
    pub talk_us: Option<u64>,
    /// It never answers a BYE.
    pub deaf: bool,
    pub flaw: AnswerFlaw,
    /// From the INVITE: it hears and says nothing more.
    pub vanish_us: Option<u64>,
}

impl CalleePlan {
    /// A callee that rings, answers after 5 s and waits to be hung up on.
    pub(super) fn plain() -> CalleePlan {
        CalleePlan {
            wants: Wants {
                codecs: vec!["PCMA/8000", "PCMU/8000", "telephone-event/8000"],
                ptime_ms: None,
                direction: "sendrecv",
            },
            trying: true,
            ring_us: Some(300_000),
            progress_us: None,
            ending: Ending::Answer(5_000_000),
            on_cancel: OnCancel::Obey,
            fork_us: None,
            talk_us: None,
            deaf: false,
            flaw: AnswerFlaw::None,
            vanish_us: None,
        }
    }
}

impl Ua {
    fn called(&self) -> CalleePlan {
        match &self.part {
            Part::Callee(plan) => (**plan).clone(),
            Part::Caller(_) => unreachable!("only a callee does this"),
        }
    }

    pub(super) fn deaf_to_bye(&self) -> bool {
        matches!(&self.part, Part::Callee(plan) if plan.deaf)
    }

    /// Takes the INVITE it was made for.
    pub(super) fn take(&mut self, invite: &Message, now_us: u64) {
        let plan = self.called();
        self.call_id = invite.field("Call-ID").unwrap_or_default().to_owned();
        self.us = invite.field("To").unwrap_or_default().to_owned();
        let from = invite.field("From").unwrap_or_default();
        self.them = from.split(";tag=").next().unwrap_or_default().to_owned();
        self.invite = Some(invite.clone());
        self.open_dialog();
        if Description::read(&invite.body).is_none() {
            self.complain(now_us, "an INVITE without an offer");
        }
        if plan.trying {
            self.provisional_answer(100, false);
        }
        let chores = [
            (plan.ring_us, Chore::Ring),
            (plan.progress_us, Chore::Progress),
            (plan.vanish_us, Chore::Vanish),
        ];
        for (us, chore) in chores {
            if let Some(us) = us {
                self.plan(now_us + us, chore);
            }
        }
        if let Ending::Answer(us) | Ending::Reject(_, us) = plan.ending {
            self.plan(now_us + us, Chore::Final);
        }
    }

    fn open_dialog(&mut self) -> usize {
        let invite = self.invite.clone().unwrap();
        let dialog = Dialog {
            local_tag: self.style.word(9),
            remote_tag: invite.from_tag().map(str::to_owned),
            target: Ua::target_of(&invite).unwrap_or_default(),
            cseq: self.style.cseq(),
            talk: Talk::Early,
            acked: false,
            bye_sent: false,
            bye_code: None,
            bye_received: false,
            up_at_us: 0,
        };
        self.dialogs.push(dialog);
        self.dialogs.len() - 1
    }

    pub(super) fn act_called(&mut self, chore: Chore, now_us: u64) {
        if self.code.is_some() && chore != Chore::Fork {
            return;
        }
        match chore {
            Chore::Ring => self.provisional_answer(180, false),
            Chore::Progress => self.provisional_answer(183, true),
            Chore::Final => match self.called().ending {
                Ending::Answer(_) => self.accept(0, now_us),
                Ending::Reject(code, _) => self.refuse(code, now_us),
                Ending::Never => {}
            },
            Chore::Fork => {
                let i = self.open_dialog();
                self.accept(i, now_us);
            }
            _ => {}
        }
    }

    fn provisional_answer(&mut self, code: u16, with_sdp: bool) {
        self.provisional += 1;
        let invite = self.invite.clone().unwrap();
        let sdp = with_sdp.then(|| self.answering_sdp(&invite));
        let mut more = vec![("Contact", self.contact())];
        for route in self.style.routes(1) {
            more.push(("Record-Route", route));
        }
        let tag = self.dialogs[0].local_tag.clone();
        let more = if code == 100 { &[] } else { more.as_slice() };
        let bytes = self.answer(&invite, code, &tag, more, sdp.as_deref());
        let packet = self.packet(bytes);
        self.last_answer = Some(packet.clone());
        self.out.push(packet);
    }

    fn answering_sdp(&mut self, invite: &Message) -> String {
        let plan = self.called();
        let offer = Description::read(&invite.body);
        let mut wants = plan.wants;
        if let Some(offer) = &offer {
            wants.codecs.retain(|c| offer.payload_type(c).is_some());
        }
        if plan.flaw == AnswerFlaw::NoCodec {
            wants.codecs = vec!["x-own/8000"];
        }
        let sdp = self.style.sdp(&wants, offer.as_ref());
        match plan.flaw {
            AnswerFlaw::BrokenSdp => sdp.replace("m=audio", "m="),
            _ => sdp,
        }
    }

    fn accept(&mut self, i: usize, now_us: u64) {
        let plan = self.called();
        let invite = self.invite.clone().unwrap();
        let sdp = (plan.flaw != AnswerFlaw::NoSdp).then(|| self.answering_sdp(&invite));
        let mut more = Vec::new();
        if plan.flaw != AnswerFlaw::NoContact {
            more.push(("Contact", self.contact()));
        }
        for route in self.style.routes(1) {
            more.push(("Record-Route", route));
        }
        let tag = self.dialogs[i].local_tag.clone();
        let bytes = self.answer(&invite, 200, &tag, &more, sdp.as_deref());
        self.code.get_or_insert(200);
        self.dialogs[i].talk = Talk::Up;
        self.dialogs[i].up_at_us = now_us;
        self.last_answer = None;
        self.repeat(What::Success(i), "", bytes, now_us);
        if i == 0
            && let Some(us) = plan.fork_us
        {
            self.plan(now_us + us, Chore::Fork);
        }
    }

    fn refuse(&mut self, code: u16, now_us: u64) {
        self.code = Some(code);
        let invite = self.invite.clone().unwrap();
        let tag = self.dialogs[0].local_tag.clone();
        self.dialogs[0].talk = Talk::Over;
        let bytes = self.answer(&invite, code, &tag, &[], None);
        let packet = self.packet(bytes.clone());
        self.last_answer = Some(packet);
        self.repeat(What::Failure, "", bytes, now_us);
    }

    /// Any request but BYE.
    pub(super) fn request_called(&mut self, message: &Message, now_us: u64) {
        if let Part::Caller(_) = self.part {
            let method = message.method().unwrap_or_default().to_owned();
            return self.complain(now_us, &format!("{method} to a caller"));
        }
        let branch = message.branch().unwrap_or_default();
        let same = self.invite.as_ref().and_then(Message::branch) == Some(branch);
        match message.method().unwrap_or_default() {
            "INVITE" if same => self.out.extend(self.last_answer.clone()),
            "INVITE" => self.complain(now_us, "a second INVITE in one call"),
            "CANCEL" => self.cancel_received(message, same, now_us),
            "ACK" => self.acknowledged(message, same, now_us),
            other => {
                let what = format!("{other} to a callee");
                self.complain(now_us, &what);
            }
        }
    }

    fn cancel_received(&mut self, message: &Message, same: bool, now_us: u64) {
        let invite = self.invite.clone().unwrap();
        let number = |m: &Message| m.cseq().map(|c| c.0);
        let field = |m: &Message, name: &str| m.field(name).map(str::to_owned);
        // §9.1
        let kin = same
            && number(message) == number(&invite)
            && field(message, "From") == field(&invite, "From")
            && field(message, "To") == field(&invite, "To")
            && message.called() == invite.called();
        if !kin {
            self.complain(now_us, "a CANCEL that does not fit the INVITE");
        }
        if self.provisional == 0 && self.code.is_none() {
            self.complain(now_us, "a CANCEL before any provisional response");
        }
        self.cancelled = true;
        let tag = self.dialogs[0].local_tag.clone();
        let bytes = self.answer(message, 200, &tag, &[], None);
        self.out.push(self.packet(bytes));
        if self.code.is_some() {
            return;
        }
        match self.called().on_cancel {
            OnCancel::Obey => self.refuse(487, now_us),
            OnCancel::Answer => self.accept(0, now_us),
            OnCancel::Ignore => self.forget(Chore::Final),
        }
    }

    fn acknowledged(&mut self, message: &Message, same: bool, now_us: u64) {
        if self.code.is_none() {
            return self.complain(now_us, "ACK before a final response");
        }
        if self.code.is_some_and(|c| c >= 300) {
            // §17.1.1.3
            if !same {
                self.complain(now_us, "ACK of a refusal with another branch");
            }
            self.failure_acked = true;
            self.settle(|what, _| what == What::Failure);
            return;
        }
        let tag = message.to_tag().unwrap_or_default();
        let Some(i) = self.dialogs.iter().position(|d| d.local_tag == tag) else {
            return self.complain(now_us, "ACK for a dialog that never was");
        };
        let invite_cseq = self.invite.as_ref().and_then(Message::cseq).map(|c| c.0);
        if same || message.cseq().map(|c| c.0) != invite_cseq {
            self.complain(
                now_us,
                "ACK of a 2xx with the INVITE's branch or another CSeq",
            );
        }
        self.settle(|what, _| what == What::Success(i));
        let first = !self.dialogs[i].acked;
        self.dialogs[i].acked = true;
        if first
            && i == 0
            && let Some(us) = self.called().talk_us
        {
            self.plan(now_us + us, Chore::HangUp);
        }
    }
}
