//! The library's way to a server: configure, give a handler, run.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::boot;
use super::config::{Config, ConfigError};
use super::plan::Plan;
use crate::base::ShardId;
use crate::control::event::Event;
use crate::control::listen::AdminAddr;
use crate::control::reload::Source;
use crate::handler::Handler;
use crate::pubsub::policy::SlowConsumer;
use crate::ring::ListenAddr;
use crate::ring::probe::EnvironmentFault;

/// Why a server could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The host does not allow what the configuration asks for.
    #[error(transparent)]
    Environment(#[from] EnvironmentFault),
    /// An address can't be listened on.
    #[error("can't listen on {addr}: {error}")]
    Listen {
        /// The address.
        addr: String,
        /// What the kernel says.
        error: std::io::Error,
    },
    /// The kernel broke a promise after the start.
    #[error("{what}: {error}")]
    Kernel {
        /// What was going on.
        what: &'static str,
        /// What the kernel says.
        error: std::io::Error,
    },
}

/// Entry to the library.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// A server with the default configuration, but listening nowhere yet.
    pub fn builder() -> ServerBuilder {
        let config = Config { listen: Vec::new(), ..Config::default() };
        ServerBuilder { config, source: None }
    }
}

/// A server that is being configured.
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    config: Config,
    source: Option<Arc<dyn Source>>,
}

impl ServerBuilder {
    /// Uses this configuration instead of what was set so far.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Listens on a TCP address too; port 0 lets the kernel choose.
    pub fn listen(mut self, addr: std::net::SocketAddr) -> Self {
        self.config.listen.push(ListenAddr::Tcp(addr));
        self
    }

    /// Listens on a Unix socket too.
    pub fn listen_unix(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.config.listen.push(ListenAddr::Unix(path.into()));
        self
    }

    /// Serves the admin interface.
    pub fn admin(mut self, addr: AdminAddr) -> Self {
        self.config.admin = Some(addr);
        self
    }

    /// Sets the number of shards; the default is one for each core.
    pub fn shards(mut self, shards: u16) -> Self {
        self.config.shards = shards;
        self
    }

    /// Sets how many connections there may be.
    pub fn connections_max(mut self, connections_max: u32) -> Self {
        self.config.connections_max = connections_max;
        self
    }

    /// Sets how long a client's message may be, in octets.
    pub fn message_bytes_max(mut self, message_bytes_max: usize) -> Self {
        self.config.message_bytes_max = message_bytes_max;
        self
    }

    /// Sets how much may wait for one connection, in octets.
    pub fn egress_bytes_max(mut self, egress_bytes_max: usize) -> Self {
        self.config.egress_bytes_max = egress_bytes_max;
        self
    }

    /// Sets what becomes of slow consumers, where their namespace says nothing else.
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.config.policies.default = policy;
        self
    }

    /// Sets what becomes of slow consumers of a namespace.
    pub fn namespace(mut self, name: impl Into<String>, policy: SlowConsumer) -> Self {
        self.config.policies.namespaces.insert(name.into(), policy);
        self
    }

    /// Sets the silence after which a ping is sent, and the time for its answer, in milliseconds.
    pub fn heartbeat_ms(mut self, interval_ms: u64, timeout_ms: u64) -> Self {
        self.config.heartbeat_interval_ms = interval_ms;
        self.config.heartbeat_timeout_ms = timeout_ms;
        self
    }

    /// Sets how a drain goes: connections that are told to go in a second, and the time after which
    /// the server ends whoever is left, in milliseconds.
    pub fn drain(mut self, rate_per_s: u32, timeout_ms: u64) -> Self {
        self.config.drain_rate_per_s = rate_per_s;
        self.config.drain_timeout_ms = timeout_ms;
        self
    }

    /// Whether SIGTERM, SIGINT and SIGUSR2 drain the server (they do by default).
    pub fn handles_signals(mut self, handles_signals: bool) -> Self {
        self.config.handles_signals = handles_signals;
        self
    }

    /// Whether the service manager is told how the server is, where `NOTIFY_SOCKET` names one (it
    /// is by default).
    pub fn notifies_manager(mut self, notifies_manager: bool) -> Self {
        self.config.notifies_manager = notifies_manager;
        self
    }

    /// Where the configuration is read anew at SIGHUP and `POST /v1/reload`.
    #[doc(hidden)]
    pub fn reload_from(mut self, source: Arc<dyn Source>) -> Self {
        self.source = Some(source);
        self
    }

    /// Gives the application: `make` is called once on each shard's thread.
    pub fn handler<H, F>(self, make: F) -> Ready<F>
    where
        H: Handler,
        F: Fn(ShardId) -> H + Send + Sync + 'static,
    {
        Ready { config: self.config, source: self.source, make }
    }
}

/// A server that can be started.
pub struct Ready<F> {
    config: Config,
    source: Option<Arc<dyn Source>>,
    make: F,
}

impl<F> Ready<F> {
    /// Starts the server and waits for its end: a signal, or [`Running::shutdown`] from elsewhere.
    pub fn run<H>(self) -> Result<(), ServerError>
    where
        H: Handler,
        F: Fn(ShardId) -> H + Send + Sync + 'static,
    {
        self.start()?.wait()
    }

    /// Starts the server: when this returns, it listens.
    pub fn start<H>(self) -> Result<Running, ServerError>
    where
        H: Handler,
        F: Fn(ShardId) -> H + Send + Sync + 'static,
    {
        boot::start(self.config, self.source, self.make)
    }
}

/// A server that runs. Dropping it shuts the server down and waits for the end.
pub struct Running {
    pub(super) listen: Vec<ListenAddr>,
    pub(super) admin: Option<AdminAddr>,
    pub(super) plan: Plan,
    pub(super) warnings: Vec<String>,
    pub(super) drain: Event,
    pub(super) thread: Option<JoinHandle<Result<(), ServerError>>>,
}

impl Running {
    /// Where it listens, with the ports that the kernel chose.
    pub fn local_addrs(&self) -> &[ListenAddr] {
        &self.listen
    }

    /// Where the admin interface is.
    pub fn admin_addr(&self) -> Option<&AdminAddr> {
        self.admin.as_ref()
    }

    /// The memory that the configuration allows.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What works worse on this host than it could.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Drains the server: no new connections, the present ones are closed with 1001.
    pub fn shutdown(&self) {
        self.drain.raise();
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Result<(), ServerError> {
        join(self.thread.take())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shutdown();
            if let Err(error) = join(self.thread.take()) {
                tracing::error!(%error, "the server ended badly");
            }
        }
    }
}

fn join(thread: Option<JoinHandle<Result<(), ServerError>>>) -> Result<(), ServerError> {
    match thread.map(JoinHandle::join) {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
    }
}
