//! Random bytes from the kernel, for ids that must differ between runs.

use crate::failure::{Doing, Outcome};

/// So many random bytes in hexadecimal.
pub(crate) fn hex(bytes: usize) -> Outcome<String> {
    let mut buffer = vec![0_u8; bytes];
    getrandom::fill(&mut buffer).doing("random bytes")?;
    Ok(buffer.iter().map(|b| format!("{b:02x}")).collect())
}
