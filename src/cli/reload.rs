//! Where a running server's configuration is read anew: the same flags, environment and file.
//!
//! Owns what is in force. Invariant F1: it changes only when the shards have it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::effective::Effective;
use super::engine_args::EngineArgs;
use super::keys::KEYS;
use super::log::Log;
use crate::control::reload::{Candidate, Change, Source};
use crate::server::Config;
use crate::server::host::HostMemory;
use crate::server::plan::Plan;

/// See the module's header.
pub(super) struct Reread {
    pub(super) args: EngineArgs,
    pub(super) defaults: Config,
    pub(super) memory: Option<HostMemory>,
    /// What the tables were sized for.
    pub(super) connections_most: u32,
    pub(super) running: Arc<Mutex<Effective>>,
    pub(super) log: Log,
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").field("args", &self.args).finish_non_exhaustive()
    }
}

impl Source for Reread {
    fn read(&self) -> Result<Candidate, String> {
        let memory_bytes = self.memory.map(|memory| memory.limit_bytes());
        let environment = std::env::vars_os();
        let (_, wanted) = Effective::load(&self.args, &self.defaults, memory_bytes, environment)
            .map_err(|error| error.to_string())?;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let next = taken_over(&running, &wanted, self.connections_most);
        next.config
            .check()
            .map_err(|error| format!("{error}; it would fit together with what needs a restart"))?;
        if let Some(memory) = self.memory.filter(|_| !next.allow_overcommit) {
            Plan::of(&next.config).check(&memory).map_err(|error| error.to_string())?;
        }
        let (running_in, log) = (Arc::clone(&self.running), self.log.clone());
        let in_force = next.clone();
        Ok(Candidate {
            tuning: Arc::new(next.config.tuning()),
            in_force: next.config.in_force(),
            applied: differences(&running, &next),
            needs_restart: differences(&next, &wanted),
            commit: Box::new(move || {
                if let Err(error) = log.set_filter(&in_force.log) {
                    tracing::error!(%error, "the filter of the log stays as it was");
                }
                *running_in.lock().unwrap_or_else(PoisonError::into_inner) = in_force;
            }),
        })
    }
}

/// What is in force with all of what is wanted that can change now.
fn taken_over(running: &Effective, wanted: &Effective, connections_most: u32) -> Effective {
    Effective {
        config: running.config.with_live_of(&wanted.config, connections_most),
        log: wanted.log.clone(),
        log_format: running.log_format,
        allow_overcommit: wanted.allow_overcommit,
    }
}

fn differences(before: &Effective, after: &Effective) -> Vec<Change> {
    let change = |[key, from, to]: [String; 3]| Change { key, from, to };
    KEYS.iter().filter_map(|key| key.difference(before, after)).map(change).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file;
    use super::super::keys::{Form, Reload};
    use super::*;

    fn effective(text: &str) -> Effective {
        let settings = file::parse(Path::new("r.toml"), text).unwrap();
        Effective::of(&settings, Config { shards: 2, ..Config::default() }, None).unwrap()
    }

    /// A file that sets this key to something else than its default.
    fn other_than_default(path: &str) -> String {
        let (table, name) = path.rsplit_once('.').unwrap();
        let value = match path {
            "server.listen" => "[\"127.0.0.1:7001\"]",
            "server.admin" => "\"none\"",
            "server.shards" => "3",
            "server.log" => "\"debug\"",
            "server.log_format" => "\"json\"",
            "server.unix_mode" => "\"0600\"",
            "server.allow_overcommit" | "compression.enabled" => "true",
            "compression.level" => "9",
            "compression.ratio_max" => "100",
            "compression.server_window_bits" | "compression.client_window_bits" => "10",
            "slow_consumer.default" => "\"conflate\"",
            "namespaces.NAME.slow_consumer" => "\"drop_oldest\"",
            "limits.recv_buffers" => "512",
            "limits.egress_bytes_max"
            | "limits.egress_total_bytes_max"
            | "limits.ingress_total_bytes_max" => "536_870_000",
            _ => "2_000",
        };
        let wide = if path == "limits.egress_bytes_max" {
            "egress_total_bytes_max = 1_073_741_824\n"
        } else {
            ""
        };
        format!("[{table}]\n{name} = {value}\n{wide}")
    }

    /// The catalog's promise of what a reload changes is what a reload changes.
    #[test]
    fn every_key_changes_when_the_catalog_says_so() {
        let running = effective("");
        for key in KEYS {
            let wanted = effective(&other_than_default(&key.path()));
            assert!(key.difference(&running, &wanted).is_some(), "{} is the same", key.path());
            let next = taken_over(&running, &wanted, 10_000);
            let is_applied = key.difference(&running, &next).is_some();
            assert_eq!(is_applied, key.reload == Reload::Live, "{}", key.path());
            let is_left = key.difference(&next, &wanted).is_some();
            assert_eq!(is_left, key.reload == Reload::Restart, "{}", key.path());
        }
        let namespaces = KEYS.iter().find(|key| matches!(key.form, Form::NamespacePolicies(_)));
        let wanted = effective("[namespaces.a]\nslow_consumer = \"conflate\"");
        let [key, from, to] = namespaces.unwrap().difference(&running, &wanted).unwrap();
        assert_eq!(
            (key.as_str(), from.as_str(), to.as_str()),
            ("namespaces.NAME.slow_consumer", "", "a=conflate")
        );
    }

    #[test]
    fn more_connections_than_the_tables_hold_need_a_restart() {
        let running = effective("");
        let wanted = effective("[server]\nmax_connections = 20_000");
        let next = taken_over(&running, &wanted, 10_000);
        assert_eq!(differences(&running, &next), []);
        let left = differences(&next, &wanted);
        assert_eq!(left[0].to_string(), "server.max_connections = 20000 (was 10000)");
        let fewer = effective("[server]\nmax_connections = 5");
        let next = taken_over(&running, &fewer, 10_000);
        assert_eq!(differences(&next, &fewer), []);
        assert_eq!(taken_over(&next, &wanted, 10_000).config.connections_max, 10_000);
    }
}
