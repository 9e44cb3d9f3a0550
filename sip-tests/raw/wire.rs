//! A server with one trunk's two sides as bare sockets, and the messages a test puts on them.
//! Nothing is repeated, answered or matched by itself: the test decides about every datagram.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use callmask::phone::message::{Message, print, uri};
use callmask::phone::sdp::{Codec, Description};
use callmask::phone::server::{self, Home, Server};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::watch::Watch;

/// How long anything may take that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Port pairs of a server.
const PAIRS: u16 = 32;
/// Largest datagram.
const LARGEST: usize = 65_535;
/// The address of a second trunk, whose people know everything.
pub(crate) const OTHER_TRUNK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// An address of no trunk.
pub(crate) const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// The caller of allocation 0; the others follow.
const CUSTOMER: u64 = 919_876_543_210;
const AGENT: u64 = 919_811_112_200;
const EXOPHONE: u64 = 914_412_345_600;

/// A running server and the two ends of its trunk.
pub(crate) struct Scene {
    /// Where calls come from.
    pub(crate) caller: Wire,
    /// Where calls go.
    pub(crate) callee: Wire,
    /// The server's SIP address.
    pub(crate) sip: SocketAddr,
    /// The server from outside.
    pub(crate) watch: Watch,
    server: Server,
    home: Home,
}

/// One socket.
pub(crate) struct Wire(UdpSocket);

/// A message with the time it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) message: Message,
}

/// What a caller's messages of one call are made of.
#[derive(Debug, Clone)]
pub(crate) struct Dialling {
    here: SocketAddr,
    server: SocketAddr,
    number: String,
    exophone: String,
    rtp: SocketAddr,
    /// Makes Call-ID, tag and branches.
    pub(crate) name: String,
}

impl Scene {
    /// A server with `allocations` ExoPhones, each with a customer and an agent.
    pub(crate) async fn new(allocations: u64) -> Scene {
        let callee = Wire::bind(Ipv4Addr::LOCALHOST.into()).await;
        let mut config = server::config(callee.address(), PAIRS).unwrap();
        let other: toml::Table = format!(
            "name = \"other\"\ntargets = [\"udp:{OTHER_TRUNK}:9\"]\naccept_from = [\"{OTHER_TRUNK}\"]"
        )
        .parse()
        .unwrap();
        let trunks = config.get_mut("trunk").and_then(|t| t.as_array_mut());
        trunks.unwrap().push(other.into());
        let home = Home::new(Path::new(env!("CARGO_BIN_EXE_callmask")), &config).unwrap();
        let server = home.serve().await.unwrap();
        for n in 0..allocations {
            let (exophone, customer, agent) = (number(EXOPHONE, n), number(CUSTOMER, n), agent(n));
            home.ask(&["exophone", "add", &exophone]).await.unwrap();
            let create = [
                "allocation",
                "create",
                "--exophone",
                &exophone,
                "--customer",
            ];
            let create = create
                .iter()
                .copied()
                .chain([&*customer, "--agent", &*agent]);
            home.ask(&create.collect::<Vec<&str>>()).await.unwrap();
        }
        Scene {
            caller: Wire::bind(Ipv4Addr::LOCALHOST.into()).await,
            callee,
            sip: server.sip(),
            watch: Watch::of(&server).unwrap(),
            server,
            home,
        }
    }

    /// The customer of allocation `n` dials its ExoPhone; audio is wanted at `rtp`.
    pub(crate) fn dial(&self, n: u64, name: &str, rtp: SocketAddr) -> Dialling {
        Dialling {
            here: self.caller.address(),
            server: self.sip,
            number: number(CUSTOMER, n),
            exophone: number(EXOPHONE, n),
            rtp,
            name: name.to_owned(),
        }
    }

    /// A call of allocation 0 that is up: the caller's INVITE, the server's answer to it, and the
    /// INVITE that the callee answered with the tag `b`.
    pub(crate) async fn up(&self, name: &str) -> (Dialling, Message, Message) {
        let call = self.dial(0, name, nowhere());
        self.caller.send(self.sip, &call.invite()).await;
        let invite = self.callee.hears("INVITE").await.message;
        self.callee
            .send(self.sip, &answer(&invite, 200, "b", nowhere()))
            .await;
        let answered = self.caller.hears("200 INVITE").await.message;
        self.callee.hears("ACK").await;
        let ack = call.within("ACK", 1, "ack", &answered);
        self.caller.send(self.sip, &ack).await;
        (call, answered, invite)
    }

    /// Waits until nothing of any call is left, and checks that there are so many records.
    pub(crate) async fn ends(mut self, records: usize) {
        let gone = |m: &crate::watch::Metrics| m.left().is_none();
        let patience = 4 * PATIENCE;
        self.watch
            .until(patience, "nothing to be left", gone)
            .await
            .unwrap();
        let list = self.home.ask_json(&["call", "list"]).await.unwrap();
        assert_eq!(list.as_array().map(Vec::len), Some(records));
        assert!(self.server.is_alive());
        let log = self.server.lines().join("\n");
        assert!(!log.contains("panicked at"), "{log}");
    }
}

impl Wire {
    /// A socket on a port the kernel chooses.
    pub(crate) async fn bind(ip: IpAddr) -> Wire {
        Wire(UdpSocket::bind((ip, 0)).await.unwrap())
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Sends one datagram.
    pub(crate) async fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.0.send_to(bytes, to).await.unwrap();
    }

    /// The next datagram as it is, if one comes in time.
    pub(crate) async fn datagram(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; LARGEST];
        let received = timeout(patience, self.0.recv_from(&mut buffer))
            .await
            .ok()?;
        buffer.truncate(received.unwrap().0);
        Some(buffer)
    }

    /// The next message that is `what` (a method, or `200 INVITE`); what comes before is passed
    /// over.
    pub(crate) async fn hears(&self, what: &str) -> Heard {
        let give_up = Instant::now() + PATIENCE;
        let mut passed = Vec::new();
        while let Some(heard) = self.next(give_up).await {
            if is(&heard.message, what) {
                return heard;
            }
            passed.push(name(&heard.message));
        }
        panic!("no {what} came; there was {passed:?}");
    }

    /// Everything that comes until then.
    pub(crate) async fn all_until(&self, end: Instant) -> Vec<Heard> {
        let mut all = Vec::new();
        while let Some(heard) = self.next(end).await {
            all.push(heard);
        }
        all
    }

    /// Asserts that nothing comes for so long.
    pub(crate) async fn hears_nothing(&self, time: Duration) {
        if let Some(heard) = self.next(Instant::now() + time).await {
            panic!("{} came", name(&heard.message));
        }
    }

    async fn next(&self, until: Instant) -> Option<Heard> {
        let left = until.saturating_duration_since(Instant::now());
        let bytes = self.datagram(left).await?;
        Some(Heard {
            at: Instant::now(),
            message: Message::read(&bytes).expect("the server speaks SIP"),
        })
    }
}

impl Dialling {
    fn fields(
        &self,
        method: &str,
        branch: &str,
        cseq: u32,
        to: &str,
    ) -> Vec<(&'static str, String)> {
        let (name, here) = (&self.name, self.here);
        vec![
            (
                "Via",
                format!("SIP/2.0/UDP {here};rport;branch=z9hG4bK{name}{branch}"),
            ),
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<sip:{}@{here}>;tag={name}", self.number)),
            ("To", to.to_owned()),
            ("Call-ID", format!("{name}@raw")),
            ("CSeq", format!("{cseq} {method}")),
        ]
    }

    fn to(&self) -> String {
        format!("<sip:{}@{}>", self.exophone, self.server)
    }

    /// The INVITE; each time the same bytes.
    pub(crate) fn invite(&self) -> Vec<u8> {
        let mut fields = self.fields("INVITE", "", 1, &self.to());
        fields.push(("Contact", format!("<sip:{}>", self.here)));
        fields.push((
            "P-Asserted-Identity",
            format!("<sip:{}@{}>", self.number, self.here),
        ));
        let first = format!("INVITE sip:{}@{} SIP/2.0", self.exophone, self.server);
        print(&first, &fields, Some(&offer(self.rtp)))
    }

    /// CANCEL, or the ACK of a refusal: in the INVITE's own transaction. `via` replaces ours.
    pub(crate) fn sibling(
        &self,
        method: &str,
        refusal: Option<&Message>,
        via: Option<String>,
    ) -> Vec<u8> {
        let to = refusal.and_then(|m| m.field("To")).map(str::to_owned);
        let mut fields = self.fields(method, "", 1, &to.unwrap_or_else(|| self.to()));
        if let (Some(via), Some(field)) = (via, fields.first_mut()) {
            field.1 = via;
        }
        let first = format!("{method} sip:{}@{} SIP/2.0", self.exophone, self.server);
        print(&first, &fields, None)
    }

    /// A request in the dialog that `answered` made.
    pub(crate) fn within(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        answered: &Message,
    ) -> Vec<u8> {
        let to = answered.field("To").unwrap_or_default();
        let mut fields = self.fields(method, branch, cseq, to);
        fields.push(("Contact", format!("<sip:{}>", self.here)));
        let target = uri(answered.field("Contact").unwrap_or_default());
        let sdp = (method == "INVITE").then(|| offer(self.rtp));
        print(
            &format!("{method} {target} SIP/2.0"),
            &fields,
            sdp.as_deref(),
        )
    }
}

/// A response of the callee at `here`, its RTP address too, to an INVITE.
pub(crate) fn answer(invite: &Message, code: u16, tag: &str, rtp: SocketAddr) -> Vec<u8> {
    let target = match &invite.start {
        callmask::phone::message::Start::Request { uri, .. } => uri.clone(),
        callmask::phone::message::Start::Response { .. } => String::new(),
    };
    // Where the INVITE was sent is where the callee is.
    let contact = [("Contact", format!("<{target}>"))];
    let more: &[(&str, String)] = if (101..300).contains(&code) {
        &contact
    } else {
        &[]
    };
    invite.answer(
        code,
        tag,
        more,
        (code == 200).then(|| offer(rtp)).as_deref(),
    )
}

/// A request of the callee, which answered `invite` with `tag`.
pub(crate) fn back(
    method: &str,
    cseq: u32,
    invite: &Message,
    tag: &str,
    here: SocketAddr,
) -> Vec<u8> {
    let field = |name: &str| invite.field(name).unwrap_or_default().to_owned();
    let fields = [
        (
            "Via",
            format!(
                "SIP/2.0/UDP {here};rport;branch=z9hG4bKback{cseq}{}",
                field("Call-ID")
            ),
        ),
        ("Max-Forwards", "70".to_owned()),
        ("From", format!("{};tag={tag}", field("To"))),
        ("To", field("From")),
        ("Call-ID", field("Call-ID")),
        ("CSeq", format!("{cseq} {method}")),
    ];
    let target = uri(invite.field("Contact").unwrap_or_default()).to_owned();
    print(&format!("{method} {target} SIP/2.0"), &fields, None)
}

/// An RTP address where nobody listens: the discard port.
pub(crate) fn nowhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 9))
}

/// The number of the agent of allocation `n`.
pub(crate) fn agent(n: u64) -> String {
    number(AGENT, n)
}

fn number(base: u64, n: u64) -> String {
    format!("+{}", base + n)
}

fn offer(rtp: SocketAddr) -> String {
    let codecs = vec![
        Codec::new(8, "PCMA/8000"),
        Codec::new(101, "telephone-event/8000"),
    ];
    Description { rtp, codecs }.print(1)
}

/// Whether a message is a request of this method, or a response written as `200 INVITE`.
pub(crate) fn is(message: &Message, what: &str) -> bool {
    name(message) == what
}

fn name(message: &Message) -> String {
    match (message.method(), message.code(), message.cseq()) {
        (Some(method), ..) => method.to_owned(),
        (None, Some(code), Some((_, method))) => format!("{code} {method}"),
        _ => "something else".to_owned(),
    }
}
