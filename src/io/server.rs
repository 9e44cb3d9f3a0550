//! The server without its API: store, call log, media plane, SIP sockets and the shard's thread,
//! opened in an order that leaves nothing half done when a step fails, and closed in reverse.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use crate::config::{Capacity, Config, Resolved, Strangers, raise_descriptor_limit};
use crate::io::admission::{Gate, TrunkLimits};
use crate::io::calls::{LiveCalls, Wishes};
use crate::io::clock::{Clock, wall_ms};
use crate::io::door::Door;
use crate::io::metrics::Counters;
use crate::io::shard::{Parts, Shard, Status};
use crate::io::targets::{self, TargetError};
use crate::io::udp::Bound;
use crate::io::world::{Resources, ServerWorld};
use crate::media::{MediaConfig, Plane, SocketsPlane};
use crate::sip::Transport;
use crate::store::call_log::{AuditEntry, CallLog};
use crate::store::{self, CommittedChange, OpenReport, Options, Store};
use crate::switch::Switch;
use crate::switch::settings::{Listener, Settings};

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system's limits cannot be read or raised.
    #[error("cannot raise the limit of open files: {0}")]
    Limit(io::Error),
    /// The port range needs more descriptors than there are.
    #[error(transparent)]
    Capacity(#[from] crate::config::capacity::TooFewDescriptors),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The call log.
    #[error(transparent)]
    CallLog(#[from] store::call_log::Error),
    /// The media plane.
    #[error(transparent)]
    Media(#[from] crate::media::Error),
    /// A trunk's target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A socket.
    #[error("cannot listen on {what}: {error}; is the address this machine's and the port free?")]
    Listen {
        /// Which, with its transport.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// The admin socket.
    #[error(transparent)]
    AdminSocket(#[from] crate::io::admin_socket::AdminSocketError),
    /// Random bytes, threads, signals.
    #[error("the system refused {what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// The signalling thread has ended by itself.
    #[error("the signalling thread ended unexpectedly; see the log")]
    ShardGone,
}

/// A server whose SIP and media sockets are open.
pub struct Server {
    /// Allocations, ExoPhones, accounts.
    pub store: Store,
    /// Records.
    pub call_log: CallLog,
    /// Calls that are up.
    pub calls: Arc<LiveCalls>,
    /// What may be asked of the shard.
    pub wishes: Arc<Wishes>,
    /// What the shell counts.
    pub counters: Arc<Counters>,
    /// The media plane.
    pub plane: Arc<dyn Plane>,
    /// How the shard is.
    pub status: watch::Receiver<Status>,
    /// The SIP sockets with their real ports, in configured order.
    pub sip: Vec<SocketAddr>,
    shard: JoinHandle<()>,
    sweeper: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens everything but the API. What was opened is closed again when a later step fails.
    pub async fn start(config: &Config) -> Result<Server, ServeError> {
        tell_capacity(config)?;
        let (store, call_log) = open_store(config)?;
        let calls: Arc<LiveCalls> = Arc::default();
        let wishes: Arc<Wishes> = Arc::default();
        let counters: Arc<Counters> = Arc::default();

        let mut bound = Vec::with_capacity(config.sip.listen.len());
        for address in &config.sip.listen {
            bound.push(Bound::bind(*address).map_err(|error| ServeError::Listen {
                what: format!("udp:{address}"),
                error,
            })?);
        }
        let sip: Vec<SocketAddr> = bound.iter().map(Bound::local).collect();
        if config.trunks.is_empty() {
            tracing::warn!(
                "no [[trunk]] is configured: every SIP message is dropped until there is one"
            );
        }
        let settings = settings(config, &sip).await?;

        let (sink, events) = mpsc::unbounded_channel();
        let plane: Arc<dyn Plane> = Arc::new(SocketsPlane::start(
            media_config(config),
            // After the shard has gone nobody is interested.
            Box::new(move |event| drop(sink.send(event))),
        )?);
        let limits: Vec<TrunkLimits> = config
            .trunks
            .iter()
            .map(|t| TrunkLimits {
                max_calls: t.max_calls,
                max_cps: t.max_cps,
            })
            .collect();
        let resources = Resources {
            plane: plane.clone(),
            call_log: call_log.clone(),
        };
        let world = ServerWorld {
            directory: store.directory(),
            gate: Arc::new(Gate::new(
                &limits,
                config.announcement.max_concurrent,
                resources,
            )),
            plane: plane.clone(),
            call_log: call_log.clone(),
            calls: calls.clone(),
        };
        let door = Door::new(
            Arc::new(settings.clone()),
            config.sip.strangers == Strangers::Reject,
            random()?,
            counters.clone(),
        );
        let machine = Switch::new(settings, random()?);
        let (told, status) = watch::channel(Status::default());
        let parts = {
            let (wishes, counters) = (wishes.clone(), counters.clone());
            move |endpoints| Parts {
                machine,
                world,
                endpoints,
                door,
                clock: Clock::start(),
                events,
                wishes,
                status: told,
                counters,
            }
        };
        let shard = spawn_shard(bound, parts)?;
        let sweeper = tokio::spawn(crate::io::sweep::sweep(store.clone()));
        Ok(Server {
            store,
            call_log,
            calls,
            wishes,
            counters,
            plane,
            status,
            sip,
            shard,
            sweeper,
        })
    }

    /// Completes when the shard's thread has ended though nobody asked it to.
    pub async fn shard_gone(&self) {
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }

    /// Closes everything, the shard first: when this returns, all records are on disk. Calls
    /// that are still up are recorded as interrupted at the next start.
    pub async fn close(self) -> Result<(), ServeError> {
        self.sweeper.abort();
        self.wishes.stop();
        let blocking = tokio::task::spawn_blocking(move || {
            let shard = self.shard.join();
            self.plane.close();
            let logged = self.call_log.close();
            self.store.close();
            if shard.is_err() {
                return Err(ServeError::ShardGone);
            }
            Ok(logged?)
        });
        blocking.await.unwrap_or(Err(ServeError::ShardGone))
    }
}

fn tell_capacity(config: &Config) -> Result<(), ServeError> {
    let limit = raise_descriptor_limit().map_err(ServeError::Limit)?;
    let capacity = Capacity::of(config, limit);
    capacity.check()?;
    tracing::info!(
        "room for {} calls at once: {} port pairs allow {}, {} descriptors allow {}",
        capacity.calls(),
        capacity.port_pairs,
        capacity.calls_by_ports,
        capacity.descriptor_limit,
        capacity.calls_by_descriptors,
    );
    Ok(())
}

/// The store first: its lock says that no other server uses the call log, whose opening turns
/// the calls of a dead server into records.
fn open_store(config: &Config) -> Result<(Store, CallLog), ServeError> {
    let log: Arc<OnceLock<CallLog>> = Arc::default();
    let audit = {
        let log = log.clone();
        move |change: &CommittedChange| {
            if let Some(log) = log.get() {
                log.audit(AuditEntry::of(change));
            }
        }
    };
    let options = Options {
        hook: Some(Box::new(audit)),
        ..Options::default()
    };
    let (store, report) = Store::open(&config.store.path, options)?;
    tell_store(&config.store.path, &report);
    let (call_log, interrupted) = CallLog::open(&config.call_log(), wall_ms())?;
    if interrupted > 0 {
        tracing::warn!(
            "{interrupted} calls were up when the server stopped last; each has a record now, \
             with cause interrupted"
        );
    }
    // It was empty: nobody else has this cell.
    let _ = log.set(call_log.clone());
    Ok((store, call_log))
}

fn tell_store(folder: &Path, report: &OpenReport) {
    if let Some(restored) = &report.restored {
        let kept = restored.kept.as_ref().map_or_else(
            || "nothing was there to keep".to_owned(),
            |kept| format!("the damaged folder is kept in {}", kept.display()),
        );
        tracing::error!(
            "THE STORE WAS DAMAGED ({}). It was restored from {} as of revision {}; changes after \
             that are LOST; {kept}",
            restored.why,
            restored.export.display(),
            restored.revision,
        );
    }
    for row in &report.unreadable {
        tracing::error!("a row of the store cannot be read and takes no part in routing: {row}");
    }
    for problem in &report.problems {
        tracing::error!("the store contradicts itself: {problem}");
    }
    tracing::info!(
        "store {} at revision {}: {} ExoPhones, {} allocations, {} of them active{}",
        folder.display(),
        report.revision,
        report.exophones,
        report.allocations,
        report.active,
        if report.created { " (new)" } else { "" },
    );
}

async fn settings(config: &Config, sip: &[SocketAddr]) -> Result<Settings, ServeError> {
    let targets = targets::resolve(config, sip).await?;
    let listeners = sip
        .iter()
        .map(|local| Listener {
            transport: Transport::Udp,
            local: *local,
            advertised: config.advertised(*local),
        })
        .collect();
    Ok(config.settings(Resolved { listeners, targets }))
}

fn media_config(config: &Config) -> MediaConfig {
    let media = &config.media;
    MediaConfig {
        addresses: media
            .listen
            .iter()
            .map(|bind| (*bind, media.advertise.unwrap_or(*bind)))
            .collect(),
        ports: media.first_port..=media.last_port,
        quarantine_ms: u64::from(media.quarantine_ms),
        default_announcement: config.announcement.file.clone(),
        // Relative paths count from the configuration file's folder.
        announcement_folder: config
            .file
            .as_deref()
            .and_then(Path::parent)
            .map_or_else(|| PathBuf::from("."), Path::to_owned),
        ringback_country_code: config.sip.plan.country_code().to_owned(),
    }
}

/// Random bytes from the kernel: keys and seeds.
fn random<const N: usize>() -> Result<[u8; N], ServeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| ServeError::System {
        what: "random bytes",
        error: io::Error::other(error),
    })?;
    Ok(bytes)
}

/// The shard has a thread and a small runtime of its own, so that no API request can ever stand
/// in front of a SIP message.
fn spawn_shard(
    bound: Vec<Bound>,
    parts: impl FnOnce(Vec<crate::io::udp::Endpoint>) -> Parts<Switch, ServerWorld> + Send + 'static,
) -> Result<JoinHandle<()>, ServeError> {
    let refused = |error| ServeError::System {
        what: "a thread for the signalling",
        error,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(refused)?;
    let endpoints = {
        let _inside = runtime.enter();
        let opened: io::Result<Vec<_>> = bound.into_iter().map(Bound::open).collect();
        opened.map_err(refused)?
    };
    std::thread::Builder::new()
        .name("shard-0".into())
        .spawn(move || runtime.block_on(Shard::new(parts(endpoints)).run()))
        .map_err(refused)
}
