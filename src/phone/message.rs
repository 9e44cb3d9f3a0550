//! The phones' own reading and printing of SIP messages (RFC 3261 §7, §20), independent of
//! `crate::sip`.

use std::fmt::Write as _;

/// A SIP message in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Request-line or Status-line.
    pub start: Start,
    /// Header fields in order, names as written, values trimmed and unfolded.
    pub fields: Vec<(String, String)>,
    /// What follows the empty line, as many bytes as Content-Length says when it says less.
    pub body: Vec<u8>,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// RFC 3261 §7.1.
    Request {
        /// The method, as written.
        method: String,
        /// The Request-URI.
        uri: String,
    },
    /// RFC 3261 §7.2.
    Response {
        /// 100 to 699.
        code: u16,
        /// The reason phrase.
        reason: String,
    },
}

/// Compact header names (RFC 3261 §7.3.3) that a phone may meet.
const COMPACT: [(&str, &str); 10] = [
    ("v", "Via"),
    ("f", "From"),
    ("t", "To"),
    ("i", "Call-ID"),
    ("m", "Contact"),
    ("l", "Content-Length"),
    ("c", "Content-Type"),
    ("e", "Content-Encoding"),
    ("k", "Supported"),
    ("s", "Subject"),
];

impl Message {
    /// Reads one datagram; `None` when it is not a SIP message.
    pub fn read(bytes: &[u8]) -> Option<Message> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut body = bytes.get(end + 4..)?.to_vec();
        let mut lines = head.split("\r\n");
        let start = Start::read(lines.next()?)?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                // RFC 3261 §7.3.1: a folded line continues the field before.
                let (_, value) = fields.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':')?;
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        let message = Message {
            start,
            fields,
            body: Vec::new(),
        };
        // RFC 3261 §18.3: bytes of a datagram beyond Content-Length are not part of the message.
        if let Some(length) = message.field("Content-Length") {
            body.truncate(length.parse().ok()?);
        }
        Some(Message { body, ..message })
    }

    /// The value of the first field of this name, compact form included.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| long_name(n).eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The values of all fields of this name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.fields
            .iter()
            .filter(move |(n, _)| long_name(n).eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The code of a response.
    pub fn code(&self) -> Option<u16> {
        match &self.start {
            Start::Request { .. } => None,
            Start::Response { code, .. } => Some(*code),
        }
    }

    /// Number and method of CSeq.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.field("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        parameter(self.field("Via")?.split(',').next()?, "branch")
    }

    /// The tag of From.
    pub fn from_tag(&self) -> Option<&str> {
        tag(self.field("From")?)
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&str> {
        tag(self.field("To")?)
    }

    /// The user part of the Request-URI.
    pub fn called(&self) -> Option<&str> {
        match &self.start {
            Start::Request { uri, .. } => user(uri),
            Start::Response { .. } => None,
        }
    }

    /// A response to this request with the fields RFC 3261 §8.2.6.2 asks for, and `to_tag`
    /// unless the request has a To tag already.
    pub fn answer(
        &self,
        code: u16,
        to_tag: &str,
        more: &[(&str, String)],
        body: Option<&str>,
    ) -> Vec<u8> {
        let mut fields: Vec<(&str, String)> = Vec::new();
        for via in self.all("Via") {
            fields.push(("Via", via.to_owned()));
        }
        fields.push(("From", self.field("From").unwrap_or_default().to_owned()));
        let to = self.field("To").unwrap_or_default();
        // RFC 3261 §8.2.6.2: a 100 may go without a tag, everything else must have one.
        let to = if code == 100 || tag(to).is_some() {
            to.to_owned()
        } else {
            format!("{to};tag={to_tag}")
        };
        fields.push(("To", to));
        fields.push((
            "Call-ID",
            self.field("Call-ID").unwrap_or_default().to_owned(),
        ));
        fields.push(("CSeq", self.field("CSeq").unwrap_or_default().to_owned()));
        for route in self.all("Record-Route") {
            fields.push(("Record-Route", route.to_owned()));
        }
        fields.extend(more.iter().cloned());
        print(&format!("SIP/2.0 {code} {}", reason(code)), &fields, body)
    }
}

impl Start {
    fn read(line: &str) -> Option<Start> {
        if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let code = code.parse().ok().filter(|c| (100..700).contains(c))?;
            return Some(Start::Response {
                code,
                reason: reason.to_owned(),
            });
        }
        let (method, rest) = line.split_once(' ')?;
        let uri = rest.strip_suffix(" SIP/2.0")?;
        Some(Start::Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
        })
    }
}

/// Prints a message: first line, fields, Content-Length, and the SDP when there is one.
pub fn print(first: &str, fields: &[(&str, String)], sdp: Option<&str>) -> Vec<u8> {
    let mut text = format!("{first}\r\n");
    for (name, value) in fields {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    if sdp.is_some() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let sdp = sdp.unwrap_or_default();
    let _ = write!(text, "Content-Length: {}\r\n\r\n{sdp}", sdp.len());
    text.into_bytes()
}

/// The URI of a From, To or Contact value, without brackets, display name and field parameters.
pub fn uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => value.split(';').next().unwrap_or(value).trim(),
    }
}

/// The user part of a sip: or tel: URI, its parameters cut off.
pub fn user(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let user = if scheme.eq_ignore_ascii_case("tel") {
        rest
    } else {
        rest.split_once('@')?.0
    };
    Some(user.split(';').next().unwrap_or(user))
}

fn tag(value: &str) -> Option<&str> {
    // A tag belongs to the field, not to the URI in the brackets.
    let after = value.rsplit_once('>').map_or(value, |(_, rest)| rest);
    parameter(after, "tag")
}

fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').skip(1).find_map(|p| {
        let (n, v) = p.split_once('=')?;
        n.trim().eq_ignore_ascii_case(name).then(|| v.trim())
    })
}

fn long_name(name: &str) -> &str {
    COMPACT
        .iter()
        .find(|(short, _)| short.eq_ignore_ascii_case(name))
        .map_or(name, |(_, long)| long)
}

/// The phones' reason phrases.
fn reason(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        404 => "Not Found",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        603 => "Decline",
        _ => "Whatever",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:+914412345678;npdi@127.0.0.1:5060;user=phone SIP/2.0\r\n\
        v: SIP/2.0/UDP 127.0.0.1:5070;rport;branch=z9hG4bKabc\r\n\
        From: \"A; B\" <sip:+919876543210@h;tag=no>;tag=yes\r\n\
        To: <sip:+914412345678@h>\r\nCall-ID: x\r\nCSeq: 7 INVITE\r\n\
        Subject: one\r\n two\r\nContent-Length: 3\r\n\r\nabcdef";

    #[test]
    fn reads_fields_compact_names_folding_and_tags() {
        let m = Message::read(INVITE).unwrap();
        assert_eq!(m.method(), Some("INVITE"));
        assert_eq!(m.called(), Some("+914412345678"));
        assert_eq!(m.branch(), Some("z9hG4bKabc"));
        assert_eq!((m.from_tag(), m.to_tag()), (Some("yes"), None));
        assert_eq!(m.cseq(), Some((7, "INVITE")));
        assert_eq!(m.field("subject"), Some("one two"));
        assert_eq!(m.body, b"abc");
    }

    #[test]
    fn answers_carry_what_the_request_had_and_a_tag() {
        let request = Message::read(INVITE).unwrap();
        let answer = Message::read(&request.answer(486, "mine", &[], None)).unwrap();
        assert_eq!(answer.code(), Some(486));
        assert_eq!(answer.to_tag(), Some("mine"));
        assert_eq!(answer.branch(), request.branch());
        assert_eq!(answer.field("From"), request.field("From"));
        let trying = Message::read(&request.answer(100, "mine", &[], None)).unwrap();
        assert_eq!(trying.to_tag(), None);
    }

    #[test]
    fn what_is_not_sip_is_none() {
        for bytes in [
            &b""[..],
            b"\r\n\r\n",
            b"INVITE sip:x SIP/2.0\r\n",
            b"SIP/2.0 99 Low\r\n\r\n",
            b"INVITE sip:x SIP/2.0\r\nno colon\r\n\r\n",
            b"INVITE sip:x SIP/2.0\r\n folded first\r\n\r\n",
            b"\xff\xfe SIP/2.0\r\n\r\n",
        ] {
            assert_eq!(Message::read(bytes), None);
        }
    }
}
