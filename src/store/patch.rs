//! JSON of patches: a field that is absent is left as it is, one that is `null` is cleared.

use serde::{Deserialize, Deserializer};

/// Reads the inside of an `Option<Option<T>>`: it is only called when the field is there, so
/// `null` becomes `Some(None)`. Absence is the field's default, `None`.
pub(super) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}
