//! The daemon: built from a configuration, run until a signal.

mod build;
pub(crate) use build::random;

mod listeners;
mod tables;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use haproxy_peers::{Limits, StopProgress};
use parking_lot::Mutex;
use rustix::process::Pid;
use stick_table::{Origins, Table};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use self::build::{places, table_set};
use self::listeners::Bound;
use crate::bind_hint::bind_hint;
use crate::budget::Budget;
use crate::clock::{self, Clock};
use crate::config::{Config, TableEntry};
use crate::durable::StateUsage;
use crate::handover::{Door, Doorkeeper, Identity, Predecessors, Successor};
use crate::peers::{Cluster, ClusterSetup, Places};
use crate::pid_file::PidFile;
use crate::reload::{CommandLine, Reload};
use crate::runtime::{BindError, Context as _, RuntimeUsage, Server, ServerOptions};
use crate::signals::{Request, Signals};
use crate::status::Status;
use crate::supervise::{Failure, Supervisor};
use crate::{notify, state, sweeper};

/// How often a stopping process says to the next one that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How often a stopping process looks whether the next one has everything.
const HAND_OVER_TICK: Duration = Duration::from_millis(10);
/// A stopping process ends when the next one takes nothing for this long.
const HAND_OVER_STALL: Duration = Duration::from_secs(60);

/// What a process is started with besides its configuration.
#[derive(Default)]
pub struct Start<'a> {
    /// Processes that hand over to this one.
    pub predecessors: Predecessors,
    /// Where to write the process id.
    pub pid_file: Option<&'a Path>,
    /// How a process is started that takes over from this one; SIGUSR2 is refused without.
    pub reload: Option<CommandLine>,
}

/// All tables of the configuration and the clusters that share them.
pub struct Daemon {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    /// Every configured table in declaration order.
    pub(crate) tables: Vec<Arc<Table>>,
    pub(crate) clusters: Vec<Arc<Cluster>>,
    /// Places for connections that peers open.
    pub(crate) places: Arc<Places>,
    /// What the runtime API has of its connections.
    pub(crate) runtime: Arc<RuntimeUsage>,
    pub(crate) stopping: AtomicBool,
    supervisor: Supervisor,
    pub(crate) started: std::time::SystemTime,
    /// What there is to show of tables on disk.
    pub(crate) state: OnceLock<Arc<StateUsage>>,
    /// The memory that all limits allow.
    pub(crate) budget: Budget,
}

impl Daemon {
    /// Builds tables and clusters, whose tasks are the supervisor's; nothing is bound or connected.
    ///
    /// # Errors
    /// When a TLS file cannot be loaded, or a table or a name cannot be.
    pub fn new(config: Config, expects_predecessor: bool, supervisor: Supervisor) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let mut tables = HashMap::new();
        let entries = config.sections.iter().flat_map(|section| &section.tables).chain(&config.local_tables);
        for TableEntry { definition, .. } in entries {
            let table = Arc::new(Table::new(definition.clone(), random())?);
            tables.insert(definition.name.clone(), table);
        }
        let places = Arc::new(places(&config));
        let origins = Origins::shared();
        let mut clusters = Vec::new();
        for section in config.sections.iter().filter(|section| !section.disabled) {
            let name = || format!("section {} {}", section.keyword(), section.name);
            let set = table_set(section, &tables, &config).with_context(name)?;
            let setup = ClusterSetup {
                config: section.clone(),
                tables: Arc::new(set.with_origins(Arc::clone(&origins))),
                limits: Limits {
                    buffer_size: config.global.bufsize as usize,
                    max_updates_at_once: config.global.max_updates_at_once as usize,
                    max_server_key: config.global.max_server_key as usize,
                },
                places: Arc::clone(&places),
                source: config.global.source,
                tls: config.tls.clone(),
                expects_predecessor,
                supervisor: supervisor.clone(),
                seed: random(),
            };
            clusters.push(Arc::new(Cluster::new(setup, clock).with_context(name)?));
        }
        let mut tables: Vec<_> = tables.into_values().collect();
        tables.sort_by_key(|table| config.declaration(&table.definition().name));
        let started = std::time::SystemTime::now();
        let (stopping, runtime) = (AtomicBool::new(false), Arc::default());
        let state = OnceLock::new();
        let budget = Budget::new(&config, &clusters);
        Ok(Self {
            config,
            clock,
            tables,
            clusters,
            places,
            runtime,
            stopping,
            supervisor,
            started,
            state,
            budget,
        })
    }

    /// Runs until SIGTERM or SIGINT (at once) or SIGUSR1 (a soft stop, which teaches the next process first). SIGUSR2 starts the
    /// next process, SIGHUP writes the state into the log.
    ///
    /// # Errors
    /// When an address cannot be bound; an old process to take over from goes on then. When a task ended that must not.
    pub async fn run(self, start: Start<'_>) -> anyhow::Result<()> {
        let daemon = Arc::new(self);
        // Everything that can fail comes before the old process is told.
        let mut signals = Signals::listen()?;
        let door = match Door::open() {
            Ok(door) => Some(door),
            Err(error) if start.predecessors.is_empty() => {
                warn!(%error, "no hand-over socket, so -sf of a later process cannot take over from this one: give the unit RuntimeDirectory=stickd");
                None
            }
            Err(error) => return Err(error).context("cannot take over without a hand-over socket"),
        };
        let predecessors: Vec<_> = start.predecessors.pids().into_iter().collect();
        let usage = Arc::clone(&daemon.runtime);
        let options = ServerOptions {
            predecessors: predecessors.clone(),
            usage,
            ..ServerOptions::from(&daemon.config.global)
        };
        let mut server = Server::bind(options).await.map_err(|error| match &error {
            BindError::Bind(name, fault) => {
                let hint = bind_hint(name.starts_with("unix@"), fault, &predecessors);
                anyhow!("the runtime API has no socket: {error}{hint}")
            }
            _ => error.into(),
        })?;
        #[cfg(feature = "http")]
        let mut http = daemon.bind_http(&predecessors).await?;
        // What peers know is newer, so what is kept is read before they can connect.
        let durable = daemon.keep_tables(!predecessors.is_empty()).await?;
        let Bound { mut own, mut shared } = daemon.bind(&predecessors).await?;
        let cannot_write =
            || format!("cannot write {}", start.pid_file.unwrap_or_else(|| Path::new("")).display());
        let mut pid_file = start.pid_file.map(PidFile::prepare).transpose().with_context(cannot_write)?;
        for (listener, _) in own.iter_mut().chain(&mut shared).flatten() {
            listener.publish().context("cannot put a Unix socket of a section at its path")?;
        }
        server.publish()?;
        #[cfg(feature = "http")]
        if let Some(http) = &mut http {
            http.publish()?;
        }
        if let Some(file) = &mut pid_file {
            file.publish().with_context(cannot_write)?;
        }
        let reload = Reload::new(start.reload, daemon.supervisor.clone());
        let mut successors = daemon.answer_door(door, &start.predecessors, reload.successor());
        if !predecessors.is_empty() {
            // Before the old process ends, which the service manager would take for the end of the service.
            notify::manager().takes_over();
        }
        start.predecessors.take_over(daemon.clusters.clone(), &daemon.supervisor).await;
        daemon.log_start();
        for (cluster, listeners) in daemon.clusters.iter().zip(own) {
            cluster.start(listeners);
        }
        for (config, listeners) in daemon.config.global.shared.iter().zip(shared) {
            let served = daemon
                .clusters
                .iter()
                .filter(|cluster| config.sections.iter().any(|name| name == cluster.name()));
            Cluster::serve(served.cloned().collect(), listeners);
        }
        let (stop, mut stopped) = watch::channel(false);
        let status = Arc::new(Status::new(Arc::clone(&daemon)));
        let supervisor = &daemon.supervisor;
        #[cfg(feature = "http")]
        let http = http.map(|http| {
            for address in http.addresses() {
                info!(address, "listening for HTTP");
            }
            supervisor.service("HTTP", http.run(Arc::clone(&status) as _, stopped.clone()))
        });
        let api = server.run(Arc::clone(&status) as _, async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        let api = supervisor.service("runtime API", async {
            if let Err(fault) = api.await {
                error!("the runtime API cannot be served: {fault}");
            }
        });
        let swept = Arc::clone(&daemon);
        supervisor.service(
            "sweep",
            sweeper::sweep(daemon.clock, move || {
                swept.clusters.iter().for_each(|cluster| cluster.look_at_memory());
                notify::manager().works(|| swept.in_words());
                swept.swept_tables()
            }),
        );
        let woken = Arc::clone(&daemon);
        supervisor.service("watch for pauses", clock::watch_pauses(move |pause| woken.resumed(pause)));
        notify::manager().ready();
        let failure = loop {
            tokio::select! {
                request = signals.next() => match request {
                    Request::Stop(signal) => {
                        info!("stopping: {signal}");
                        notify::manager().stopping();
                        reload.cancel();
                        break None;
                    }
                    Request::SoftStop => {
                        info!("soft stop: SIGUSR1");
                        notify::manager().stopping();
                        break daemon.stop_softly(None, &stop, &mut signals).await;
                    }
                    Request::Reload => reload.begin(),
                    Request::Report => state::log_state(&status.view()),
                },
                Some(successor) = successors.recv() => {
                    info!(pid = successor.pid(), "soft stop: another process takes over");
                    break daemon.stop_softly(Some(successor), &stop, &mut signals).await;
                }
                failure = supervisor.failed() => break Some(failure),
            }
        };
        supervisor.stop();
        stop.send_replace(true);
        // Both end within their grace; if one failed, that was said.
        #[cfg(feature = "http")]
        if let Some(http) = http {
            let _ = http.await;
        }
        let _ = api.await;
        if let Some(durable) = durable {
            let _ = tokio::task::spawn_blocking(|| durable.stop()).await;
        }
        drop(pid_file);
        match failure {
            Some(failure) => {
                error!("stopped: {failure}");
                Err(failure.into())
            }
            None => {
                info!("stopped");
                Ok(())
            }
        }
    }

    /// How it goes, for the service manager.
    fn in_words(&self) -> String {
        let tables = self.all_tables();
        let entries: u64 = tables.iter().map(|table| u64::from(table.len())).sum();
        let sessions: usize = self.clusters.iter().map(|cluster| cluster.connections().len()).sum();
        format!("{entries} entries in {} tables, {sessions} connections of peers", tables.len())
    }

    /// The machine was suspended: what was to happen meanwhile is late.
    fn resumed(&self, pause: Duration) {
        let seconds = pause.as_secs();
        warn!(
            "this machine was suspended for {seconds} s: entries that expired meanwhile are gone, and sessions start again"
        );
        self.clusters.iter().for_each(|cluster| cluster.look_at_clock());
    }

    /// Answers the hand-over socket; who takes over comes out of the receiver.
    fn answer_door(
        &self,
        door: Option<Door>,
        predecessors: &Predecessors,
        started: Arc<Mutex<Option<Pid>>>,
    ) -> mpsc::Receiver<Successor> {
        let (ready, successors) = mpsc::channel(1);
        if let Some(door) = door {
            let keeper = Doorkeeper {
                identity: Identity::of(&self.config),
                clusters: self.clusters.clone(),
                predecessors: predecessors.pids(),
                ready,
                successor: Mutex::default(),
                started,
                supervisor: self.supervisor.clone(),
            };
            self.supervisor.service("hand-over socket", door.answer(Arc::new(keeper)));
        }
        successors
    }

    /// Ends in order, unless a signal wants it at once or a task fails.
    async fn stop_softly(
        &self,
        successor: Option<Successor>,
        api: &watch::Sender<bool>,
        signals: &mut Signals,
    ) -> Option<Failure> {
        self.supervisor.stop();
        // The next process answers commands by now; a change made here would come too late for its lesson.
        api.send_replace(true);
        tokio::select! {
            () = self.hand_over(successor) => None,
            signal = signals.stop() => {
                info!("stopping at once: {signal}");
                None
            }
            failure = self.supervisor.failed() => Some(failure),
        }
    }

    /// Says what listens where, before anything happens there.
    fn log_start(&self) {
        info!(pid = std::process::id(), version = env!("CARGO_PKG_VERSION"), "started");
        for cluster in &self.clusters {
            for bind in &cluster.config().local.listeners {
                let (section, address, tls) = (cluster.name(), &bind.address, bind.tls.is_some());
                let from = self.config.sources.place(bind.span);
                info!(section, %address, tls, %from, "listening for peers");
            }
        }
        for shared in &self.config.global.shared {
            let (sections, address) = (shared.sections.join(","), &shared.bind.address);
            let from = self.config.sources.place(shared.bind.span);
            info!(sections, %address, tls = shared.bind.tls.is_some(), %from, "listening for peers");
        }
        for socket in &self.config.global.stats_sockets {
            let from = self.config.sources.place(socket.span);
            info!(address = %socket.address, %from, "listening for runtime commands");
        }
        let budget = &self.budget;
        if budget.is_open {
            info!("the limits allow {budget}, and more: a section has no limit (memory 0)");
        } else {
            info!("the limits allow {budget}");
        }
    }

    /// Teaches the next process, section by section at the same time, until it has everything or there is nobody, or it
    /// takes nothing more.
    async fn hand_over(&self, successor: Option<Successor>) {
        self.stopping.store(true, Ordering::Relaxed);
        let successor = successor.map(Arc::new);
        for cluster in &self.clusters {
            cluster.soft_stop(successor.clone()).await;
        }
        let mut passed = 0;
        let (mut since, mut said_at) = (Instant::now(), None::<Instant>);
        while !self.clusters.iter().all(|cluster| cluster.stop_progress() != StopProgress::Teaching) {
            tokio::time::sleep(HAND_OVER_TICK).await;
            let now_passed: u64 = self.clusters.iter().map(|cluster| cluster.updates_passed()).sum();
            if now_passed != passed {
                (passed, since) = (now_passed, Instant::now());
            } else if since.elapsed() >= HAND_OVER_STALL {
                break;
            }
            if let Some(successor) = &successor
                && said_at.is_none_or(|at| at.elapsed() >= SIGN_OF_LIFE)
            {
                said_at = Some(Instant::now());
                if !successor.says_to_wait().await {
                    self.clusters.iter().for_each(Cluster::successor_is_gone);
                }
            }
        }
        for cluster in &self.clusters {
            let section = cluster.name();
            match cluster.stop_progress() {
                StopProgress::Taught => info!(section, "the next process has everything"),
                StopProgress::Alone => {
                    warn!(
                        section,
                        "no process took over: the peers keep their own entries, and others are lost; start the next process with -sf to keep all"
                    );
                }
                StopProgress::Teaching => {
                    let seconds = HAND_OVER_STALL.as_secs();
                    warn!(
                        section,
                        "the next process took nothing for {seconds} s, and this one ends without it: see its log"
                    );
                }
            }
        }
    }
}
