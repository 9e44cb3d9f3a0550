//! Request methods (RFC 3261 §7.1 and its extensions).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A request method. Names are case-sensitive (RFC 3261 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.2.2.4, §17.1.1.3.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §11.
    Options,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 3515.
    Refer,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3903.
    Publish,
    /// RFC 3261 §10.
    Register,
    /// Any other token.
    Other,
}

impl Method {
    const NAMED: [Method; 14] = [
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Prack,
        Method::Update,
        Method::Info,
        Method::Refer,
        Method::Message,
        Method::Subscribe,
        Method::Notify,
        Method::Publish,
        Method::Register,
    ];

    /// The method of this name; [`Method::Other`] when we do not know it.
    pub fn from_bytes(name: &[u8]) -> Method {
        Method::NAMED
            .into_iter()
            .find(|m| m.as_str().as_bytes() == name)
            .unwrap_or(Method::Other)
    }

    /// The name as it stands in a Request-Line; `OTHER` for [`Method::Other`], which is only
    /// ever read, never sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Message => "MESSAGE",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Publish => "PUBLISH",
            Method::Register => "REGISTER",
            Method::Other => "OTHER",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_case_matters() {
        for method in Method::NAMED {
            assert_eq!(Method::from_bytes(method.as_str().as_bytes()), method);
        }
        assert_eq!(Method::from_bytes(b"invite"), Method::Other);
        assert_eq!(Method::from_bytes(b"NEWMETHOD"), Method::Other);
        assert_eq!(Method::from_bytes(b""), Method::Other);
    }
}
