//! What the store needs of a disk: load all rows, and write a batch that is durable when the
//! call returns. The rules, the queue and the memory view stay outside, so that an engine is
//! small.

/// One row to write, as key and value of the row format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Insert or replace.
    Put(Vec<u8>, Vec<u8>),
    /// Remove; a missing row is no error.
    Delete(Vec<u8>),
}

/// The disk failed; the text names the operation and the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// Rows on disk, used by one thread.
pub trait Engine: Send {
    /// Hands every row to `row`, as key and value, in any order.
    fn load(&mut self, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), EngineError>;

    /// Writes all or nothing. When it returns `Ok` the rows survive a power cut. After an error
    /// it is unknown whether they are there, and the engine is not used for writing again.
    fn commit(&mut self, writes: &[Write]) -> Result<(), EngineError>;
}
