//! The row format: prefixed keys in one tree; each value is a version byte, a CRC-32 over key,
//! version and body, and the row as JSON. Head and checksum stay the same in every version.
//!
//! sled checks its pages; the checksum here also catches a row under the wrong key, and tells a
//! damaged row from one that a later version wrote.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::Revision;
use super::change::Change;
use super::engine::Write;
use crate::number::Number;

/// Version of the row format. A store with a later one is not opened.
pub(super) const FORMAT: u8 = 1;

const ACCOUNT: u8 = b'A';
const EXOPHONE: u8 = b'E';
const ALLOCATION: u8 = b'L';
const META_REVISION: &[u8] = b"Mrevision";

const HEAD_BYTES: usize = 5;

/// A row as loaded.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Row {
    /// An account, an ExoPhone or an allocation.
    Data(Change),
    /// The last committed change.
    Revision(Revision),
}

/// Why a row cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRow {
    #[error("row {key}: {why}")]
    Damaged { key: String, why: &'static str },
    #[error("row {key} has format {found}; this version reads up to {FORMAT}: use a later one")]
    Newer { key: String, found: u8 },
}

/// The write that makes a change last.
pub(super) fn encode(change: &Change) -> Write {
    match change {
        Change::Account(a) => put(prefixed(ACCOUNT, &a.sid.to_bytes()), &**a),
        Change::ExoPhone(e) => put(exophone_key(e.number), &**e),
        Change::ExoPhoneRemoved(number) => Write::Delete(exophone_key(*number)),
        Change::Allocation(a) => put(prefixed(ALLOCATION, &a.id.to_bytes()), &**a),
    }
}

/// The write that remembers the last committed change. It is in every batch.
pub(super) fn encode_revision(revision: Revision) -> Write {
    put(META_REVISION.to_vec(), &revision)
}

/// Reads a row.
pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Row, BadRow> {
    let damaged = |why| BadRow::Damaged { key: hex(key), why };
    let (head, body) = value
        .split_at_checked(HEAD_BYTES)
        .ok_or_else(|| damaged("shorter than its head"))?;
    let (version, crc) = head.split_at(1);
    let version = version.first().copied().unwrap_or(0);
    if crc != checksum(key, version, body) {
        return Err(damaged("its checksum does not match"));
    }
    if version != FORMAT {
        return Err(BadRow::Newer {
            key: hex(key),
            found: version,
        });
    }
    let row = match key.first() {
        _ if key == META_REVISION => read(body).map(Row::Revision),
        Some(&ACCOUNT) => read(body).map(|a| Row::Data(Change::Account(Arc::new(a)))),
        Some(&EXOPHONE) => read(body).map(|e| Row::Data(Change::ExoPhone(Arc::new(e)))),
        Some(&ALLOCATION) => read(body).map(|a| Row::Data(Change::Allocation(Arc::new(a)))),
        _ => return Err(damaged("of no known kind")),
    };
    row.ok_or_else(|| damaged("its fields do not fit"))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn put<T: serde::Serialize>(key: Vec<u8>, row: &T) -> Write {
    let body = serde_json::to_vec(row).expect("rows are plain structs with string keys");
    frame(key, FORMAT, &body)
}

fn frame(key: Vec<u8>, version: u8, body: &[u8]) -> Write {
    let mut value = Vec::with_capacity(HEAD_BYTES + body.len());
    value.push(version);
    value.extend(checksum(&key, version, body));
    value.extend(body);
    Write::Put(key, value)
}

/// A row as a later version would write it.
#[cfg(test)]
pub(super) fn encode_newer(body: &[u8]) -> Write {
    frame(prefixed(ACCOUNT, &[0; 16]), FORMAT + 1, body)
}

fn checksum(key: &[u8], version: u8, body: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(&[version]);
    crc.update(body);
    crc.finalize().to_le_bytes()
}

fn exophone_key(number: Number) -> Vec<u8> {
    prefixed(EXOPHONE, &number.digits().to_be_bytes())
}

fn prefixed(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(rest);
    key
}

/// A key for a message. Only the kind of an ExoPhone's key is shown: the rest is its number.
fn hex(key: &[u8]) -> String {
    match key.split_first() {
        Some((&EXOPHONE, _)) => "of an ExoPhone".to_owned(),
        Some((kind, rest)) => {
            let mut text = format!("{}:", char::from(*kind).escape_default());
            for byte in rest {
                text += &format!("{byte:02x}");
            }
            text
        }
        None => "without a key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sid::Sid;
    use crate::store::account::Account;

    fn account() -> Change {
        Change::Account(Arc::new(Account {
            sid: Sid::new(1, 2),
            name: "default".into(),
            created_ms: 3,
        }))
    }

    fn parts(write: Write) -> (Vec<u8>, Vec<u8>) {
        match write {
            Write::Put(key, value) => (key, value),
            Write::Delete(_) => panic!("a put"),
        }
    }

    #[test]
    fn rows_read_back() {
        let (key, value) = parts(encode(&account()));
        assert_eq!(decode(&key, &value), Ok(Row::Data(account())));
        let (key, value) = parts(encode_revision(77));
        assert_eq!(decode(&key, &value), Ok(Row::Revision(77)));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let (key, value) = parts(encode(&account()));
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut bad = value.clone();
                bad[at] ^= 1 << bit;
                let bad = decode(&key, &bad);
                assert!(
                    matches!(bad, Err(BadRow::Damaged { .. })),
                    "byte {at} bit {bit}"
                );
            }
            assert!(decode(&key, &value[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_row_under_another_key_is_noticed() {
        let (mut key, value) = parts(encode(&account()));
        key[16] ^= 1;
        assert!(matches!(decode(&key, &value), Err(BadRow::Damaged { .. })));
    }

    #[test]
    fn the_key_of_an_exophone_is_not_spelled_out() {
        let key = exophone_key(Number::parse_e164("+914412345678").unwrap());
        let said = decode(&key, b"").unwrap_err().to_string();
        assert!(!said.contains("4412345678"), "{said}");
        assert!(
            !said.contains(&format!("{:x}", 914_412_345_678_u64)),
            "{said}"
        );
    }
}
