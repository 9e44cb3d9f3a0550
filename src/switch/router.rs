//! Which shard a message belongs to, decided from the message alone.
//!
//! What answers or continues something of ours carries an id that one shard minted, and a keyed
//! hash of the id names that shard. What begins something goes by the number it calls, so that
//! all calls of one ExoPhone meet in one shard, and an INVITE's CANCEL finds it.

use crate::number::NumberPlan;
use crate::sip::{Header, Message, NameAddr, Via};
use crate::switch::identity;
use crate::switch::ids::Mint;

/// Decides for every message by the same secret as the shards' own ids.
#[derive(Debug, Clone)]
pub struct Router {
    mint: Mint,
    plan: NumberPlan,
}

impl Router {
    /// For `shards` shards that share this seed.
    pub fn new(seed: [u8; 32], shards: u16, plan: NumberPlan) -> Router {
        Router {
            mint: Mint::new(seed, 0, shards),
            plan,
        }
    }

    /// The shard that is to get this message. What cannot be read goes to the first one, which
    /// counts it.
    pub fn shard_of(&self, bytes: &[u8]) -> u16 {
        Message::scan(bytes).map_or(0, |message| self.of_message(&message))
    }

    fn of_message(&self, message: &Message<'_>) -> u16 {
        if !message.is_request() {
            // RFC 3261 §17.1.3: a response has the branch of our request.
            let via = message.elements(Header::Via).next().map(Via::parse);
            return match via {
                Some(Ok(Via {
                    branch: Some(branch),
                    ..
                })) => self.mint.shard_of(branch),
                _ => 0,
            };
        }
        // §12.2.2: within a dialog, and in the ACK of a refusal, To has our tag.
        let to = message.first(Header::To).map(NameAddr::parse);
        if let Some(Ok(to)) = to
            && let Some(tag) = to.tag()
        {
            return self.mint.shard_of(tag);
        }
        match identity::called(message, &self.plan) {
            Some(number) => self.mint.shard_of(&number.digits().to_be_bytes()),
            None => self
                .mint
                .shard_of(message.request_uri().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        Router::new([4; 32], 5, NumberPlan::new("91").unwrap())
    }

    #[test]
    fn what_a_shard_minted_comes_back_to_it() {
        for shard in 0..5 {
            let mut mint = Mint::new([4; 32], shard, 5);
            let mut dice = mint.stream();
            let (tag, branch) = (mint.id(&mut dice), mint.branch(&mut dice));
            let bye = format!("BYE sip:x SIP/2.0\r\nTo: <sip:a@b>;tag={tag}\r\n\r\n");
            assert_eq!(router().shard_of(bye.as_bytes()), shard);
            let ok = format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch={branch}\r\n\r\n");
            assert_eq!(router().shard_of(ok.as_bytes()), shard);
        }
    }

    #[test]
    fn a_number_meets_itself_however_it_is_written() {
        let of = |method: &str, uri: &str| {
            let text = format!("{method} {uri} SIP/2.0\r\nTo: <sip:x@y>\r\n\r\n");
            router().shard_of(text.as_bytes())
        };
        let home = of("INVITE", "sip:+914412345678@a.example;user=phone");
        for uri in [
            "sip:04412345678@b.example",
            "tel:+91-44-1234-5678",
            "sip:914412345678@c",
        ] {
            assert_eq!(of("INVITE", uri), home, "{uri}");
            assert_eq!(of("CANCEL", uri), home, "{uri}");
        }
        let shards: std::collections::BTreeSet<u16> = (0..100)
            .map(|n| of("INVITE", &format!("sip:+9144123456{n:02}@a")))
            .collect();
        assert_eq!(shards.len(), 5, "the calls spread");
    }
}
