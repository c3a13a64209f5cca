//! Made-up measurements for the unit tests.

use ringwire::bench::report::Machine;

use super::results::{Described, Measured, Results, Sample};

/// A row: for each server, one number per round. It is the rate, and the memory of a connection;
/// processor time and latency follow from it.
pub(crate) fn measured(row: &str, servers: &[(&str, &[f64])]) -> Measured {
    let sample = |server: &str, round: usize, value: f64| Sample {
        server: server.to_owned(),
        round: round as u32,
        per_second: value,
        p50_us: Some(1e6 / value),
        p99_us: Some(2e6 / value),
        p99_9_us: Some(3e6 / value),
        max_us: Some(9e6 / value),
        cpu_us: Some(1e6 / value),
        memory_bytes: Some(10 << 20),
        memory_bytes_per_connection: Some(value),
        ..Sample::default()
    };
    let samples = servers.iter().flat_map(|(server, values)| {
        values.iter().enumerate().map(move |(round, value)| sample(server, round, *value))
    });
    Measured {
        row: row.to_owned(),
        started_unix_ms: 1_790_000_000_000,
        command: "cargo bench --bench compare -- --write".into(),
        revision: Some("abc1234".into()),
        seconds: 5.0,
        warmup: 1.0,
        rounds: servers.iter().map(|(_, values)| values.len()).max().unwrap_or(0) as u32,
        load_average: 0.25,
        scheduled_per_second: (row == "open-loop").then_some(150_000.0),
        samples: samples.collect(),
    }
}

/// All of it, on a made-up machine.
pub(crate) fn results(rows: &[Measured]) -> Results {
    let mut servers: Vec<Described> = Vec::new();
    for sample in rows.iter().flat_map(|row| &row.samples) {
        if !servers.iter().any(|server| server.name == sample.server) {
            let (name, label) = (sample.server.clone(), sample.server.clone());
            servers.push(Described { name, label, version: Some("1.2.3".into()) });
        }
    }
    let machine = Machine {
        kernel: "6.18.0".into(),
        cpu: "Made up".into(),
        cores: 2,
        memory_bytes: 24 << 30,
    };
    Results { machine, servers, rows: rows.to_vec() }
}
