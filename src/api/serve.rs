//! Serving a router on a TCP or a Unix listener, with bounds: connections, time for a request's
//! head, size of a body.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

/// What one listener allows.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Connections at once; more wait in the kernel's queue.
    connections: usize,
    /// Longest time for a request's head to arrive, and for the next one on a kept connection: a
    /// slow or idle client must not hold a place.
    head: Duration,
}

const BOUNDS: Bounds = Bounds {
    connections: 256,
    head: Duration::from_secs(10),
};
/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Largest body of a request, in bytes: a chunk of an import fits.
pub(super) const MAX_BODY_BYTES: usize = 4 << 20;
/// Rest after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes; requests under way are finished first.
pub async fn serve_tcp(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let accept = || async {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    serve(accept, router, shutdown, BOUNDS).await;
}

/// The same on a Unix socket.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
    serve(accept, router, shutdown, BOUNDS).await;
}

async fn serve<A, F, S>(
    accept: A,
    router: Router,
    shutdown: impl Future<Output = ()>,
    bounds: Bounds,
) where
    A: Fn() -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = router.layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let room = Arc::new(Semaphore::new(bounds.connections));
    let (stop, stopped) = watch::channel(());
    tokio::pin!(shutdown);
    loop {
        let next = async {
            // The semaphore is never closed.
            let seat = room.clone().acquire_owned().await.ok();
            (seat, accept().await)
        };
        let (seat, stream) = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        let Ok(stream) = stream else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let router = router.clone();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let _seat = seat;
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(bounds.head)
                .max_buf_size(MAX_HEAD_BYTES);
            let service = TowerToHyperService::new(router);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }
    drop(stopped);
    let _ = stop.send(());
    // Every connection holds a clone of the receiver until it has answered.
    stop.closed().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Metric, Monitor, health};
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    /// Only a failing test waits for it.
    const LIMIT: Duration = Duration::from_secs(20);

    struct Health(AtomicBool);

    impl Monitor for Health {
        fn ready(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn metrics(&self) -> Vec<Metric> {
            vec![Metric::gauge("callmask_calls", "Calls.", 2)]
        }
    }

    struct Listening {
        address: SocketAddr,
        health: Arc<Health>,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    async fn listening(bounds: Bounds) -> Listening {
        let health = Arc::new(Health(AtomicBool::new(true)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = health::router(health.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
            let stopped = async {
                let _ = stopped.await;
            };
            serve(accept, router, stopped, bounds).await;
        });
        Listening {
            address,
            health,
            stop,
            task,
        }
    }

    /// Sends a request's bytes and reads until the server closes.
    async fn talk(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(LIMIT, read).await.unwrap().unwrap();
        answer
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        talk(address, &request).await
    }

    #[tokio::test]
    async fn the_public_listener_tells_health_and_nothing_else() {
        let server = listening(BOUNDS).await;
        let answer = get(server.address, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer = get(server.address, "/metrics").await;
        assert!(answer.ends_with("\ncallmask_calls 2\n"), "{answer}");
        assert!(
            get(server.address, "/readyz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        server.health.0.store(false, Ordering::Relaxed);
        assert!(
            get(server.address, "/readyz")
                .await
                .starts_with("HTTP/1.1 503")
        );
        for path in ["/", "/admin/v1/exophones", "/admin/v1/calls/live"] {
            let answer = get(server.address, path).await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        }
    }

    #[tokio::test]
    async fn slow_heads_lose_their_connection() {
        let bounds = Bounds {
            connections: 1,
            head: Duration::from_millis(50),
        };
        let server = listening(bounds).await;
        for head in ["", "GET /healthz HTTP/1.1\r\nHost:"] {
            let answer = talk(server.address, head).await;
            assert!(!answer.contains("200"), "{answer}");
        }
        // The one place is free again.
        assert!(get(server.address, "/healthz").await.contains("200 OK"));
    }

    #[tokio::test]
    async fn oversized_heads_are_refused() {
        let server = listening(BOUNDS).await;
        let big = "x".repeat(2 * MAX_HEAD_BYTES);
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /{big} HTTP/1.1\r\nHost: x\r\n\r\n");
        // The server may close before it has all.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut start = [0; 12];
        let read = tokio::time::timeout(LIMIT, stream.read_exact(&mut start)).await;
        if read.unwrap().is_ok() {
            assert!(start.starts_with(b"HTTP/1.1 4"), "{start:?}");
        }
    }

    #[tokio::test]
    async fn shutdown_comes_even_when_every_place_is_taken() {
        let bounds = Bounds {
            connections: 1,
            head: LIMIT,
        };
        let server = listening(bounds).await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        idle.write_all(request).await.unwrap();
        let mut start = [0; 15];
        idle.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        server.stop.send(()).unwrap();
        let stopped = tokio::time::timeout(LIMIT / 2, server.task).await;
        stopped.expect("it still serves").unwrap();
    }
}
