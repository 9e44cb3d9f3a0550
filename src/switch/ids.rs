//! Random identifiers: one seeded stream a leg, so that nothing on one party's wire depends on
//! anything of the other's.
//!
//! The stream is SipHash-2-4 as a pseudo-random function over a counter: 24 bytes of state that
//! serialise with the call. Identifiers on the wire are letters only, so that the runtime guard
//! (`mask`) can never mistake a random digit run for a telephone number.
//!
//! An id carries no shard number: a keyed hash of the id tells the shard, and a shard draws
//! again until its new id's hash falls to itself.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24x128};

use crate::sid::Sid;

/// Letters of an identifier: 27 of 26 letters are just over 126 bits.
const ID_LETTERS: usize = 28;
/// Highest random start of CSeq and of the SDP session id, exclusive: fewer digits than any
/// telephone number has.
const SMALL: u64 = 1_000_000;

/// A leg's random stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dice {
    key: [u8; 16],
    drawn: u64,
}

impl Dice {
    /// The next 64 bits.
    pub(super) fn next_u64(&mut self) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u64(self.drawn);
        self.drawn += 1;
        hasher.finish()
    }

    /// The next 32 bits.
    pub(super) fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number of at most six digits: CSeq start, SDP session id.
    pub(super) fn small(&mut self) -> u32 {
        (self.next_u64() % SMALL) as u32 + 1
    }

    /// 96 random bits.
    pub(super) fn cname(&mut self) -> [u8; 12] {
        let mut cname = [0; 12];
        cname[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        cname[8..].copy_from_slice(&self.next_u32().to_be_bytes());
        cname
    }

    fn letters(&mut self) -> String {
        let mut id = String::with_capacity(ID_LETTERS);
        let mut pool = 0u64;
        for place in 0..ID_LETTERS {
            if place % 7 == 0 {
                pool = self.next_u64();
            }
            id.push(char::from(b'a' + (pool % 26) as u8));
            pool /= 26;
        }
        id
    }
}

/// Makes the streams and ids of one shard.
#[derive(Debug, Clone)]
pub(super) struct Mint {
    stream_key: [u8; 16],
    table_key: [u8; 16],
    shard_key: [u8; 16],
    shard: u16,
    shards: u16,
    streams: u64,
}

impl Mint {
    /// `seed` is random and secret; all shards of a process share it. `shard` < `shards`.
    pub(super) fn new(seed: [u8; 32], shard: u16, shards: u16) -> Mint {
        assert!(shard < shards, "a shard's index is below their number");
        let mut dice = Dice {
            key: seed[..16].try_into().expect("16 of 32 bytes"),
            drawn: 0,
        };
        let mut tweak = Dice {
            key: seed[16..].try_into().expect("16 of 32 bytes"),
            drawn: 0,
        };
        let mut key = || {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&dice.next_u64().to_be_bytes());
            key[8..].copy_from_slice(&tweak.next_u64().to_be_bytes());
            key
        };
        Mint {
            stream_key: key(),
            table_key: key(),
            shard_key: key(),
            shard,
            shards,
            streams: 0,
        }
    }

    /// A new stream. Streams are numbered, so a stream's content depends on how many there were
    /// before it and on nothing that any peer sent.
    pub(super) fn stream(&mut self) -> Dice {
        let mut hasher = SipHasher24x128::new_with_key(&self.stream_key);
        hasher.write_u16(self.shard);
        hasher.write_u64(self.streams);
        self.streams += 1;
        Dice {
            key: hasher.finish128().as_bytes(),
            drawn: 0,
        }
    }

    /// A Call-ID, tag or opaque user that belongs to this shard.
    pub(super) fn id(&self, dice: &mut Dice) -> String {
        loop {
            let id = dice.letters();
            if self.shard_of(id.as_bytes()) == self.shard {
                return id;
            }
        }
    }

    /// A Via branch with the magic cookie (RFC 3261 §8.1.1.7).
    pub(super) fn branch(&self, dice: &mut Dice) -> String {
        loop {
            let branch = format!("z9hG4bK{}", dice.letters());
            if self.shard_of(branch.as_bytes()) == self.shard {
                return branch;
            }
        }
    }

    /// A call's id for records and the API.
    pub(super) fn sid(&self, dice: &mut Dice, wall_ms: u64) -> Sid {
        let random = (u128::from(dice.next_u64()) << 64) | u128::from(dice.next_u64());
        Sid::new(wall_ms, random)
    }

    /// The shard an id we minted belongs to.
    pub(super) fn shard_of(&self, id: &[u8]) -> u16 {
        let mut hasher = SipHasher24::new_with_key(&self.shard_key);
        hasher.write(id);
        (hasher.finish() % u64::from(self.shards)) as u16
    }

    /// A table key over what peers sent, under a secret, so that nobody can aim at one bucket
    /// or one entry. Parts are length-prefixed: no two different lists give the same input.
    pub(super) fn table_key(&self, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher24x128::new_with_key(&self.table_key);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

/// A hasher for tables whose keys are already keyed hashes or our own counters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

/// A table without ambient randomness; see [`Prehashed`]. Never iterated where order shows.
pub(super) type Table<K, V> =
    std::collections::HashMap<K, V, std::hash::BuildHasherDefault<Prehashed>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_letters_and_fall_to_their_shard() {
        for shard in 0..3 {
            let mut mint = Mint::new([9; 32], shard, 3);
            let mut dice = mint.stream();
            for _ in 0..50 {
                let id = mint.id(&mut dice);
                assert_eq!(id.len(), ID_LETTERS);
                assert!(id.bytes().all(|b| b.is_ascii_lowercase()), "{id}");
                assert_eq!(mint.shard_of(id.as_bytes()), shard);
            }
        }
    }

    #[test]
    fn streams_repeat_by_seed_and_differ_by_number() {
        let draw = |seed| {
            let mut mint = Mint::new([seed; 32], 0, 1);
            let (mut one, mut two) = (mint.stream(), mint.stream());
            (one.next_u64(), two.next_u64())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1).0, draw(1).1);
    }

    #[test]
    fn table_keys_do_not_run_together() {
        let mint = Mint::new([3; 32], 0, 1);
        assert_ne!(
            mint.table_key(&[b"ab", b"c"]),
            mint.table_key(&[b"a", b"bc"])
        );
    }
}
