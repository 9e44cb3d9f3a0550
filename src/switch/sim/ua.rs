//! What both kinds of phone share: a dialog, retransmission, requests within the dialog, and an
//! opinion on what the other end does wrong.

use std::net::SocketAddr;

use super::callee::CalleePlan;
use super::caller::CallerPlan;
use super::style::Style;
use crate::phone::message::{Message, Start, uri};

/// RFC 3261 §17.1.1.1, in microseconds.
pub(super) const T1_US: u64 = 500_000;
/// RFC 3261 §17.1.2.2, in microseconds.
const T2_US: u64 = 4_000_000;
/// 64·T1, in microseconds.
pub(super) const SPAN_US: u64 = 64 * T1_US;
/// A second, in microseconds.
pub(super) const SECOND_US: u64 = 1_000_000;

/// A datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// Something a phone has planned to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chore {
    Invite,
    Merge,
    Cancel,
    EarlyBye,
    Ring,
    Progress,
    Final,
    Fork,
    HangUp,
    LateBye,
    Ask(&'static str),
    Vanish,
}

/// What is sent again until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Invite,
    Cancel,
    /// The dialog's index.
    Bye(usize),
    /// A 2xx of this dialog.
    Success(usize),
    Failure,
    /// A request whose answer must be one of these, or 481.
    Ask(&'static [u16]),
}

#[derive(Debug, Clone)]
struct Resend {
    what: What,
    branch: String,
    packet: Packet,
    at_us: u64,
    interval_us: u64,
    until_us: u64,
}

/// Where a dialog is, in the phone's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Talk {
    /// Not answered yet.
    Early,
    /// Answered.
    Up,
    /// Over.
    Over,
}

/// One dialog of a phone.
#[derive(Debug, Clone)]
pub(super) struct Dialog {
    pub local_tag: String,
    pub remote_tag: Option<String>,
    pub target: String,
    pub cseq: u32,
    pub talk: Talk,
    pub acked: bool,
    pub bye_sent: bool,
    pub bye_code: Option<u16>,
    pub bye_received: bool,
    pub up_at_us: u64,
}

impl Dialog {
    /// Whether it is over and no BYE of ours is still under way.
    fn is_done(&self) -> bool {
        self.talk == Talk::Over && (!self.bye_sent || self.bye_code.is_some())
    }
}

/// What the phone was made for.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Caller(Box<CallerPlan>),
    Callee(Box<CalleePlan>),
}

/// One phone in one call.
#[derive(Debug, Clone)]
pub(super) struct Ua {
    pub part: Part,
    pub style: Style,
    pub socket: SocketAddr,
    pub switch: SocketAddr,
    pub call_id: String,
    /// From and To of our requests, without tags.
    pub us: String,
    pub them: String,
    pub dialogs: Vec<Dialog>,
    /// The INVITE, as it stands on the wire.
    pub invite: Option<Message>,
    pub code: Option<u16>,
    pub provisional: u32,
    pub cancelled: bool,
    pub failure_acked: bool,
    /// It does not listen any more.
    pub gone: bool,
    /// When the first answer other than 100 came, and the latest.
    pub heard_us: Option<u64>,
    /// When the switch first sent it its INVITE, and when a word of it first reached the switch.
    pub dialled_us: u64,
    pub reached_us: Option<u64>,
    pub complaints: Vec<String>,
    pub out: Vec<Packet>,
    pub(super) last_answer: Option<Packet>,
    resends: Vec<Resend>,
    chores: Vec<(u64, Chore)>,
    byes_seen: Vec<String>,
    pub answers_seen: u32,
}

impl Ua {
    pub(super) fn new(part: Part, style: Style, socket: SocketAddr, switch: SocketAddr) -> Ua {
        Ua {
            part,
            style,
            socket,
            switch,
            call_id: String::new(),
            us: String::new(),
            them: String::new(),
            dialogs: Vec::new(),
            invite: None,
            code: None,
            provisional: 0,
            cancelled: false,
            failure_acked: false,
            gone: false,
            heard_us: None,
            dialled_us: 0,
            reached_us: None,
            complaints: Vec::new(),
            out: Vec::new(),
            last_answer: None,
            resends: Vec::new(),
            chores: Vec::new(),
            byes_seen: Vec::new(),
            answers_seen: 0,
        }
    }

    /// When it next wants to do something.
    pub(super) fn next_us(&self) -> Option<u64> {
        let resends = self.resends.iter().map(|r| r.at_us.min(r.until_us));
        resends.chain(self.chores.iter().map(|c| c.0)).min()
    }

    pub(super) fn plan(&mut self, at_us: u64, chore: Chore) {
        self.chores.push((at_us, chore));
    }

    pub(super) fn forget(&mut self, chore: Chore) {
        self.chores.retain(|c| c.1 != chore);
    }

    pub(super) fn complain(&mut self, now_us: u64, what: &str) {
        let code = self.code;
        self.complaints.push(format!(
            "at {:.3} s {} phone of {} (code {code:?}): {what}",
            now_us as f64 / 1e6,
            if matches!(self.part, Part::Caller(_)) {
                "calling"
            } else {
                "called"
            },
            self.call_id
        ));
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now_us: u64) {
        while let Some(i) = self.chores.iter().position(|c| c.0 <= now_us) {
            let (_, chore) = self.chores.remove(i);
            if !self.gone {
                self.act(chore, now_us);
            }
        }
        for i in (0..self.resends.len()).rev() {
            let resend = &mut self.resends[i];
            if resend.until_us <= now_us {
                let what = self.resends.remove(i).what;
                self.despair(what, now_us);
            } else if resend.at_us <= now_us {
                let cap = if resend.what == What::Invite {
                    SPAN_US
                } else {
                    T2_US
                };
                resend.interval_us = (resend.interval_us * 2).min(cap);
                resend.at_us = now_us + resend.interval_us;
                self.out.push(resend.packet.clone());
            }
        }
    }

    fn act(&mut self, chore: Chore, now_us: u64) {
        match chore {
            Chore::Invite | Chore::Merge | Chore::Cancel | Chore::EarlyBye => {
                self.act_calling(chore, now_us)
            }
            Chore::Ring | Chore::Progress | Chore::Final | Chore::Fork => {
                self.act_called(chore, now_us)
            }
            Chore::HangUp => self.bye(0, now_us),
            Chore::LateBye if self.dialogs[0].is_done() => {
                let request = self.within(0, "BYE", &[]);
                self.ask(request, &[481, 200], now_us);
            }
            Chore::Ask(method) if self.dialogs[0].talk == Talk::Up && !self.dialogs[0].bye_sent => {
                let codes: &[u16] = match method {
                    "OPTIONS" => &[200],
                    "INVITE" => &[488, 491, 500],
                    "REFER" => &[603, 405],
                    _ => &[405],
                };
                let more = if method == "INVITE" {
                    vec![("Contact", self.contact())]
                } else {
                    Vec::new()
                };
                let request = self.within(0, method, &more);
                self.ask(request, codes, now_us);
            }
            // After its BYE a phone says nothing more, and before it no second BYE.
            Chore::LateBye | Chore::Ask(_) => {}
            Chore::Vanish => {
                self.gone = true;
                self.resends.clear();
                self.chores.clear();
            }
        }
    }

    /// What is left to do when nobody answered for 64·T1.
    fn despair(&mut self, what: What, now_us: u64) {
        match what {
            What::Invite => {
                self.code = Some(408);
                self.complain(now_us, "INVITE without any response");
            }
            What::Cancel => self.complain(now_us, "CANCEL without an answer"),
            What::Bye(i) => {
                self.dialogs[i].talk = Talk::Over;
                self.complain(now_us, "BYE without an answer");
            }
            What::Success(i) => {
                self.complain(now_us, "2xx without an ACK");
                // §13.3.1.4
                self.bye(i, now_us);
            }
            What::Failure => self.complain(now_us, "refusal without an ACK"),
            What::Ask(_) => self.complain(now_us, "a request without an answer"),
        }
    }

    /// Sends something until it is answered.
    pub(super) fn repeat(&mut self, what: What, branch: &str, bytes: Vec<u8>, now_us: u64) {
        let packet = self.packet(bytes);
        self.out.push(packet.clone());
        self.resends.push(Resend {
            what,
            branch: branch.to_owned(),
            packet,
            at_us: now_us + T1_US,
            interval_us: T1_US,
            until_us: now_us + SPAN_US,
        });
    }

    /// Stops what satisfies `which`; true when there was any.
    pub(super) fn settle(&mut self, which: impl Fn(What, &str) -> bool) -> bool {
        let before = self.resends.len();
        self.resends.retain(|r| !which(r.what, &r.branch));
        self.resends.len() < before
    }

    pub(super) fn packet(&self, bytes: Vec<u8>) -> Packet {
        Packet {
            from: self.socket,
            to: self.switch,
            bytes,
        }
    }

    pub(super) fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.style.handle, self.socket)
    }

    pub(super) fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/UDP {};rport;branch={branch}", self.socket)
    }

    /// A request in dialog `i`: its branch and bytes.
    pub(super) fn within(
        &mut self,
        i: usize,
        method: &str,
        more: &[(&str, String)],
    ) -> (String, Vec<u8>) {
        self.dialogs[i].cseq += 1;
        let branch = self.style.branch();
        let bytes = self.written(i, method, self.dialogs[i].cseq, &branch, more, None);
        (branch, bytes)
    }

    pub(super) fn written(
        &mut self,
        i: usize,
        method: &str,
        cseq: u32,
        branch: &str,
        more: &[(&str, String)],
        sdp: Option<&str>,
    ) -> Vec<u8> {
        let dialog = &self.dialogs[i];
        let to = match &dialog.remote_tag {
            Some(tag) => format!("{};tag={tag}", self.them),
            None => self.them.clone(),
        };
        let mut fields = vec![
            ("Via", self.via(branch)),
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("{};tag={}", self.us, dialog.local_tag)),
            ("To", to),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{cseq} {method}")),
        ];
        fields.extend(more.iter().cloned());
        let first = format!("{method} {} SIP/2.0", dialog.target);
        self.style.print(&first, &fields, sdp)
    }

    fn ask(&mut self, (branch, bytes): (String, Vec<u8>), codes: &'static [u16], now_us: u64) {
        self.repeat(What::Ask(codes), &branch, bytes, now_us);
    }

    /// Hangs dialog `i` up, if there is anything to hang up.
    pub(super) fn bye(&mut self, i: usize, now_us: u64) {
        let Some(dialog) = self.dialogs.get_mut(i) else {
            return;
        };
        if dialog.talk != Talk::Up || dialog.bye_sent {
            return;
        }
        dialog.bye_sent = true;
        self.settle(|what, _| what == What::Success(i));
        let (branch, bytes) = self.within(i, "BYE", &[]);
        self.repeat(What::Bye(i), &branch, bytes, now_us);
    }

    /// Whether its first word came when the switch had given up at 64·T1: it was taken for
    /// silent, and what it believes is its own affair.
    pub(super) fn spoke_too_late(&self) -> bool {
        let late_us = self.dialled_us + SPAN_US;
        matches!(self.part, Part::Callee(_)) && self.reached_us.is_some_and(|us| us >= late_us)
    }

    /// Takes one message.
    pub(super) fn receive(&mut self, message: &Message, now_us: u64) {
        if self.gone {
            return;
        }
        match &message.start {
            Start::Response { code, .. } => self.response(*code, message, now_us),
            Start::Request { method, .. } if method == "BYE" => self.bye_received(message, now_us),
            Start::Request { .. } => self.request_called(message, now_us),
        }
    }

    fn response(&mut self, code: u16, message: &Message, now_us: u64) {
        let method = message.cseq().map(|c| c.1).unwrap_or_default();
        let number = message.cseq().map(|c| c.0);
        let branch = message.branch().unwrap_or_default().to_owned();
        let first_invite = self.invite.as_ref().and_then(Message::cseq).map(|c| c.0);
        if method == "INVITE" && matches!(self.part, Part::Caller(_)) && number == first_invite {
            return self.response_calling(code, message, now_us);
        }
        if code < 200 {
            return;
        }
        let settled = self
            .resends
            .iter()
            .find(|r| r.branch == branch && (method == "CANCEL") == (r.what == What::Cancel))
            .map(|r| r.what);
        if method == "INVITE" {
            // A re-INVITE that failed, as it must: §17.1.1.3, the ACK has the same branch.
            let cseq = number.unwrap_or_default();
            let ack = self.written(0, "ACK", cseq, &branch, &[], None);
            self.out.push(self.packet(ack));
        }
        let Some(what) = settled else { return };
        self.settle(|w, b| w == what && b == branch);
        match what {
            What::Bye(i) => {
                self.dialogs[i].bye_code = Some(code);
                self.dialogs[i].talk = Talk::Over;
                if ![200, 481].contains(&code) {
                    self.complain(now_us, &format!("BYE answered {code}"));
                }
            }
            // §12.2.2: one that was overtaken gets 500.
            What::Ask(codes) if !codes.contains(&code) && ![481, 500].contains(&code) => {
                self.complain(now_us, &format!("{method} answered {code}"));
            }
            What::Cancel if ![200, 481].contains(&code) => {
                self.complain(now_us, &format!("CANCEL answered {code}"));
            }
            _ => {}
        }
    }

    fn bye_received(&mut self, message: &Message, now_us: u64) {
        let branch = message.branch().unwrap_or_default().to_owned();
        let tag = message.to_tag().unwrap_or_default();
        let Some(i) = self.dialogs.iter().position(|d| d.local_tag == tag) else {
            self.complain(now_us, "BYE for a dialog that never was");
            return;
        };
        let again = self.byes_seen.contains(&branch);
        let deaf = self.deaf_to_bye();
        let called = matches!(self.part, Part::Callee(_));
        let dialog = &mut self.dialogs[i];
        if called && dialog.talk == Talk::Early {
            self.complain(now_us, "BYE before the answer");
        } else if !called
            && !dialog.acked
            && dialog.talk == Talk::Up
            && now_us < dialog.up_at_us + SPAN_US * 3 / 4
        {
            // §15: the one who was called must not hang up before the ACK has come.
            self.complain(now_us, "BYE before our ACK");
        }
        if deaf {
            return;
        }
        self.byes_seen.push(branch);
        let dialog = &mut self.dialogs[i];
        let code = if dialog.talk == Talk::Over && !again && dialog.bye_received {
            481
        } else {
            200
        };
        dialog.bye_received = true;
        dialog.talk = Talk::Over;
        self.settle(|what, _| what == What::Success(i));
        if i == 0 {
            self.forget(Chore::HangUp);
        }
        let bytes = self.answer(message, code, tag, &[], None);
        self.out.push(self.packet(bytes));
    }

    /// A response of ours, echoing what RFC 3261 §8.2.6.2 asks for.
    pub(super) fn answer(
        &mut self,
        request: &Message,
        code: u16,
        tag: &str,
        more: &[(&str, String)],
        sdp: Option<&str>,
    ) -> Vec<u8> {
        let mut fields: Vec<(&str, String)> =
            request.all("Via").map(|v| ("Via", v.to_owned())).collect();
        let to = request.field("To").unwrap_or_default();
        let to = match request.to_tag() {
            None if code > 100 => format!("{to};tag={tag}"),
            _ => to.to_owned(),
        };
        let field = |name| request.field(name).unwrap_or_default().to_owned();
        fields.push(("From", field("From")));
        fields.push(("To", to));
        fields.push(("Call-ID", field("Call-ID")));
        fields.push(("CSeq", field("CSeq")));
        fields.extend(more.iter().cloned());
        let first = format!("SIP/2.0 {code} {}", self.style.phrase());
        self.style.print(&first, &fields, sdp)
    }

    /// The other end's Contact.
    pub(super) fn target_of(message: &Message) -> Option<String> {
        message.field("Contact").map(|c| uri(c).to_owned())
    }
}
