//! A small HTTP/1.1 client for the admin socket: one connection, one request at a time, so that
//! a test knows exactly which request was acknowledged when the server died.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// A connection to a server's admin socket.
pub(crate) struct Admin {
    stream: BufReader<UnixStream>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body, as JSON.
    pub(crate) body: serde_json::Value,
}

impl Admin {
    /// Connects to the server that works in `folder`.
    pub(crate) async fn connect(folder: &Path) -> io::Result<Admin> {
        let stream = UnixStream::connect(folder.join("data/admin.sock")).await?;
        Ok(Admin {
            stream: BufReader::new(stream),
        })
    }

    /// Sends one request and reads its answer. An error means that no whole answer came: the
    /// change may or may not have happened.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let request = format!(
            "{method} /admin/v1{path} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let status_line = self.line().await?;
        let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let mut length = 0;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Answer {
            status: status.ok_or_else(|| io::Error::other("no status code"))?,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}
