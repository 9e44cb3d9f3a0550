//! SIP for a generator that must cost little: one pass over the lines of a message, requests and
//! responses written straight into the send buffer (RFC 3261 §7, §8.1.1, §8.2.6, §12, §13.2.2.4).
//!
//! None of it is the server's code. Compact names are not read: neither subject writes them.

use std::net::SocketAddrV4;

use memchr::{memchr, memchr_iter, memmem};

use crate::numbers::{CALLER_DIGITS, Slot};

/// Via and Record-Route lines kept of a message; a path through one server has two of each.
const LINES: usize = 4;

/// A message's parts that the ends need. Lines come with their line end, values without.
#[derive(Debug, Default)]
pub(crate) struct Scan<'a> {
    /// The first line.
    pub(crate) first: &'a [u8],
    /// Via lines, topmost first.
    pub(crate) vias: [&'a [u8]; LINES],
    /// Record-Route lines, topmost first.
    pub(crate) record_routes: [&'a [u8]; LINES],
    /// The From line.
    pub(crate) from: &'a [u8],
    /// The To line.
    pub(crate) to: &'a [u8],
    /// The Call-ID line.
    pub(crate) call_id: &'a [u8],
    /// The CSeq line.
    pub(crate) cseq: &'a [u8],
    /// The URI of Contact.
    pub(crate) contact: &'a [u8],
    /// The body.
    pub(crate) body: &'a [u8],
}

impl<'a> Scan<'a> {
    /// Reads a message.
    pub(crate) fn read(bytes: &'a [u8]) -> Scan<'a> {
        let mut scan = Scan::default();
        let (mut vias, mut routes) = (0, 0);
        let mut begin = 0;
        for end in memchr_iter(b'\n', bytes) {
            let line = bytes.get(begin..=end).unwrap_or_default();
            if begin == 0 {
                scan.first = trim(line);
            }
            begin = end + 1;
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            match line.first().map(u8::to_ascii_lowercase) {
                Some(b'v') if is("via") => keep(&mut scan.vias, &mut vias, line),
                Some(b'r') if is("record-route") => {
                    keep(&mut scan.record_routes, &mut routes, line);
                }
                Some(b'f') if is("from") => scan.from = line,
                Some(b't') if is("to") => scan.to = line,
                Some(b'c') if is("call-id") => scan.call_id = line,
                Some(b'c') if is("cseq") => scan.cseq = line,
                Some(b'c') if is("contact") => scan.contact = uri(line),
                Some(b'\r') => {
                    scan.body = bytes.get(begin..).unwrap_or_default();
                    return scan;
                }
                _ => {}
            }
        }
        scan
    }

    /// The status code of a response.
    pub(crate) fn code(&self) -> Option<u16> {
        let digits = self.first.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Whether CSeq names this method.
    pub(crate) fn is_about(&self, method: &str) -> bool {
        trim(self.cseq).ends_with(method.as_bytes())
    }

    /// The number that stands behind `mark` in the Call-ID.
    pub(crate) fn serial(&self, mark: &[u8]) -> Option<usize> {
        digits(after(self.call_id, mark)?)
    }

    /// The number that stands behind `mark` in the first line.
    pub(crate) fn number_in_uri(&self, mark: &[u8]) -> Option<usize> {
        digits(after(self.first, mark)?)
    }

    /// The port of the first m= line and whether the c= line names this address (RFC 8866).
    pub(crate) fn audio(&self) -> Option<Audio<'_>> {
        let port = digits(after(self.body, b"m=audio ")?)?;
        let host = after(self.body, b"c=IN IP4 ")?;
        let end = memchr(b'\r', host)?;
        Some(Audio {
            host: host.get(..end)?,
            port: u16::try_from(port).ok()?,
        })
    }
}

/// Where a session description wants audio.
pub(crate) struct Audio<'a> {
    host: &'a [u8],
    port: u16,
}

impl Audio<'_> {
    /// As a socket address.
    pub(crate) fn address(&self) -> Option<SocketAddrV4> {
        let host = std::str::from_utf8(self.host).ok()?;
        Some(SocketAddrV4::new(host.parse().ok()?, self.port))
    }
}

fn keep<'a>(lines: &mut [&'a [u8]; LINES], count: &mut usize, line: &'a [u8]) {
    if let Some(place) = lines.get_mut(*count) {
        *place = line;
        *count += 1;
    }
}

fn trim(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

/// What stands between the brackets, or the whole value when there are none.
fn uri(line: &[u8]) -> &[u8] {
    match (memchr(b'<', line), memchr(b'>', line)) {
        (Some(open), Some(close)) => line.get(open + 1..close).unwrap_or_default(),
        _ => after(line, b":").map_or(b"", trim),
    }
}

fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = memmem::find(text, mark)?;
    text.get(at + mark.len()..)
}

fn digits(text: &[u8]) -> Option<usize> {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let digits = text.get(..length).filter(|d| !d.is_empty())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Appends pieces to a buffer.
macro_rules! put {
    ($into:expr, $($piece:expr),+ $(,)?) => {{ $($into.extend_from_slice(AsRef::<[u8]>::as_ref(&$piece));)+ }};
}

/// The addresses of one run, as text.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// The caller's end.
    pub(crate) caller: String,
    /// The callee's end.
    pub(crate) callee: String,
    /// The server's address as the caller writes it.
    pub(crate) server: String,
    /// Whether the caller dials the callee's own number: through what does not mask.
    pub(crate) bare: bool,
    /// Makes ids of this run differ from those of others.
    pub(crate) run: String,
    /// The caller's session description.
    pub(crate) offer: String,
    /// The callee's session description.
    pub(crate) answer: String,
}

/// Session description of an end with audio at `at`.
pub(crate) fn session(at: SocketAddrV4) -> String {
    let (ip, port) = (at.ip(), at.port());
    format!(
        "v=0\r\no=load 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

impl Names {
    /// Writes the INVITE of call `serial`.
    pub(crate) fn invite(&self, into: &mut Vec<u8>, serial: usize, slot: Slot) {
        let number = format!("{serial:08}");
        let (caller, dialled) = (slot.caller(), self.dialled(slot));
        put!(
            into,
            "INVITE sip:",
            dialled,
            "@",
            self.server,
            ";user=phone SIP/2.0\r\n"
        );
        self.common(into, &number, "i", &caller);
        put!(
            into,
            "To: <sip:",
            dialled,
            "@",
            self.server,
            ";user=phone>\r\n"
        );
        put!(
            into,
            "CSeq: 1 INVITE\r\nContact: <sip:a",
            number,
            "@",
            self.caller,
            ">\r\n"
        );
        put!(
            into,
            "P-Asserted-Identity: <sip:",
            caller,
            "@",
            self.caller,
            ";user=phone>\r\n"
        );
        put!(into, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n");
        body(into, &self.offer);
    }

    /// Writes a request of the caller inside the dialog that `answer` made.
    pub(crate) fn within(
        &self,
        into: &mut Vec<u8>,
        serial: usize,
        slot: Slot,
        answer: &Scan<'_>,
        method: &str,
    ) {
        let number = format!("{serial:08}");
        let (cseq, mark) = if method == "ACK" {
            ("1", "a")
        } else {
            ("2", "b")
        };
        put!(into, method, " ", answer.contact, " SIP/2.0\r\n");
        self.common(into, &number, mark, &slot.caller());
        // RFC 3261 §12.1.2: the caller's route set is Record-Route in reverse order.
        for line in answer.record_routes.iter().rev().filter(|l| !l.is_empty()) {
            put!(into, "Route:", after(line, b":").unwrap_or_default());
        }
        put!(
            into,
            answer.to,
            "CSeq: ",
            cseq,
            " ",
            method,
            "\r\nContent-Length: 0\r\n\r\n"
        );
    }

    /// Writes the ACK of a refusal: the INVITE's own branch (RFC 3261 §17.1.1.3).
    pub(crate) fn ack_refusal(
        &self,
        into: &mut Vec<u8>,
        serial: usize,
        slot: Slot,
        answer: &Scan<'_>,
    ) {
        let number = format!("{serial:08}");
        put!(
            into,
            "ACK sip:",
            self.dialled(slot),
            "@",
            self.server,
            ";user=phone SIP/2.0\r\n"
        );
        self.common(into, &number, "i", &slot.caller());
        put!(into, answer.to, "CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
    }

    fn dialled(&self, slot: Slot) -> String {
        if self.bare {
            slot.callee()
        } else {
            slot.exophone()
        }
    }

    fn common(&self, into: &mut Vec<u8>, number: &str, mark: &str, caller: &str) {
        let run = &self.run;
        put!(
            into,
            "Via: SIP/2.0/UDP ",
            self.caller,
            ";branch=z9hG4bK",
            run,
            number,
            mark,
            "\r\n"
        );
        put!(
            into,
            "Max-Forwards: 70\r\nFrom: <sip:",
            caller,
            "@",
            self.caller
        );
        put!(
            into,
            ";user=phone>;tag=a",
            number,
            "\r\nCall-ID: load-",
            run,
            "-",
            number,
            "@a\r\n"
        );
    }

    /// Writes the callee's response to `request`.
    pub(crate) fn respond(&self, into: &mut Vec<u8>, request: &Scan<'_>, answer: Answer) {
        put!(into, "SIP/2.0 ", answer.status(), "\r\n");
        for via in request.vias.iter().filter(|l| !l.is_empty()) {
            put!(into, via);
        }
        put!(into, request.from);
        match (answer, memmem::find(request.to, b";tag=")) {
            (Answer::Ringing(slot) | Answer::Answered(slot), None) => {
                put!(into, trim(request.to), ";tag=b", slot.to_string(), "\r\n");
            }
            _ => put!(into, request.to),
        }
        put!(into, request.call_id, request.cseq);
        if let Answer::Ringing(slot) | Answer::Answered(slot) = answer {
            for line in request.record_routes.iter().filter(|l| !l.is_empty()) {
                put!(into, line);
            }
            put!(
                into,
                "Contact: <sip:b",
                slot.to_string(),
                "@",
                self.callee,
                ">\r\n"
            );
        }
        match answer {
            Answer::Answered(_) => body(into, &self.answer),
            _ => put!(into, "Content-Length: 0\r\n\r\n"),
        }
    }
}

/// What the callee says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// 180, with the slot in tag and Contact.
    Ringing(usize),
    /// 200 with an answer.
    Answered(usize),
    /// 200 to a BYE or a CANCEL.
    Agreed,
}

impl Answer {
    fn status(self) -> &'static str {
        match self {
            Answer::Ringing(_) => "180 Ringing",
            Answer::Answered(_) | Answer::Agreed => "200 OK",
        }
    }
}

fn body(into: &mut Vec<u8>, session: &str) {
    put!(into, "Content-Type: application/sdp\r\nContent-Length: ");
    put!(into, session.len().to_string(), "\r\n\r\n", session);
}

/// Whether [`is_masked`] can tell: the caller's own INVITE is not masked, and it is as soon as
/// the ExoPhone stands wherever the caller stood.
pub(crate) fn can_judge() -> bool {
    let names = Names {
        caller: "192.0.2.1:5060".to_owned(),
        callee: "192.0.2.2:5060".to_owned(),
        server: "192.0.2.3:5060".to_owned(),
        bare: false,
        run: "0".to_owned(),
        offer: String::new(),
        answer: String::new(),
    };
    let slot = Slot(7);
    let mut bare = Vec::new();
    names.invite(&mut bare, 1, slot);
    let text = String::from_utf8_lossy(&bare);
    let masked = text.replace(&slot.caller(), &slot.exophone()).into_bytes();
    let elsewhere = [&masked[..], b"x", slot.caller().as_bytes()].concat();
    let verdict = |bytes: &[u8]| is_masked(bytes, &Scan::read(bytes), slot);
    verdict(&masked) && !verdict(&bare) && !verdict(&elsewhere)
}

/// Whether what reached the callee names the ExoPhone as the caller, and nowhere the caller.
pub(crate) fn is_masked(bytes: &[u8], scan: &Scan<'_>, slot: Slot) -> bool {
    let caller = slot.caller();
    let digits = caller
        .get(caller.len() - CALLER_DIGITS..)
        .unwrap_or_default();
    memmem::find(scan.from, slot.exophone().as_bytes()).is_some()
        && memmem::find(bytes, digits.as_bytes()).is_none()
}
