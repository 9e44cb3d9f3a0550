//! A phone that calls: INVITE, CANCEL, ACK and what callers do wrong (RFC 3261 §9.1, §13.2,
//! §17.1.1).

use super::style::Wants;
use super::ua::{Chore, Dialog, Part, SECOND_US, SPAN_US, Talk, Ua, What};
use crate::number::Number;
use crate::phone::message::{Message, uri};
use crate::phone::sdp::Description;

/// What is wrong with a caller's INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// It comes a second time by another way.
    Merged,
    Require,
    HopsGone,
    Scheme,
    Body,
    BrokenSdp,
    NoContact,
    NoCodec,
    Anonymous,
}

/// How a caller acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ack {
    Always,
    Never,
    /// Not before the 2xx has come so many times.
    After(u32),
}

/// What a caller does, in microseconds from its first event of that kind.
#[derive(Debug, Clone)]
pub(super) struct CallerPlan {
    /// The ExoPhone, or whatever was dialled.
    pub dials: Number,
    /// `None`: no offer in the INVITE.
    pub wants: Wants,
    pub offers: bool,
    pub flaw: Flaw,
    pub ack: Ack,
    /// From the INVITE.
    pub cancel_us: Option<u64>,
    /// Whether it cancels before any response came.
    pub rude: bool,
    /// From the first provisional response.
    pub early_bye_us: Option<u64>,
    /// From the answer.
    pub talk_us: Option<u64>,
    /// From the answer.
    pub asks: Vec<(u64, &'static str)>,
    /// From the end.
    pub late_bye_us: Option<u64>,
    /// From the answer: it hears and says nothing more.
    pub vanish_us: Option<u64>,
}

impl CallerPlan {
    /// A caller that waits, talks for `talk_us` and hangs up.
    pub(super) fn plain(dials: Number, talk_us: Option<u64>) -> CallerPlan {
        let wants = Wants {
            codecs: vec!["PCMU/8000", "PCMA/8000", "telephone-event/8000"],
            ptime_ms: Some(20),
            direction: "sendrecv",
        };
        CallerPlan {
            dials,
            wants,
            offers: true,
            flaw: Flaw::None,
            ack: Ack::Always,
            cancel_us: None,
            rude: false,
            early_bye_us: None,
            talk_us,
            asks: Vec::new(),
            late_bye_us: None,
            vanish_us: None,
        }
    }
}

impl Ua {
    fn calling(&self) -> CallerPlan {
        match &self.part {
            Part::Caller(plan) => (**plan).clone(),
            Part::Callee(_) => unreachable!("only a caller does this"),
        }
    }

    pub(super) fn act_calling(&mut self, chore: Chore, now_us: u64) {
        match chore {
            Chore::Invite => self.place(now_us),
            Chore::Merge => {
                let Some(invite) = self.invite_again() else {
                    return;
                };
                self.out.push(invite);
            }
            Chore::Cancel => self.cancel(now_us),
            Chore::EarlyBye if self.code.is_none() => {
                // §15.1.1: the caller may end an early dialog with BYE.
                let request = self.within(0, "BYE", &[]);
                self.cancelled = true;
                self.dialogs[0].bye_sent = true;
                self.repeat(What::Bye(0), &request.0, request.1, now_us);
            }
            _ => {}
        }
    }

    fn place(&mut self, now_us: u64) {
        let plan = self.calling();
        self.call_id = self.style.call_id();
        let number = self.style.written();
        let user = if plan.flaw == Flaw::Anonymous {
            "anonymous"
        } else {
            number.as_str()
        };
        self.us = self.style.own_address(user);
        let scheme = if plan.flaw == Flaw::Scheme {
            "fax"
        } else {
            "sip"
        };
        let dialled = format!("{scheme}:{}@10.0.0.1", plan.dials.e164());
        self.them = format!("<{dialled}>");
        let dialog = Dialog {
            local_tag: self.style.word(9),
            remote_tag: None,
            target: dialled,
            cseq: self.style.cseq(),
            talk: Talk::Early,
            acked: false,
            bye_sent: false,
            bye_code: None,
            bye_received: false,
            up_at_us: 0,
        };
        let (cseq, branch) = (dialog.cseq, self.style.branch());
        self.dialogs.push(dialog);
        let bytes = self.invitation(&plan, cseq, &branch);
        self.invite = Message::read(&bytes);
        self.repeat(What::Invite, &branch, bytes, now_us);
        if let Some(us) = plan.cancel_us {
            self.plan(now_us + us, Chore::Cancel);
        }
    }

    fn invitation(&mut self, plan: &CallerPlan, cseq: u32, branch: &str) -> Vec<u8> {
        let mut more = Vec::new();
        for route in self.style.routes(self.net()) {
            more.push(("Record-Route", route));
        }
        if plan.flaw != Flaw::NoContact {
            more.push(("Contact", self.contact()));
        }
        if plan.flaw != Flaw::Anonymous
            && let Some(asserted) = self.style.asserted()
        {
            more.push(("P-Asserted-Identity", asserted));
        }
        if plan.flaw == Flaw::Require {
            more.push(("Require", "100rel, gruu".to_owned()));
        }
        let mut wants = plan.wants.clone();
        if plan.flaw == Flaw::NoCodec {
            wants.codecs = vec!["x-own/8000"];
        }
        let mut sdp = self.style.sdp(&wants, None);
        if plan.flaw == Flaw::BrokenSdp {
            sdp = sdp.replace("m=audio", "m=");
        }
        let offered = plan.offers || plan.flaw == Flaw::BrokenSdp || plan.flaw == Flaw::NoCodec;
        let bytes = self.written(
            0,
            "INVITE",
            cseq,
            branch,
            &more,
            offered.then_some(sdp.as_str()),
        );
        let text = String::from_utf8(bytes).unwrap();
        let text = match plan.flaw {
            Flaw::HopsGone => replace_field(&text, "max-forwards", "0"),
            Flaw::Body => replace_field(&text, "content-type", "text/plain"),
            _ => text,
        };
        text.into_bytes()
    }

    /// The INVITE by another way: all the same but the branch (§8.2.2.2).
    fn invite_again(&mut self) -> Option<super::ua::Packet> {
        let plan = self.calling();
        let cseq = self.invite.as_ref()?.cseq()?.0;
        let branch = self.style.branch();
        let remote = self.dialogs[0].remote_tag.take();
        let bytes = self.invitation(&plan, cseq, &branch);
        self.dialogs[0].remote_tag = remote;
        Some(self.packet(bytes))
    }

    fn cancel(&mut self, now_us: u64) {
        if self.code.is_some() || self.cancelled {
            return;
        }
        if self.provisional == 0 && !self.calling().rude {
            // §9.1: not before a provisional response.
            return self.plan(now_us + SECOND_US / 10, Chore::Cancel);
        }
        self.cancelled = true;
        let invite = self.invite.clone().unwrap();
        let branch = invite.branch().unwrap_or_default().to_owned();
        let cseq = invite.cseq().unwrap_or_default().0;
        let remote = self.dialogs[0].remote_tag.take();
        let bytes = self.written(0, "CANCEL", cseq, &branch, &[], None);
        self.dialogs[0].remote_tag = remote;
        self.repeat(What::Cancel, &branch, bytes, now_us);
    }

    pub(super) fn response_calling(&mut self, code: u16, message: &Message, now_us: u64) {
        if message.branch() != self.invite.as_ref().and_then(Message::branch) {
            // The answer to the merged copy: §17.1.1.3, its own ACK.
            if code >= 200 {
                let branch = message.branch().unwrap_or_default().to_owned();
                self.acknowledge_refusal(message, &branch);
                if code != 482 {
                    self.complain(now_us, &format!("merged INVITE answered {code}"));
                }
            }
            return;
        }
        self.settle(|what, _| what == What::Invite);
        match code {
            100 => {
                self.provisional += 1;
                // Only now is it sure that the copy comes second.
                if self.provisional == 1
                    && self.code.is_none()
                    && self.calling().flaw == Flaw::Merged
                {
                    self.plan(now_us, Chore::Merge);
                }
            }
            101..=199 => self.ringing(message, now_us),
            200..=299 => self.answered(code, message, now_us),
            _ => {
                let branch = message.branch().unwrap_or_default().to_owned();
                self.acknowledge_refusal(message, &branch);
                self.dialogs[0].talk = Talk::Over;
                match self.code {
                    Some(first) if first != code => {
                        self.complain(now_us, &format!("second final response {code}"))
                    }
                    Some(_) => {}
                    None => {
                        self.code = Some(code);
                        self.over(now_us);
                    }
                }
            }
        }
    }

    fn ringing(&mut self, message: &Message, now_us: u64) {
        self.provisional += 1;
        let first = self.heard_us.is_none();
        self.heard_us = Some(now_us);
        if self.code.is_none() {
            self.learn(message);
            if first && let Some(us) = self.calling().early_bye_us {
                self.plan(now_us + us, Chore::EarlyBye);
            }
        }
    }

    fn learn(&mut self, message: &Message) {
        let tag = message.to_tag().map(str::to_owned);
        let known = self.dialogs[0].remote_tag.clone();
        if known.is_some() && known != tag {
            self.complain(0, "the To tag changed");
        }
        self.dialogs[0].remote_tag = tag;
        if let Some(target) = Ua::target_of(message) {
            self.dialogs[0].target = target;
        }
    }

    fn answered(&mut self, code: u16, message: &Message, now_us: u64) {
        let plan = self.calling();
        self.provisional += 1;
        let first = self.code.is_none();
        if first {
            self.code = Some(code);
            self.learn(message);
            let dialog = &mut self.dialogs[0];
            // A BYE of either side may have overtaken the answer.
            let ended = dialog.bye_code.is_some() || dialog.bye_received;
            dialog.talk = if ended { Talk::Over } else { Talk::Up };
            dialog.up_at_us = now_us;
            self.check_answer(message, now_us);
            for (us, what) in plan.asks.iter().filter(|_| plan.ack == Ack::Always) {
                self.plan(now_us + us, Chore::Ask(what));
            }
            if let Some(us) = plan.vanish_us {
                self.plan(now_us + us, Chore::Vanish);
            }
            if let Some(us) = plan.talk_us {
                self.plan(now_us + us, Chore::HangUp);
                if let Some(late) = plan.late_bye_us {
                    self.plan(now_us + us + late, Chore::LateBye);
                }
            }
            self.over(now_us);
        } else if self.code != Some(code) {
            self.complain(now_us, "a 2xx after another final response");
        }
        self.answers_seen += 1;
        let willing = match plan.ack {
            Ack::Always => true,
            Ack::Never => false,
            Ack::After(n) => self.answers_seen > n,
        };
        if willing {
            self.acknowledge(message, &plan);
            if first && self.cancelled {
                // The answer crossed our CANCEL (§9.1): the call is up and must be ended.
                self.plan(now_us, Chore::HangUp);
            }
        } else if first && self.cancelled && plan.ack == Ack::Never {
            self.plan(now_us + SPAN_US * 2, Chore::HangUp);
        }
    }

    fn check_answer(&mut self, message: &Message, now_us: u64) {
        let Some(read) = Description::read(&message.body) else {
            return self.complain(now_us, "a 200 without SDP");
        };
        if read.codecs.is_empty() || read.codecs.iter().all(|c| c.is_telephone_event()) {
            self.complain(now_us, "a 200 without an audio codec");
        }
    }

    fn acknowledge(&mut self, message: &Message, plan: &CallerPlan) {
        let cseq = message.cseq().unwrap_or_default().0;
        let branch = self.style.branch();
        let answer = (!plan.offers).then(|| {
            let offer = Description::read(&message.body);
            self.style.sdp(&plan.wants, offer.as_ref())
        });
        let bytes = self.written(0, "ACK", cseq, &branch, &[], answer.as_deref());
        self.dialogs[0].acked = true;
        self.out.push(self.packet(bytes));
    }

    fn acknowledge_refusal(&mut self, message: &Message, branch: &str) {
        let plan = self.calling();
        if plan.ack == Ack::Never {
            return;
        }
        let invite = self.invite.clone().unwrap();
        let field = |m: &Message, name: &str| m.field(name).unwrap_or_default().to_owned();
        let fields = [
            ("Via", self.via(branch)),
            ("Max-Forwards", "70".to_owned()),
            ("From", field(&invite, "From")),
            ("To", field(message, "To")),
            ("Call-ID", self.call_id.clone()),
            (
                "CSeq",
                format!("{} ACK", invite.cseq().unwrap_or_default().0),
            ),
        ];
        let first = format!("ACK {} SIP/2.0", uri(&self.them));
        let bytes = self.style.print(&first, &fields, None);
        self.failure_acked = true;
        self.out.push(self.packet(bytes));
    }

    /// A final response came.
    fn over(&mut self, now_us: u64) {
        self.forget(Chore::EarlyBye);
        if self.code.is_some_and(|code| code >= 300) {
            self.forget(Chore::Cancel);
            if let Some(us) = self
                .calling()
                .late_bye_us
                .filter(|_| self.dialogs[0].remote_tag.is_some())
            {
                self.plan(now_us + us, Chore::LateBye);
            }
        }
    }

    /// The carrier network's number in its addresses.
    fn net(&self) -> u8 {
        match self.socket.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[1],
            std::net::IpAddr::V6(_) => 0,
        }
    }
}

fn replace_field(text: &str, name: &str, value: &str) -> String {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let lines: Vec<String> = head
        .split("\r\n")
        .map(|line| match line.split_once(':') {
            Some((n, _))
                if n.trim().eq_ignore_ascii_case(name)
                    || (name == "content-type" && n.trim() == "c") =>
            {
                format!("{n}: {value}")
            }
            _ => line.to_owned(),
        })
        .collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}
