//! Printing: every message to a party, from typed fields that hold nothing of the other party
//! (DESIGN: masking; RFC 3261 §8.1.1, §8.2.6, §12, §20; RFC 3325 §9.1; RFC 3326 §2).
//!
//! Nothing here takes a message of the other leg. What a request or a response repeats from its
//! own peer (its Via, From, To, Call-ID, CSeq, Record-Route, Contact) goes back to that same
//! peer only.

use std::net::SocketAddr;

use crate::sip::{Builder, Built, Essentials, Header, Message, Method};
use crate::switch::dialog::Dialog;
use crate::switch::settings::Listener;

/// The methods we answer with something else than 405.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS";
/// The only body we read.
pub(super) const ACCEPT: &str = "application/sdp";
/// What we can do, for an answer to OPTIONS (RFC 3261 §11.2). No extension is supported yet,
/// which an empty Supported says.
pub(super) const CAPABILITIES: [(Header, &str); 3] = [
    (Header::Allow, ALLOW),
    (Header::Accept, ACCEPT),
    (Header::Supported, ""),
];
const SDP: &str = "application/sdp";

/// The Via of a request of ours; `rport` asks for the port replies really come to (RFC 3581).
pub(super) fn via(listener: &Listener, branch: &str) -> String {
    let transport = listener.transport.via_token();
    format!(
        "SIP/2.0/{transport} {};branch={branch};rport",
        listener.advertised
    )
}

/// Our Contact on a leg: an opaque user, never a number.
pub(super) fn contact(listener: &Listener, opaque: &str) -> String {
    match listener.transport {
        crate::sip::Transport::Udp => format!("<sip:{opaque}@{}>", listener.advertised),
        other => format!("<sip:{opaque}@{};transport={other}>", listener.advertised),
    }
}

/// What an INVITE to a party says.
pub(super) struct Invitation<'a> {
    /// The dialog to be; its From is the ExoPhone.
    pub dialog: &'a Dialog,
    /// Our Via.
    pub via: &'a str,
    /// Our Contact.
    pub contact: &'a str,
    /// Our P-Asserted-Identity: the ExoPhone.
    pub asserted: &'a str,
    /// One less than the caller's Max-Forwards.
    pub max_forwards: u8,
    /// Our offer.
    pub sdp: &'a [u8],
}

/// An INVITE to a party. All of it is ours, so all of it is read by the guard.
pub(super) fn invite(invitation: &Invitation<'_>) -> Built {
    let dialog = invitation.dialog;
    let mut builder = dialog.request(Method::Invite, dialog.local_cseq, invitation.via);
    builder.header(Header::MaxForwards, invitation.max_forwards);
    builder.header(Header::Contact, invitation.contact);
    builder.header(Header::PAssertedIdentity, invitation.asserted);
    builder.header(Header::Allow, ALLOW);
    let mut built = builder.body(SDP, invitation.sdp);
    built.own_from = 0;
    built
}

/// The ACK of a 2xx (RFC 3261 §13.2.2.4).
pub(super) fn ack(dialog: &Dialog, cseq: u32, via: &str) -> Built {
    let mut builder = dialog.request(Method::Ack, cseq, via);
    builder.header(Header::MaxForwards, 70);
    builder.empty()
}

/// A BYE with our Q.850 cause.
pub(super) fn bye(dialog: &Dialog, via: &str, q850: u8) -> Built {
    let mut builder = dialog.request(Method::Bye, dialog.local_cseq, via);
    builder.header(Header::MaxForwards, 70);
    builder.header(Header::Reason, format_args!("Q.850;cause={q850}"));
    builder.empty()
}

/// A request received, with what answers to it need.
pub(super) struct Asked<'a> {
    /// The request.
    pub message: &'a Message<'a>,
    /// Where it came from.
    pub source: SocketAddr,
    /// Our tag, for all but 100 Trying.
    pub tag: &'a str,
}

/// 100 Trying: without a tag of ours (RFC 3261 §8.2.6.2).
pub(super) fn trying(message: &Message<'_>, source: SocketAddr) -> Built {
    Builder::response(100, message, source, None).empty()
}

/// A provisional or successful answer to an INVITE, with Contact and perhaps SDP.
pub(super) fn accept(asked: &Asked<'_>, status: u16, contact: &str, sdp: Option<&[u8]>) -> Built {
    let mut builder = Builder::response(status, asked.message, asked.source, Some(asked.tag));
    builder.echo_record_route(asked.message);
    builder.header(Header::Contact, contact);
    if status >= 200 {
        builder.header(Header::Allow, ALLOW);
    }
    match sdp {
        Some(sdp) => builder.body(SDP, sdp),
        None => builder.empty(),
    }
}

/// A final refusal of an INVITE, with our Q.850 cause.
pub(super) fn reject(
    asked: &Asked<'_>,
    status: u16,
    q850: Option<u8>,
    retry_after: Option<u32>,
) -> Built {
    let mut builder = Builder::response(status, asked.message, asked.source, Some(asked.tag));
    if let Some(secs) = retry_after {
        builder.header(Header::RetryAfter, secs);
    }
    if let Some(cause) = q850 {
        builder.header(Header::Reason, format_args!("Q.850;cause={cause}"));
    }
    builder.empty()
}

/// A final answer to any other request, with the headers its status requires.
pub(super) fn answer(asked: &Asked<'_>, status: u16, extra: &[(Header, &str)]) -> Built {
    let mut builder = Builder::response(status, asked.message, asked.source, Some(asked.tag));
    for (header, value) in extra {
        builder.header(*header, value);
    }
    builder.empty()
}

/// ACK and BYE for a 2xx that nobody waits for (RFC 3261 §13.2.2.4), made from the response
/// alone. `None` when it does not have our own tag.
pub(super) fn refuse_answer(
    message: &Message<'_>,
    e: &Essentials<'_>,
    ack_via: &str,
    bye_via: &str,
) -> Option<(Dialog, Built, Built)> {
    let mut dialog = Dialog::of_response(message, e)?;
    let ack = ack(&dialog, e.cseq.number, ack_via);
    dialog.local_cseq += 1;
    let bye = bye(&dialog, bye_via, 16);
    Some((dialog, ack, bye))
}
