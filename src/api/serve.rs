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

/// Connections of one listener at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// Longest time for a request's head to arrive: a slow client must not hold a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
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
    serve(accept, router, shutdown).await;
}

/// The same on a Unix socket.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
    serve(accept, router, shutdown).await;
}

async fn serve<A, F, S>(accept: A, router: Router, shutdown: impl Future<Output = ()>)
where
    A: Fn() -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = router.layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopped) = watch::channel(());
    tokio::pin!(shutdown);
    loop {
        let Ok(seat) = room.clone().acquire_owned().await else {
            break;
        };
        let stream = tokio::select! {
            accepted = accept() => accepted,
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
                .header_read_timeout(HEAD_TIMEOUT)
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
