//! Dialogs: the state a leg shares with its party, and requests within it (RFC 3261 §12).

use serde::{Deserialize, Serialize};

use crate::sip::{Builder, Essentials, Header, Message, Method, NameAddr, Uri};

/// Most Record-Route entries of a route set; a peer that sends more is refused.
pub(super) const MAX_ROUTES: usize = 16;

/// One dialog, in its leg's view. Texts are kept as they are to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dialog {
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// Our tag.
    pub local_tag: String,
    /// The party's tag, once known.
    pub remote_tag: Option<Vec<u8>>,
    /// Our From (or To) without tag.
    pub local: Vec<u8>,
    /// The party's From (or To) without tag.
    pub remote: Vec<u8>,
    /// The CSeq number of our latest request.
    pub local_cseq: u32,
    /// The CSeq number of the party's latest request.
    pub remote_cseq: Option<u32>,
    /// The party's Contact: where requests are addressed.
    pub target: Vec<u8>,
    /// Routes to write, first one first.
    pub routes: Vec<Vec<u8>>,
}

/// How a request inside a dialog stands to the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Next, or with a gap, which is allowed.
    Fresh,
    /// Lower than one before: 500 (§12.2.2).
    Old,
}

impl Dialog {
    /// The dialog a UAS opens with its first tagged response (§12.1.1). `None` when the request
    /// has no usable Contact or too many routes.
    pub(super) fn uas(
        message: &Message<'_>,
        e: &Essentials<'_>,
        local_tag: String,
    ) -> Option<Dialog> {
        Some(Dialog {
            call_id: e.call_id.to_vec(),
            local_tag,
            remote_tag: Some(e.from.tag().unwrap_or_default().to_vec()),
            local: addr(&e.to),
            remote: addr(&e.from),
            local_cseq: 0,
            remote_cseq: Some(e.cseq.number),
            target: contact(message)?,
            routes: record_routes(message)?,
        })
    }

    /// The dialog a UAC is about to open.
    pub(super) fn uac(
        call_id: String,
        local_tag: String,
        local: String,
        remote: String,
        target: String,
        cseq: u32,
    ) -> Dialog {
        Dialog {
            call_id: call_id.into_bytes(),
            local_tag,
            remote_tag: None,
            local: local.into_bytes(),
            remote: remote.into_bytes(),
            local_cseq: cseq,
            remote_cseq: None,
            target: target.into_bytes(),
            routes: Vec::new(),
        }
    }

    /// The dialog that a 2xx opens, from the response alone (§13.2.2.4). `None` when it does not
    /// have our own tag.
    pub(super) fn of_response(message: &Message<'_>, e: &Essentials<'_>) -> Option<Dialog> {
        let mut dialog = Dialog {
            call_id: e.call_id.to_vec(),
            local_tag: String::from_utf8(e.from.tag()?.to_vec()).ok()?,
            remote_tag: None,
            local: addr(&e.from),
            remote: addr(&e.to),
            local_cseq: e.cseq.number,
            remote_cseq: None,
            target: e.to.uri.to_vec(),
            routes: Vec::new(),
        };
        // An answer that names no usable Contact must still be ended: by the address we dialled.
        if !dialog.establish(message, e) {
            dialog.remote_tag = Some(e.to.tag().unwrap_or_default().to_vec());
        }
        Some(dialog)
    }

    /// Takes tag, target and route set from a response (§12.1.2): the route set is the
    /// Record-Route in reverse. False when they cannot be used.
    pub(super) fn establish(&mut self, message: &Message<'_>, e: &Essentials<'_>) -> bool {
        let (Some(target), Some(mut routes)) = (contact(message), record_routes(message)) else {
            return false;
        };
        routes.reverse();
        self.remote_tag = Some(e.to.tag().unwrap_or_default().to_vec());
        self.target = target;
        self.routes = routes;
        true
    }

    /// Whether a request from the party belongs here: its From tag is the party's.
    pub(super) fn matches(&self, e: &Essentials<'_>) -> bool {
        let theirs = e.from.tag().unwrap_or_default();
        self.remote_tag
            .as_deref()
            .is_none_or(|known| known == theirs)
    }

    /// Notes the CSeq of a request from the party (§12.2.2). ACK and CANCEL are not counted.
    pub(super) fn order(&mut self, e: &Essentials<'_>) -> Order {
        match self.remote_cseq {
            Some(last) if e.cseq.number < last => Order::Old,
            _ => {
                self.remote_cseq = Some(e.cseq.number);
                Order::Fresh
            }
        }
    }

    /// The URI that decides where a request goes (§8.1.2): the first route, else the target.
    pub(super) fn next_hop(&self) -> Option<Uri<'_>> {
        match self.routes.first() {
            Some(route) => Uri::parse(NameAddr::parse(route).ok()?.uri).ok(),
            None => Uri::parse(&self.target).ok(),
        }
    }

    /// A request in this dialog (§12.2.1.1) up to CSeq; `cseq` is the INVITE's for ACK.
    ///
    /// All that the party itself gave us comes first; what follows is ours alone and is what
    /// the guard reads.
    pub(super) fn request(&self, method: Method, cseq: u32, via: &str) -> Builder {
        let strict = self.strict_router();
        let uri = strict.as_deref().unwrap_or(&self.target);
        let mut builder = Builder::request(method, uri);
        builder.header(Header::Via, via);
        for route in self.routes.iter().skip(usize::from(strict.is_some())) {
            builder.echo(Header::Route, route);
        }
        if strict.is_some() {
            let mut target = b"<".to_vec();
            target.extend_from_slice(&self.target);
            target.push(b'>');
            builder.echo(Header::Route, &target);
        }
        let tagged = |text: &[u8], tag: &[u8]| {
            let mut value = text.to_vec();
            if !tag.is_empty() {
                value.extend_from_slice(b";tag=");
                value.extend_from_slice(tag);
            }
            value
        };
        let remote_tag = self.remote_tag.as_deref().unwrap_or_default();
        builder.echo(
            Header::From,
            &tagged(&self.local, self.local_tag.as_bytes()),
        );
        builder.echo(Header::To, &tagged(&self.remote, remote_tag));
        builder.echo(Header::CallId, &self.call_id);
        builder.header(Header::CSeq, format_args!("{cseq} {}", method.as_str()));
        builder.own_from_here();
        builder
    }

    /// §12.2.1.1: a first route without `lr` is a strict router and becomes the Request-URI.
    fn strict_router(&self) -> Option<Vec<u8>> {
        let route = NameAddr::parse(self.routes.first()?).ok()?;
        let uri = Uri::parse(route.uri).ok()?;
        (!uri.has_param("lr")).then(|| route.uri.to_vec())
    }
}

/// From or To as it will be written again: the URI alone, so that neither display names nor
/// parameters need to be understood.
fn addr(name_addr: &NameAddr<'_>) -> Vec<u8> {
    let mut value = b"<".to_vec();
    value.extend_from_slice(name_addr.uri);
    value.push(b'>');
    value
}

/// §12.1.1, §12.1.2: exactly one Contact with a SIP URI.
fn contact(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut contacts = message.elements(Header::Contact);
    let first = NameAddr::parse(contacts.next()?).ok()?;
    if contacts.next().is_some() {
        return None;
    }
    Uri::parse(first.uri).ok()?;
    Some(first.uri.to_vec())
}

fn record_routes(message: &Message<'_>) -> Option<Vec<Vec<u8>>> {
    let routes: Vec<Vec<u8>> = message
        .elements(Header::RecordRoute)
        .take(MAX_ROUTES + 1)
        .map(<[u8]>::to_vec)
        .collect();
    (routes.len() <= MAX_ROUTES).then_some(routes)
}
