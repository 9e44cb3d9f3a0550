//! `callmask serve`: the server of `io` with the API on top, from the first socket to the last
//! record.

mod monitor;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::{Done, system};
use crate::api::{self, refusal};
use crate::config::Config;
use crate::io::admin_socket::{self, SocketFile};
use crate::io::server::{ServeError, Server};
use crate::io::stop::{self, Patience, Stopped};
use monitor::View;

/// Signals that may wait to be looked at; the fourth and later ones change nothing.
const MAX_SIGNALS: usize = 3;
/// How long HTTP requests under way may take at the end.
const API_PATIENCE: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(config: Config) -> Done {
    crate::telemetry::start(config.log.level);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| system(&e))?;
    let served = runtime.block_on(serve(config));
    served.map_err(|e| refusal("serve", e.to_string(), "correct this and start again"))
}

/// Serves until a signal, then drains: the next signal ends the calls that are still up, a third
/// gives up waiting. When this returns `Ok`, every record is on disk.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let (signals, mut signalled) = mpsc::channel(MAX_SIGNALS);
    let running = Running::start(&config).await?;
    // After the store: opening a big one may be interrupted as ever.
    forward_signals(signals)?;
    // Whoever started us may not listen; that is no reason not to serve.
    let _ = writeln!(io::stderr(), "{}", running.ready_line());
    running.run(&mut signalled).await
}

/// A server with all its sockets open.
struct Running {
    server: Server,
    view: Arc<View>,
    api: SocketAddr,
    store: PathBuf,
    patience: Patience,
    admin_file: SocketFile,
    /// Dropped to stop the API.
    api_stop: watch::Sender<()>,
    api_tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    async fn start(config: &Config) -> Result<Running, ServeError> {
        let server = Server::start(config).await?;
        match Running::with_api(config, &server).await {
            Ok(parts) => {
                let (view, api, admin_file, api_stop, api_tasks) = parts;
                Ok(Running {
                    server,
                    view,
                    api,
                    store: std::path::absolute(&config.store.path)
                        .unwrap_or_else(|_| config.store.path.clone()),
                    patience: Patience::with_drain(Duration::from_secs(
                        config.calls.drain_secs.into(),
                    )),
                    admin_file,
                    api_stop,
                    api_tasks,
                })
            }
            Err(error) => {
                // The first error is the one to tell.
                let _ = server.close().await;
                Err(error)
            }
        }
    }

    #[allow(clippy::type_complexity)] // Named one by one where it is called.
    async fn with_api(
        config: &Config,
        server: &Server,
    ) -> Result<
        (
            Arc<View>,
            SocketAddr,
            SocketFile,
            watch::Sender<()>,
            Vec<tokio::task::JoinHandle<()>>,
        ),
        ServeError,
    > {
        let listen_error = |error: io::Error| ServeError::Listen {
            what: format!("http://{}", config.api.listen),
            error,
        };
        let tcp = TcpListener::bind(config.api.listen)
            .await
            .map_err(listen_error)?;
        let api = tcp.local_addr().map_err(listen_error)?;
        let (unix, admin_file) = admin_socket::listen(&config.admin_socket())?;
        let unix = UnixListener::from_std(unix).map_err(|error| ServeError::System {
            what: "the admin socket",
            error,
        })?;
        let view = Arc::new(View::new(server));
        let state = api::State::new(
            config,
            server.store.clone(),
            server.call_log.clone(),
            view.clone(),
        );
        let (api_stop, stopped) = watch::channel(());
        let until = |mut stopped: watch::Receiver<()>| async move {
            // Never changes: ends when the sender is dropped.
            let _ = stopped.changed().await;
        };
        let public = api::serve_tcp(
            tcp,
            api::health::router(view.clone()),
            until(stopped.clone()),
        );
        let admin = api::serve_unix(unix, api::admin::router(state), until(stopped));
        let api_tasks = vec![tokio::spawn(public), tokio::spawn(admin)];
        Ok((view, api, admin_file, api_stop, api_tasks))
    }

    /// The one line that says that every socket is open, with the real ports.
    fn ready_line(&self) -> String {
        let sip: Vec<String> = self
            .server
            .sip
            .iter()
            .map(|address| format!("udp:{address}"))
            .collect();
        format!(
            "callmask ready: sip {}, api http://{}, store {}",
            sip.join(" "),
            self.api,
            self.store.display()
        )
    }

    /// Serves until the first signal, then stops.
    async fn run(mut self, signals: &mut mpsc::Receiver<()>) -> Result<(), ServeError> {
        let lost = tokio::select! {
            _ = signals.recv() => false,
            () = self.server.shard_gone() => true,
        };
        self.view.drain();
        let stopped = if lost {
            None
        } else {
            tracing::info!(
                "draining: new calls get 503, {} live calls have {} s to end; a second signal \
                 ends them at once",
                self.server.calls.count(),
                self.patience.drain.as_secs(),
            );
            let status = &mut self.server.status;
            Some(stop::stop(&self.server.wishes, status, self.patience, signals).await)
        };
        // The administrator's socket works until the calls are over; nothing may be under way
        // when the store is closed.
        drop(self.api_stop);
        for mut task in self.api_tasks {
            if tokio::time::timeout(API_PATIENCE, &mut task).await.is_err() {
                task.abort();
            }
        }
        if let Err(error) = self.admin_file.remove() {
            tracing::warn!("the admin socket's file could not be removed: {error}");
        }
        self.server.close().await?;
        match stopped {
            None => return Err(ServeError::ShardGone),
            Some(Stopped::Drained) => tracing::info!("stopped; every call had ended"),
            Some(Stopped::Ended) => tracing::info!("stopped; the last calls were ended by us"),
            Some(Stopped::GivenUp { calls }) => tracing::warn!(
                "stopped with {calls} calls up; they are recorded as interrupted at the next start"
            ),
        }
        Ok(())
    }
}

/// Sends one item for each SIGTERM or SIGINT from now on. A SIGHUP, as a log rotation or a closing
/// terminal sends it, changes nothing: left to the kernel it would end every call without a BYE.
fn forward_signals(signals: mpsc::Sender<()>) -> Result<(), ServeError> {
    let refused = |error| ServeError::System {
        what: "signal handlers",
        error,
    };
    let mut term = signal(SignalKind::terminate()).map_err(refused)?;
    let mut int = signal(SignalKind::interrupt()).map_err(refused)?;
    let mut hup = signal(SignalKind::hangup()).map_err(refused)?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                _ = hup.recv() => {
                    tracing::warn!(
                        "SIGHUP changes nothing: the configuration is read at the start; send \
                         SIGTERM and start again to use a new one"
                    );
                    continue;
                }
            }
            // A full queue holds more than anyone acts on.
            let _ = signals.try_send(());
        }
    });
    Ok(())
}
