//! What was measured, as data: `docs/benchmarks/results.json`. The document is made of this alone.

use std::fs;
use std::path::{Path, PathBuf};

use ringwire::bench::report::{Machine, Report, Scenario};
use serde::{Deserialize, Serialize};

use super::Failure;
use super::rows::ROWS;

/// Everything that the document shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Where all of it was measured.
    pub(crate) machine: Machine,
    /// Who was compared.
    pub(crate) servers: Vec<Described>,
    /// In the order of the document.
    pub(crate) rows: Vec<Measured>,
}

/// A server, for the reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) version: Option<String>,
}

/// A row, as it was measured at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) row: String,
    pub(crate) started_unix_ms: u64,
    pub(crate) command: String,
    /// The commit of Ringwire.
    pub(crate) revision: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    pub(crate) rounds: u32,
    /// Of the minute before the first run.
    pub(crate) load_average: f64,
    /// Messages per second that were sent, where there was a schedule.
    pub(crate) scheduled_per_second: Option<f64>,
    pub(crate) samples: Vec<Sample>,
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) server: String,
    pub(crate) round: u32,
    /// What was wrong; nothing, if the figures may be used.
    pub(crate) faults: Vec<String>,
    /// Messages received, or connections opened.
    pub(crate) per_second: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p99_9_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
    /// Processor time of the server for each of these.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_bytes_per_connection: Option<f64>,
    /// The part of the machine's time that its host gave to others.
    pub(crate) stolen: f64,
}

impl Sample {
    /// What the load generator reported.
    pub(crate) fn of(server: &str, round: u32, report: &Report) -> Sample {
        let latency = report.latency_us;
        let per_second = match report.scenario {
            Scenario::Handshake => report.connections.per_second,
            Scenario::Idle | Scenario::Echo | Scenario::Fanout => {
                report.messages.map_or(0.0, |messages| messages.received_per_second)
            }
        };
        let faults = report.faults.iter().map(|fault| {
            format!("{} {}: {}", fault.count, fault.cause.as_str(), fault.cause.meaning())
        });
        let mut faults: Vec<String> = faults.collect();
        if !report.ok() && faults.is_empty() {
            let connections = report.connections;
            faults
                .push(format!("{} of {} connections", connections.established, connections.asked));
        }
        if per_second == 0.0 && report.scenario != Scenario::Idle {
            faults.push("nothing came in the measured time".into());
        }
        Sample {
            server: server.to_owned(),
            round,
            faults,
            per_second,
            p50_us: latency.map(|latency| latency.p50),
            p99_us: latency.map(|latency| latency.p99),
            p99_9_us: latency.map(|latency| latency.p99_9),
            max_us: latency.map(|latency| latency.max),
            cpu_us: report.server.and_then(|server| server.cpu_us_per_message),
            memory_bytes: report.server.map(|server| server.rss_after_bytes),
            memory_bytes_per_connection: report
                .server
                .and_then(|server| server.rss_bytes_per_connection),
            stolen: 0.0,
        }
    }

    /// A run that gave no figures.
    pub(crate) fn failed(server: &str, round: u32, why: String) -> Sample {
        Sample { server: server.to_owned(), round, faults: vec![why], ..Sample::default() }
    }

    /// Whether the figures may be used.
    pub(crate) fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Results {
    /// Runs that were not good.
    pub(crate) fn faults(&self) -> usize {
        let samples = self.rows.iter().flat_map(|row| &row.samples);
        samples.filter(|sample| !sample.is_good()).count()
    }

    /// The rows of a newer measurement take the place of these; other rows stay, unless they were
    /// measured on another machine.
    pub(crate) fn updated_by(self, newer: Results) -> Results {
        if self.machine != newer.machine {
            return newer;
        }
        let Results { machine, mut servers, mut rows } = newer;
        let is_old = |row: &Measured| !rows.iter().any(|newer| newer.row == row.row);
        let old: Vec<Measured> = self.rows.into_iter().filter(is_old).collect();
        rows.extend(old);
        let place = |row: &Measured| ROWS.iter().position(|known| known.id == row.row);
        rows.retain(|row| place(row).is_some());
        rows.sort_by_key(place);
        for server in self.servers {
            let takes_part = || {
                let mut samples = rows.iter().flat_map(|row| &row.samples);
                samples.any(|sample| sample.server == server.name)
            };
            if !servers.iter().any(|newer| newer.name == server.name) && takes_part() {
                servers.push(server);
            }
        }
        Results { machine, servers, rows }
    }

    /// What an earlier measurement has left.
    pub(crate) fn load() -> Result<Option<Results>, Failure> {
        let path = path();
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|error| said(&path, error))?;
        serde_json::from_str(&text).map(Some).map_err(|error| said(&path, error))
    }

    pub(crate) fn save(&self) -> Result<(), Failure> {
        let path = path();
        fs::create_dir_all(folder()).map_err(|error| said(&folder(), error))?;
        let mut text = serde_json::to_string_pretty(self).map_err(|error| said(&path, error))?;
        text.push('\n');
        fs::write(&path, text).map_err(|error| said(&path, error))
    }
}

/// Where the document's plots and results are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks")
}

fn path() -> PathBuf {
    folder().join("results.json")
}

pub(crate) fn said(path: &Path, error: impl std::fmt::Display) -> Failure {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::test_data::{measured, results};

    #[test]
    fn newer_rows_replace_older_ones_and_keep_the_order_of_the_document() {
        let servers = |results: &Results| -> Vec<String> {
            results.servers.iter().map(|server| server.name.clone()).collect()
        };
        let old = results(&[
            measured("echo-64", &[("ringwire", &[1.0]), ("bun", &[1.0])]),
            measured("idle", &[("ringwire", &[3.0]), ("ws", &[1.0])]),
        ]);
        let new = results(&[
            measured("fanout-20", &[("ringwire", &[5.0])]),
            measured("echo-64", &[("ringwire", &[2.0])]),
        ]);
        let all = old.clone().updated_by(new.clone());
        let names: Vec<&str> = all.rows.iter().map(|row| row.row.as_str()).collect();
        assert_eq!(names, ["echo-64", "fanout-20", "idle"]);
        assert_eq!(all.rows[0].samples[0].per_second, 2.0);
        assert_eq!(servers(&all), ["ringwire", "ws"], "bun is in no row any more");
        let mut elsewhere = new;
        elsewhere.machine.cpu = "another".into();
        assert_eq!(old.updated_by(elsewhere.clone()), elsewhere);
    }

    #[test]
    fn the_file_gives_back_what_was_written() {
        let all = results(&[measured("echo-64", &[("ringwire", &[1.5, 2.5])])]);
        let text = serde_json::to_string(&all).expect("plain data");
        assert_eq!(serde_json::from_str::<Results>(&text).expect("the same data"), all);
    }
}
