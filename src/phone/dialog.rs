//! One call's signalling as a phone sees it: INVITE, CANCEL, ACK, BYE (RFC 3261 §9, §12–§15) as
//! a machine from messages and wishes to effects. Sockets and timers are in `call`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::message::{Message, Start, print, uri};
use super::sdp::{Codec, Description};
use super::{Answering, Error};

/// What a phone knows of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallView {
    /// Provisional responses, in order: received by the caller, sent by the callee.
    pub provisional: Vec<u16>,
    /// The final response to the INVITE.
    pub code: Option<u16>,
    /// The ACK of the final response was sent (caller) or received (callee).
    pub acknowledged: bool,
    /// The caller's CANCEL was sent or received.
    pub cancelled: bool,
    /// BYEs received.
    pub byes_received: u32,
    /// Responses to our BYE or CANCEL, in order.
    pub responses: Vec<u16>,
    /// The call is over: a BYE was answered, or the INVITE was refused.
    pub ended: bool,
}

/// What has to be done about a message or a wish.
#[derive(Debug)]
pub(super) enum Effect {
    /// Send once, to the address.
    Send(Vec<u8>, SocketAddr),
    /// Send now and again, until the key is no longer open.
    Repeat(Vec<u8>, SocketAddr, Key),
    /// The other side's media address and codecs.
    Remote(Description),
}

/// What is being retransmitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// An INVITE, until any response (RFC 3261 §17.1.1.2).
    Invite,
    /// A final response to an INVITE, until the ACK (§13.3.1.4, §17.2.1).
    Final,
    /// A CANCEL, until its final response.
    Cancel,
    /// A BYE, until its final response.
    Bye,
}

/// What a dialog is made of at birth.
pub(super) struct Birth {
    /// Our SIP address.
    pub(super) local: SocketAddr,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// Our RTP address.
    pub(super) rtp: SocketAddr,
    /// Codecs we know, by preference, with our payload types.
    pub(super) codecs: Vec<Codec>,
    /// Random text of this call: makes tags and branches.
    pub(super) secret: String,
}

#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) view: CallView,
    pub(super) open: BTreeSet<Key>,
    pub(super) call_id: String,
    /// The INVITE as received; `None` at the caller.
    pub(super) invite: Option<Message>,
    answering: Answering,
    local: SocketAddr,
    peer: SocketAddr,
    /// From and To of our requests, and their Request-URI.
    us: String,
    them: String,
    target: String,
    tag: String,
    cseq: u32,
    branches: u32,
    sdp: String,
    /// The codecs of our side, to answer an offer with.
    own: Description,
    /// The last response to the INVITE, for its retransmissions (§17.2.1).
    last_answer: Option<Vec<u8>>,
    cancel_wanted: bool,
}

/// Number of the first request of a caller.
const FIRST_CSEQ: u32 = 1;
/// `o=` session number of a phone.
const SESSION: u64 = 4_711;

impl Dialog {
    /// Places a call: `from` and `more` are header values, `target` the Request-URI.
    pub(super) fn place(
        birth: Birth,
        from: &str,
        target: &str,
        more: &[(&str, String)],
    ) -> (Dialog, Vec<Effect>) {
        let mut dialog = Dialog::new(birth, None, Answering::Silent);
        dialog.call_id = format!("{}@phone", dialog.tag);
        dialog.us = format!("{from};tag={}", dialog.tag);
        dialog.them = format!("<{target}>");
        dialog.target = target.to_owned();
        dialog.sdp = dialog.own.print(SESSION);
        let mut fields = more.to_vec();
        fields.push(("Contact", dialog.contact()));
        fields.push(("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS".to_owned()));
        let sdp = dialog.sdp.clone();
        let branch = dialog.invite_branch();
        let bytes = dialog.request("INVITE", FIRST_CSEQ, &branch, &fields, Some(&sdp));
        dialog.open.insert(Key::Invite);
        let peer = dialog.peer;
        (dialog, vec![Effect::Repeat(bytes, peer, Key::Invite)])
    }

    /// Takes a call and does what `answering` says.
    pub(super) fn take(
        birth: Birth,
        invite: Message,
        answering: Answering,
    ) -> (Dialog, Vec<Effect>) {
        let offer = Description::read(&invite.body);
        let mut dialog = Dialog::new(birth, Some(invite.clone()), answering);
        dialog.call_id = invite.field("Call-ID").unwrap_or_default().to_owned();
        // §12.1.1: our To with our tag becomes the From of our requests.
        dialog.us = format!(
            "{};tag={}",
            invite.field("To").unwrap_or_default(),
            dialog.tag
        );
        dialog.them = invite.field("From").unwrap_or_default().to_owned();
        dialog.learn_target(&invite);
        let mut effects = Vec::new();
        let answer = match &offer {
            Some(offer) => offer.answer(dialog.own.rtp, &dialog.own.codecs),
            None => dialog.own.clone(),
        };
        dialog.sdp = answer.print(SESSION);
        effects.extend(offer.map(Effect::Remote));
        let wish = match answering {
            Answering::Answer => dialog.ring().and_then(|mut first| {
                first.extend(dialog.accept()?);
                Ok(first)
            }),
            Answering::Ring | Answering::AnswerOnCancel => dialog.ring(),
            Answering::Reject(code) => dialog.reject(code),
            Answering::Silent => Ok(Vec::new()),
        };
        effects.extend(wish.unwrap_or_default());
        (dialog, effects)
    }

    fn new(birth: Birth, invite: Option<Message>, answering: Answering) -> Dialog {
        Dialog {
            view: CallView::default(),
            open: BTreeSet::new(),
            call_id: String::new(),
            invite,
            answering,
            local: birth.local,
            peer: birth.peer,
            us: String::new(),
            them: String::new(),
            target: String::new(),
            tag: birth.secret,
            cseq: FIRST_CSEQ,
            branches: 0,
            sdp: String::new(),
            own: Description {
                rtp: birth.rtp,
                codecs: birth.codecs,
            },
            last_answer: None,
            cancel_wanted: false,
        }
    }

    /// 180.
    pub(super) fn ring(&mut self) -> Result<Vec<Effect>, Error> {
        let bytes = self.final_or_not(180, false)?;
        self.view.provisional.push(180);
        Ok(vec![Effect::Send(bytes, self.peer)])
    }

    /// 200 with our SDP, until the ACK.
    pub(super) fn accept(&mut self) -> Result<Vec<Effect>, Error> {
        let bytes = self.final_or_not(200, true)?;
        self.finish_invite(200);
        Ok(vec![Effect::Repeat(bytes, self.peer, Key::Final)])
    }

    /// A final refusal, until the ACK.
    pub(super) fn reject(&mut self, code: u16) -> Result<Vec<Effect>, Error> {
        let bytes = self.final_or_not(code, false)?;
        self.finish_invite(code);
        self.view.ended = true;
        Ok(vec![Effect::Repeat(bytes, self.peer, Key::Final)])
    }

    /// CANCEL, at once or after the first provisional response (§9.1).
    pub(super) fn cancel(&mut self) -> Result<Vec<Effect>, Error> {
        if self.invite.is_some() || self.view.code.is_some() {
            return Err(Error::WrongState("only an unanswered caller can cancel"));
        }
        self.cancel_wanted = true;
        if self.view.provisional.is_empty() {
            return Ok(Vec::new());
        }
        self.view.cancelled = true;
        self.open.insert(Key::Cancel);
        let branch = self.invite_branch();
        // §9.1: the same Request-URI, Call-ID, To, From, CSeq number and branch as the INVITE.
        let bytes = self.request("CANCEL", FIRST_CSEQ, &branch, &[], None);
        Ok(vec![Effect::Repeat(bytes, self.peer, Key::Cancel)])
    }

    /// BYE.
    pub(super) fn bye(&mut self) -> Result<Vec<Effect>, Error> {
        // §15: the callee must not send BYE before the ACK.
        if self.view.code != Some(200) || !self.view.acknowledged || self.view.ended {
            return Err(Error::WrongState("only an answered call can be hung up"));
        }
        self.cseq += 1;
        self.open.insert(Key::Bye);
        let branch = self.new_branch();
        let bytes = self.request("BYE", self.cseq, &branch, &[], None);
        Ok(vec![Effect::Repeat(bytes, self.target_address(), Key::Bye)])
    }

    /// A message of this dialog.
    pub(super) fn receive(&mut self, message: &Message, from: SocketAddr) -> Vec<Effect> {
        if self.invite.is_some() && self.answering == Answering::Silent {
            return Vec::new();
        }
        match &message.start {
            Start::Request { method, .. } => self.receive_request(method, message, from),
            Start::Response { code, .. } => self.receive_response(*code, message),
        }
    }

    fn receive_request(&mut self, method: &str, m: &Message, from: SocketAddr) -> Vec<Effect> {
        let reply = |code, tag: &str| Effect::Send(m.answer(code, tag, &[], None), from);
        match method {
            "ACK" => {
                self.open.remove(&Key::Final);
                self.view.acknowledged = true;
                Vec::new()
            }
            "BYE" => {
                self.view.byes_received += 1;
                self.view.ended = true;
                self.open.remove(&Key::Final);
                vec![reply(200, &self.tag)]
            }
            "CANCEL" => {
                let mut effects = vec![reply(200, &self.tag)];
                self.view.cancelled = true;
                if self.view.code.is_none() {
                    let last = match self.answering {
                        Answering::AnswerOnCancel => self.accept(),
                        _ => self.reject(487),
                    };
                    effects.extend(last.unwrap_or_default());
                }
                effects
            }
            // §17.2.1: a retransmitted INVITE gets the last response again.
            "INVITE" if self.is_retransmission(m) => {
                let again = self.last_answer.clone();
                again.map(|b| Effect::Send(b, from)).into_iter().collect()
            }
            // §14.2: a re-INVITE is answered with what we have.
            "INVITE" => {
                let fields = [("Contact", self.contact())];
                let bytes = m.answer(200, &self.tag, &fields, Some(&self.sdp));
                let mut effects = vec![Effect::Send(bytes, from)];
                effects.extend(Description::read(&m.body).map(Effect::Remote));
                effects
            }
            "OPTIONS" => vec![reply(200, &self.tag)],
            _ => vec![reply(405, &self.tag)],
        }
    }

    fn receive_response(&mut self, code: u16, m: &Message) -> Vec<Effect> {
        match m.cseq().map(|(_, method)| method) {
            Some("INVITE") if self.invite.is_none() => self.receive_invite_response(code, m),
            Some(method @ ("BYE" | "CANCEL")) if code >= 200 => {
                let bye = method == "BYE";
                if self.open.remove(if bye { &Key::Bye } else { &Key::Cancel }) {
                    self.view.responses.push(code);
                }
                self.view.ended |= bye;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn receive_invite_response(&mut self, code: u16, m: &Message) -> Vec<Effect> {
        self.open.remove(&Key::Invite);
        let mut effects: Vec<Effect> = Vec::new();
        let to = m.field("To").unwrap_or_default().to_owned();
        match code {
            100..=199 => {
                self.view.provisional.push(code);
                effects.extend(Description::read(&m.body).map(Effect::Remote));
                if self.cancel_wanted && !self.view.cancelled {
                    effects.extend(self.cancel().unwrap_or_default());
                }
            }
            200..=299 => {
                let first = self.view.code.is_none();
                self.them = to;
                self.learn_target(m);
                self.view.code.get_or_insert(code);
                self.view.acknowledged = true;
                // §13.2.2.4: every retransmission of the 2xx gets an ACK, a transaction of its own.
                let branch = self.new_branch();
                let ack = self.request("ACK", FIRST_CSEQ, &branch, &[], None);
                effects.push(Effect::Send(ack, self.target_address()));
                if first {
                    effects.extend(Description::read(&m.body).map(Effect::Remote));
                }
                // §9.1, §15: who cancelled too late has a call and must end it.
                if first && self.cancel_wanted {
                    effects.extend(self.bye().unwrap_or_default());
                }
            }
            _ => {
                self.view.code.get_or_insert(code);
                self.view.acknowledged = true;
                self.view.ended = true;
                self.them = to;
                // §17.1.1.3: the ACK of a refusal has the INVITE's branch.
                let branch = self.invite_branch();
                let ack = self.request("ACK", FIRST_CSEQ, &branch, &[], None);
                effects.push(Effect::Send(ack, self.peer));
            }
        }
        effects
    }

    /// Prints a response to the INVITE that we got.
    fn final_or_not(&mut self, code: u16, with_sdp: bool) -> Result<Vec<u8>, Error> {
        let contact = [("Contact", self.contact())];
        let invite = match &self.invite {
            Some(invite) if self.view.code.is_none() => invite,
            _ => return Err(Error::WrongState("only a ringing callee can answer")),
        };
        let sdp = with_sdp.then_some(self.sdp.as_str());
        let more: &[(&str, String)] = if code < 300 { &contact } else { &[] };
        let bytes = invite.answer(code, &self.tag, more, sdp);
        self.last_answer = Some(bytes.clone());
        Ok(bytes)
    }

    fn finish_invite(&mut self, code: u16) {
        self.view.code = Some(code);
        self.open.insert(Key::Final);
    }

    fn is_retransmission(&self, m: &Message) -> bool {
        self.invite
            .as_ref()
            .is_some_and(|i| i.branch() == m.branch() && i.cseq() == m.cseq())
    }

    fn learn_target(&mut self, m: &Message) {
        if let Some(contact) = m.field("Contact") {
            self.target = uri(contact).to_owned();
        }
    }

    /// Where requests inside the dialog go: the remote target's address (§12.2.1.1), or the
    /// other end when the target names none.
    fn target_address(&self) -> SocketAddr {
        let host = self.target.split_once(':').map_or("", |(_, rest)| rest);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let host = host.split(';').next().unwrap_or(host);
        host.parse()
            .or_else(|_| host.parse().map(|ip| SocketAddr::new(ip, 5060)))
            .unwrap_or(self.peer)
    }

    fn request(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        more: &[(&str, String)],
        sdp: Option<&str>,
    ) -> Vec<u8> {
        let mut fields = vec![
            (
                "Via",
                format!("SIP/2.0/UDP {};rport;branch={branch}", self.local),
            ),
            ("Max-Forwards", "70".to_owned()),
            ("From", self.us.clone()),
            ("To", self.them.clone()),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{cseq} {method}")),
        ];
        fields.extend(more.iter().cloned());
        print(&format!("{method} {} SIP/2.0", self.target), &fields, sdp)
    }

    fn contact(&self) -> String {
        format!("<sip:{}>", self.local)
    }

    fn invite_branch(&self) -> String {
        format!("z9hG4bK{}i", self.tag)
    }

    fn new_branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK{}n{}", self.tag, self.branches)
    }
}
