//! Tombstones: what a finished transaction still answers, and how little it keeps for that.

use super::*;
use crate::sip::Transport;
use crate::switch::mask::{self, Asked};
use crate::switch::timers::SPAN_US;

/// What a tombstone may occupy, with its places in the tables that find it.
const TOMBSTONE: usize = 512;
/// Its number and its row's key, its key and its branch or request index, its timer.
const INDEXES: usize =
    2 * size_of::<(u128, TxId)>() + size_of::<TxId>() + size_of::<(u64, Owner, Timer)>();

struct Layer {
    transactions: Transactions,
    mint: Mint,
    timers: TimerQueue,
    out: Vec<Output>,
    flow: Flow,
}

impl Layer {
    fn new() -> Layer {
        Layer {
            transactions: Transactions::default(),
            mint: Mint::new([5; 32], 0, 1),
            timers: TimerQueue::default(),
            out: Vec::new(),
            flow: Flow {
                transport: Transport::Udp,
                local: ([192, 0, 2, 1], 5060).into(),
                remote: ([198, 51, 100, 1], 5060).into(),
                connection: 0,
                peer_name: None,
            },
        }
    }

    fn with<T>(
        &mut self,
        mono_us: u64,
        act: impl FnOnce(&mut Transactions, &Mint, &Flow, &mut Effects<'_>) -> T,
    ) -> T {
        let now = Now {
            mono_us,
            wall_ms: 0,
        };
        let (timers, out) = (&mut self.timers, &mut self.out);
        let mut fx = Effects { now, timers, out };
        act(&mut self.transactions, &self.mint, &self.flow, &mut fx)
    }

    fn arrive(&mut self, mono_us: u64, text: &str) -> Arrival {
        self.with(mono_us, |transactions, mint, flow, fx| {
            let message = Message::scan(text.as_bytes()).unwrap();
            let e = message.essentials().unwrap();
            transactions.receive_request(&message, &e, flow, 0, mint, fx)
        })
    }

    fn answer(&mut self, text: &str) -> Answer {
        self.with(0, |transactions, mint, _, fx| {
            let message = Message::scan(text.as_bytes()).unwrap();
            let e = message.essentials().unwrap();
            transactions.receive_response(&message, &e, 0, mint, fx)
        })
    }

    fn sent(&mut self) -> Vec<String> {
        let text = |output| match output {
            Output::Send { bytes, .. } => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        };
        self.out.drain(..).map(text).collect()
    }
}

fn bye(to_tag: &str) -> String {
    format!(
        "BYE sip:opaque@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKbye;rport\r\n\
         Via: SIP/2.0/UDP 203.0.113.77:5060;branch=z9hG4bK{}\r\n\
         From: <sip:+919876543210@carrier.example;user=phone>;tag={}\r\n\
         To: <sip:+914412345678@carrier.example;user=phone>{to_tag}\r\n\
         Call-ID: {}@carrier.example\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n",
        "v".repeat(200),
        "f".repeat(100),
        "c".repeat(200),
    )
}

#[test]
fn completed_17_2_2_a_repeated_request_gets_the_same_bytes_from_a_small_tombstone() {
    for to_tag in ["", ";tag=ours"] {
        let mut layer = Layer::new();
        let text = bye(to_tag);
        let Arrival::New(id) = layer.arrive(0, &text) else {
            panic!("it is new")
        };
        let source = layer.flow.remote;
        layer.with(0, |transactions, _, _, fx| {
            let message = Message::scan(text.as_bytes()).unwrap();
            let asked = Asked {
                message: &message,
                source,
                tag: "drawn",
            };
            transactions.respond(id, 481, mask::answer(&asked, 481, &[]), fx);
        });
        let first = layer.sent();
        assert_eq!(layer.arrive(SPAN_US - 1, &text), Arrival::Repeat);
        assert_eq!(layer.sent(), first);
        let footprint = layer.transactions.servers[&id].footprint() + INDEXES;
        assert!(footprint <= TOMBSTONE, "{footprint} bytes");
        // Timer J: 64·T1 after the answer the tombstone is gone.
        layer.with(SPAN_US, |transactions, _, _, fx| {
            let (owner, timer) = fx.timers.pop_due(SPAN_US).unwrap();
            assert_eq!((owner, timer), (Owner::Transaction(id), Timer::J));
            transactions.fire(id, timer, fx);
        });
        assert!(layer.transactions.is_empty() && layer.timers.is_empty());
        assert!(layer.transactions.by_key.is_empty());
        assert!(layer.transactions.by_request.is_empty());
    }
}

const INVITE: &str = "INVITE sip:+919876543211@carrier.example;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKinvite;rport\r\n\
    From: <sip:+914412345678@192.0.2.1;user=phone>;tag=ours\r\n\
    To: <sip:+919876543211@carrier.example;user=phone>\r\n\
    Call-ID: ours\r\nCSeq: 7 INVITE\r\nMax-Forwards: 69\r\nContent-Length: 0\r\n\r\n";

fn reply(status: &str) -> String {
    format!(
        "SIP/2.0 {status}\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKinvite;rport=5060;received=192.0.2.1\r\n\
         From: <sip:+914412345678@192.0.2.1;user=phone>;tag=ours\r\n\
         To: <sip:+919876543211@carrier.example;user=phone>;tag={}\r\n\
         Call-ID: ours\r\nCSeq: 7 INVITE\r\nContact: <sip:b@198.51.100.1>\r\n\
         Content-Length: 0\r\n\r\n",
        "t".repeat(200)
    )
}

fn invited(layer: &mut Layer) -> TxId {
    let owner = LegRef { call: 1, leg: 1 };
    let id = layer.with(0, |transactions, mint, flow, fx| {
        let bytes = INVITE.as_bytes().to_vec();
        let (method, flow) = (Method::Invite, flow.clone());
        transactions.request(method, "z9hG4bKinvite", bytes, flow, 0, owner, mint, fx)
    });
    layer.sent();
    id
}

#[test]
fn completed_17_1_1_3_every_repeated_refusal_gets_the_same_ack_from_a_small_tombstone() {
    let mut layer = Layer::new();
    let id = invited(&mut layer);
    assert!(matches!(
        layer.answer(&reply("486 Busy Here")),
        Answer::ForUser(..)
    ));
    let first = layer.sent();
    assert!(first[0].starts_with("ACK sip:+919876543211@carrier.example;user=phone SIP/2.0\r\n"));
    assert!(
        first[0].contains("branch=z9hG4bKinvite;rport\r\n"),
        "{}",
        first[0]
    );
    assert!(first[0].contains("CSeq: 7 ACK\r\n") && first[0].contains(&"t".repeat(200)));
    assert_eq!(layer.answer(&reply("486 Busy Here")), Answer::Absorbed);
    assert_eq!(layer.sent(), first);
    let footprint = layer.transactions.clients[&id].footprint() + INDEXES;
    assert!(footprint <= TOMBSTONE, "{footprint} bytes");
}

#[test]
fn accepted_rfc_6026_every_repeated_2xx_gets_its_ack_from_a_small_tombstone() {
    let mut layer = Layer::new();
    let id = invited(&mut layer);
    let ok = reply("200 OK");
    assert!(matches!(layer.answer(&ok), Answer::ForUser(..)));
    let via = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKack;rport";
    layer.with(0, |transactions, mint, flow, _| {
        let tag = "t".repeat(200);
        transactions.keep_ack(id, tag.as_bytes(), flow.clone(), via.to_owned(), mint);
    });
    assert_eq!(layer.answer(&ok), Answer::Absorbed);
    let again = layer.sent();
    assert!(
        again[0].starts_with("ACK sip:b@198.51.100.1 SIP/2.0\r\n"),
        "{}",
        again[0]
    );
    assert!(again[0].contains(via) && again[0].contains("CSeq: 7 ACK\r\n"));
    // §13.2.2.4: another tag is another phone that answered.
    let other = ok.replace(&"t".repeat(200), "another");
    assert!(matches!(layer.answer(&other), Answer::Surplus(..)));
    let footprint = layer.transactions.clients[&id].footprint() + INDEXES;
    assert!(footprint <= TOMBSTONE, "{footprint} bytes");
}
