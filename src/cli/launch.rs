//! From an operator's settings to a running server, and the lines that say where it is.
//!
//! What is printed to standard error is an interface: one line for each listener, then
//! `ringwire: ready`.

use std::sync::{Arc, Mutex};

use super::effective::Effective;
use super::engine_args::EngineArgs;
use super::log::Log;
use super::reload::Reread;
use super::settings::HANG_VARIABLE;
use super::{CliError, show_warnings};
use crate::base::ShardId;
use crate::control::listen::AdminAddr;
use crate::handler::Handler;
use crate::ring::{ListenAddr, Listener, take_inherited};
use crate::server::config::Config;
use crate::server::host::HostMemory;
use crate::server::plan::{Plan, Size};
use crate::server::{Running, Server, ServerError};

/// Runs a server until it is told to end.
pub fn launch<H, F>(args: &EngineArgs, defaults: Config, make: F) -> Result<(), CliError>
where
    H: Handler,
    F: Fn(&Config, ShardId) -> H + Send + Sync + 'static,
{
    let memory = HostMemory::read();
    let memory_bytes = memory.map(|memory| memory.limit_bytes());
    let (settings, effective) =
        Effective::load(args, &defaults, memory_bytes, std::env::vars_os())?;
    let log = Log::start(&effective.log, effective.log_format)?;
    show_warnings(&settings);
    let plan = Plan::of(&effective.config);
    eprintln!("ringwire: memory plan: {plan}");
    if let Some(memory) = memory
        && let Err(too_large) = plan.check(&memory)
    {
        if !effective.allow_overcommit {
            return Err(CliError::usage(too_large));
        }
        let sizes = (Size(too_large.plan_bytes), Size(too_large.memory_bytes));
        eprintln!("ringwire: warning: the limits allow {} of {} of memory", sizes.0, sizes.1);
    }
    let mut config = effective.config.clone();
    let inherited = take_inherited().map_err(CliError::runtime)?;
    use_inherited(&mut config, inherited, settings.server.listen.is_some())?;
    config.hang_while_exists = std::env::var_os(HANG_VARIABLE).map(Into::into);
    let source = Reread {
        args: args.clone(),
        defaults,
        memory,
        connections_most: config.connections_max,
        running: Arc::new(Mutex::new(effective)),
        log,
    };
    let seen = config.clone();
    let builder = Server::builder().config(config).reload_from(Arc::new(source));
    let running = builder.handler(move |shard| make(&seen, shard)).start();
    let running = running.map_err(server_error)?;
    announce(&running);
    running.wait().map_err(server_error)
}

/// What the service manager listens on stands for addresses that are not set, and for those among
/// the set ones that it has; the others are bound beside.
fn use_inherited(
    config: &mut Config,
    inherited: Vec<Listener>,
    is_listen_set: bool,
) -> Result<(), CliError> {
    if !inherited.is_empty() && !is_listen_set {
        config.listen.clear();
    }
    for listener in inherited {
        let addr = listener.local_addr().map_err(CliError::runtime)?;
        config.listen.retain(|wanted| *wanted != addr);
        config.inherited.push(Arc::new(listener));
    }
    Ok(())
}

fn server_error(error: ServerError) -> CliError {
    match error {
        ServerError::Config(_) | ServerError::Environment(_) => CliError::usage(error),
        ServerError::Listen { .. } | ServerError::Kernel { .. } => CliError::runtime(error),
    }
}

fn announce(running: &Running) {
    for warning in running.warnings() {
        eprintln!("ringwire: warning: {warning}");
    }
    for addr in running.local_addrs() {
        match addr {
            ListenAddr::Tcp(addr) => eprintln!("ringwire: listening on ws://{addr}"),
            ListenAddr::Unix(path) => eprintln!("ringwire: listening on unix:{}", path.display()),
        }
    }
    match running.admin_addr() {
        Some(AdminAddr::Tcp(addr)) => eprintln!("ringwire: admin on http://{addr}"),
        Some(AdminAddr::Unix(path)) => eprintln!("ringwire: admin on unix:{}", path.display()),
        None => {}
    }
    eprintln!("ringwire: ready");
}
