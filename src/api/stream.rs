//! Bodies of any length between a blocking reader or writer and HTTP: exports and imports do not
//! have to fit into memory.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::mpsc;

/// Pieces under way at once; the writer waits when the reader is behind.
const PIECES: usize = 8;
/// Size of a piece, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

type Piece = Result<Bytes, io::Error>;

/// The writing end, for a blocking thread. What is not flushed is lost.
#[derive(Debug)]
pub struct PieceWriter {
    sender: mpsc::Sender<Piece>,
    buffer: Vec<u8>,
}

/// The reading end, for a blocking thread.
#[derive(Debug)]
pub struct PieceReader {
    receiver: mpsc::Receiver<Piece>,
    piece: Bytes,
}

struct PieceBody(mpsc::Receiver<Piece>);

/// A body that a blocking thread writes.
pub fn writer() -> (PieceWriter, Body) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let writer = PieceWriter {
        sender,
        buffer: Vec::with_capacity(PIECE_BYTES),
    };
    (writer, Body::new(PieceBody(receiver)))
}

/// A body that a blocking thread reads. The second half moves the pieces and has to be awaited
/// beside that thread.
pub fn reader(body: Body) -> (PieceReader, impl Future<Output = ()> + Send) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let reader = PieceReader {
        receiver,
        piece: Bytes::new(),
    };
    let feed = async move {
        let mut body = body;
        while let Some(frame) = body.frame().await {
            let piece = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => Ok(data),
                // Trailers carry no data.
                Ok(Err(_)) => continue,
                Err(error) => Err(io::Error::other(error)),
            };
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    };
    (reader, feed)
}

impl PieceWriter {
    /// Ends the body as broken, so that the reader does not take a part for the whole.
    pub fn fail(self, error: io::Error) {
        let _ = self.sender.blocking_send(Err(error));
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader has gone");
        self.sender.blocking_send(Ok(piece)).map_err(gone)
    }
}

impl Read for PieceReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.piece.len());
        let part = self.piece.split_to(count);
        out.iter_mut().zip(part).for_each(|(to, from)| *to = from);
        Ok(count)
    }
}

impl HttpBody for PieceBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.0.poll_recv(cx);
        next.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let (mut from, body) = writer();
        let (mut to, feed) = reader(body);
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let copy = sent.clone();
        let write = tokio::task::spawn_blocking(move || {
            from.write_all(&copy)?;
            from.flush()
        });
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            to.read_to_end(&mut all).map(|_| all)
        });
        feed.await;
        write.await.unwrap().unwrap();
        assert!(read.await.unwrap().unwrap() == sent);
    }

    #[tokio::test]
    async fn a_failure_reaches_the_reader() {
        let (from, body) = writer();
        let (mut to, feed) = reader(body);
        let write = tokio::task::spawn_blocking(move || from.fail(io::Error::other("disk")));
        let read = tokio::task::spawn_blocking(move || to.read_to_end(&mut Vec::new()));
        feed.await;
        write.await.unwrap();
        assert!(read.await.unwrap().is_err());
    }
}
