//! What nobody should send: garbage, responses to nothing, and requests of people who know a
//! dialog's ids but sit behind another trunk.

use std::net::SocketAddr;

use super::rng::Rng;
use super::scene::switch_socket;
use super::ua::{Packet, Part, Ua};
use crate::phone::message::{Message, print};

/// Bytes that look like SIP for a while.
pub(super) fn garbage(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let whole: &[&str] = &[
        "",
        "\r\n\r\n",
        "\0\0\0\0",
        "INVITE",
        "SIP/2.0 200 OK\r\n\r\n",
        "INVITE sip:+914490900000@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.50.50;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\n\r\n",
        "INVITE sip:+914490900000@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.50.50;branch=z9hG4bKy\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:b@c>\r\nCall-ID: g\r\nCSeq: 99999999999 INVITE\r\nContent-Length: 0\r\n\r\n",
        "BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.50.50;branch=z9hG4bKz\r\nFrom: \"<sip:a@b>;tag=1\r\nTo: <sip:b@c>;tag=2\r\n\
         Call-ID: g\r\nCSeq: 2 BYE\r\n\r\n",
    ];
    let mut bytes = rng.pick(whole).as_bytes().to_vec();
    for _ in 0..rng.below(6) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(3) {
            0 => bytes[at] = rng.next() as u8,
            1 => bytes.truncate(at),
            _ => bytes.insert(at, rng.next() as u8),
        }
    }
    bytes
}

/// A request outside any dialog.
pub(super) fn out_of_dialog(method: &str, now_us: u64) -> Packet {
    let from = SocketAddr::from(([10, 1, 50, 51], 5060));
    let fields = [
        (
            "Via",
            format!("SIP/2.0/UDP {from};branch=z9hG4bKprobe{now_us}"),
        ),
        ("Max-Forwards", "70".to_owned()),
        ("From", format!("<sip:probe@{from}>;tag=p{now_us}")),
        ("To", "<sip:10.0.0.1>".to_owned()),
        ("Call-ID", format!("probe-{now_us}")),
        ("CSeq", format!("1 {method}")),
    ];
    let bytes = print(&format!("{method} sip:10.0.0.1 SIP/2.0"), &fields, None);
    Packet {
        from,
        to: switch_socket(),
        bytes,
    }
}

/// A response to nothing.
pub(super) fn stray(now_us: u64) -> Packet {
    let from = SocketAddr::from(([10, 1, 50, 52], 5060));
    let fields = [
        (
            "Via",
            format!("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKnone{now_us}"),
        ),
        ("From", "<sip:a@10.0.0.1>;tag=none".to_owned()),
        ("To", "<sip:b@10.1.0.1>;tag=none".to_owned()),
        ("Call-ID", format!("none-{now_us}")),
        ("CSeq", "1 INVITE".to_owned()),
    ];
    Packet {
        from,
        to: switch_socket(),
        bytes: print("SIP/2.0 200 OK", &fields, None),
    }
}

/// Where somebody sits in carrier network `net` who is no phone.
pub(super) fn intruder(net: u8) -> SocketAddr {
    SocketAddr::from(([10, net, 66, 66], 5060))
}

/// Whether this is such an address.
pub(super) fn is_intruder(address: SocketAddr) -> bool {
    address == intruder(1) || address == intruder(2)
}

/// What somebody at `from` says who has seen everything of this phone's call.
pub(super) fn forge(ua: &Ua, what: &str, from: SocketAddr) -> Packet {
    let invite = ua
        .invite
        .as_ref()
        .expect("only a phone with a call is imitated");
    let field = |name: &str| invite.field(name).unwrap_or_default().to_owned();
    let cseq = invite.cseq().map(|c| c.0).unwrap_or_default();
    let dialog = &ua.dialogs[0];
    let calling = matches!(ua.part, Part::Caller(_));
    let bytes = match what {
        "200" if !calling => {
            let fields = [
                ("Via", field("Via")),
                ("From", field("From")),
                ("To", format!("{};tag={}", field("To"), dialog.local_tag)),
                ("Call-ID", field("Call-ID")),
                ("CSeq", field("CSeq")),
                ("Contact", format!("<sip:{from}>")),
            ];
            print("SIP/2.0 200 OK", &fields, None)
        }
        "CANCEL" if calling => {
            let fields = [
                ("Via", field("Via")),
                ("Max-Forwards", "70".to_owned()),
                ("From", field("From")),
                ("To", field("To")),
                ("Call-ID", field("Call-ID")),
                ("CSeq", format!("{cseq} {what}")),
                ("Contact", format!("<sip:{from}>")),
            ];
            print(
                &format!("{what} {} SIP/2.0", request_uri(invite)),
                &fields,
                None,
            )
        }
        _ => {
            let method = if what == "ACK" { "ACK" } else { "BYE" };
            let number = if method == "ACK" {
                cseq
            } else {
                dialog.cseq + 7
            };
            let tagged = |name: &str, tag: &str| format!("{name};tag={tag}");
            let remote = dialog.remote_tag.clone().unwrap_or_default();
            let fields = [
                (
                    "Via",
                    format!("SIP/2.0/UDP {from};branch=z9hG4bKforged{number}"),
                ),
                ("Max-Forwards", "70".to_owned()),
                ("From", tagged(&ua.us, &dialog.local_tag)),
                ("To", tagged(&ua.them, &remote)),
                ("Call-ID", ua.call_id.clone()),
                ("CSeq", format!("{number} {method}")),
            ];
            print(
                &format!("{method} {} SIP/2.0", dialog.target),
                &fields,
                None,
            )
        }
    };
    Packet {
        from,
        to: switch_socket(),
        bytes,
    }
}

fn request_uri(message: &Message) -> String {
    match &message.start {
        crate::phone::message::Start::Request { uri, .. } => uri.clone(),
        crate::phone::message::Start::Response { .. } => String::new(),
    }
}
