//! Reading the configuration anew while the server runs.
//!
//! Owns the order of things; where a configuration comes from is the business of a [`Source`].
//! Invariants: L1 one reload at a time; L2 a configuration that can't be taken whole changes
//! nothing; L3 the answer comes when every shard has the new values.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::bridge::{Bridge, InForce, Refused};
use crate::pubsub::tuning::Tuning;

/// Where a configuration comes from.
pub trait Source: fmt::Debug + Send + Sync {
    /// Reads it and compares it with what is in force. May block. The error says what is wrong.
    fn read(&self) -> Result<Candidate, String>;
}

/// A configuration that was read and found sound.
pub struct Candidate {
    /// What the shards get.
    pub tuning: Arc<Tuning>,
    /// What the control plane goes by.
    pub in_force: InForce,
    /// What changes now.
    pub applied: Vec<Change>,
    /// What would change only at the next start.
    pub needs_restart: Vec<Change>,
    /// Called when it is in force.
    pub commit: Box<dyn FnOnce() + Send>,
}

/// A key with another value than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its path in the file.
    pub key: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
}

/// What a reload has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What is in force now.
    pub applied: Vec<Change>,
    /// What is not, because only a start can change it.
    pub needs_restart: Vec<Change>,
}

/// Why nothing was reloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadFault {
    /// There is nothing to read anew.
    NoSource,
    /// What was read is wrong.
    Rejected(String),
    /// The shards could not be told.
    Refused(Refused),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} (was {})", self.key, self.to, self.from)
    }
}

impl fmt::Display for ReloadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadFault::NoSource => f.write_str("this server has no configuration to read anew"),
            ReloadFault::Rejected(problem) => f.write_str(problem),
            ReloadFault::Refused(refused) => f.write_str(refused.message()),
        }
    }
}

impl Bridge {
    /// Reads the configuration anew and puts it in force; says in the log and counts what came of
    /// it.
    pub async fn reload(&self) -> Result<Outcome, ReloadFault> {
        let outcome = self.reload_once().await;
        let counter = match &outcome {
            Ok(_) => &self.state.reloads_ok,
            Err(_) => &self.state.reloads_failed,
        };
        counter.fetch_add(1, Relaxed);
        tell(&outcome);
        outcome
    }

    async fn reload_once(&self) -> Result<Outcome, ReloadFault> {
        let source = self.source.clone().ok_or(ReloadFault::NoSource)?;
        let _turn = self.reloading.lock().await;
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let read = read.unwrap_or_else(|_| Err("reading it failed".to_owned()));
        let candidate = read.map_err(ReloadFault::Rejected)?;
        let Candidate { tuning, in_force, applied, needs_restart, commit } = candidate;
        let told = match self.retune(tuning) {
            Ok(pending) => pending.answer().await.and_then(|answer| answer),
            Err(refused) => Err(refused),
        };
        match told {
            // A shard that is late has the order in its queue: it will be in force.
            Ok(()) | Err(Refused::NoAnswer) => {
                self.state.put_in_force(in_force);
                commit();
            }
            Err(
                Refused::Overloaded
                | Refused::LimitExceeded
                | Refused::TooLarge
                | Refused::Unavailable,
            ) => {}
        }
        told.map_err(ReloadFault::Refused)?;
        Ok(Outcome { applied, needs_restart })
    }
}

fn tell(outcome: &Result<Outcome, ReloadFault>) {
    match outcome {
        Ok(Outcome { applied, needs_restart }) => {
            let changed = match applied.as_slice() {
                [] => "nothing".to_owned(),
                some => some.iter().map(Change::to_string).collect::<Vec<_>>().join("; "),
            };
            tracing::info!(changed, "the configuration is reloaded");
            for Change { key, from, to } in needs_restart {
                tracing::warn!(key, running = from, configured = to, "restart to apply");
            }
        }
        Err(ReloadFault::Refused(Refused::NoAnswer)) => tracing::error!(
            "the configuration is reloaded, but a shard that stands still does not have it yet"
        ),
        Err(fault) => tracing::error!(
            "the configuration is not reloaded, the present one stays in force: {fault}"
        ),
    }
}
