//! The fuzzer's targets in plain `cargo test`: their corpora, everything that was ever found, and
//! inputs made from these by a generator whose seed is told.
//!
//! `RINGWIRE_FUZZ_SEED` and `RINGWIRE_FUZZ_ROUNDS` choose other ones, and more.

use std::fs;
use std::path::{Path, PathBuf};

use ringwire::base::prng::Prng;

#[allow(unreachable_pub, reason = "what is public there is so for the fuzzer's own crate")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

/// Inputs that are made for each target.
const ROUNDS: u64 = if cfg!(miri) { 4 } else { 2000 };
/// Files of one corpus: they are for reading, and replayed by every build.
const CORPUS_FILES_MAX: usize = 100;
const CORPUS_FILE_BYTES_MAX: usize = 16 * 1024;

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind)
}

/// The files of a target, sorted by name.
fn inputs(kind: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(kind).join(target)) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut files: Vec<_> =
        paths.map(|path| (path.clone(), fs::read(path).expect("a readable file"))).collect();
    files.sort();
    files
}

/// Says which input it was when a target panics.
struct Told<'a>(&'a dyn std::fmt::Display);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input: {}", self.0);
        }
    }
}

fn replay(kind: &str) {
    for (target, check) in targets::TARGETS {
        for (path, octets) in inputs(kind, target) {
            let _told = Told(&path.display());
            check(&octets);
        }
    }
}

#[test]
fn every_corpus_is_replayed() {
    replay("corpus");
}

#[test]
fn everything_that_was_ever_found_is_replayed() {
    replay("regressions");
}

#[test]
fn every_target_has_a_corpus_that_is_small_and_a_binary() {
    for (target, _) in targets::TARGETS {
        let corpus = inputs("corpus", target);
        assert!((1..=CORPUS_FILES_MAX).contains(&corpus.len()), "{target}: {}", corpus.len());
        for (path, octets) in corpus {
            assert!(octets.len() <= CORPUS_FILE_BYTES_MAX, "{}", path.display());
        }
        let binary = folder("fuzz_targets").join(target).with_extension("rs");
        let text = fs::read_to_string(&binary).expect("each target has a binary");
        assert!(text.contains(&format!("run(\"{target}\", octets)")), "{}", binary.display());
    }
    for kind in ["corpus", "regressions"] {
        for entry in fs::read_dir(folder(kind)).expect("a readable folder") {
            let name = entry.expect("a readable folder").file_name();
            let is_known = targets::TARGETS.iter().any(|(target, _)| name == **target);
            assert!(is_known, "{name:?} is no target's");
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn inputs_by_a_generator() {
    let first = variable("RINGWIRE_FUZZ_SEED").unwrap_or(1);
    let rounds = variable("RINGWIRE_FUZZ_ROUNDS").unwrap_or(ROUNDS);
    for (target, _) in targets::TARGETS {
        let seeds: Vec<_> = inputs("corpus", target).into_iter().map(|(_, input)| input).collect();
        for seed in first..first + rounds {
            let told = format!("{target}, RINGWIRE_FUZZ_SEED={seed}, RINGWIRE_FUZZ_ROUNDS=1");
            let _told = Told(&told);
            targets::run(target, &made(&mut Prng::new(seed), &seeds));
        }
    }
}

/// One input of the corpus, damaged; two, spliced; or octets out of nothing.
fn made(prng: &mut Prng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut below = |bound: usize| prng.below(bound as u64) as usize;
    let len = below(400);
    let mut octets = match below(4) {
        0 => Vec::new(),
        _ => seeds[below(seeds.len())].clone(),
    };
    if octets.is_empty() {
        octets = (0..len).map(|_| below(256) as u8).collect();
    }
    if below(4) == 0 {
        let (cut, other) = (below(octets.len() + 1), &seeds[below(seeds.len())]);
        octets.truncate(cut);
        octets.extend_from_slice(&other[below(other.len() + 1)..]);
    }
    for _ in 0..below(8) {
        let at = below(octets.len() + 1);
        let octet = below(256) as u8;
        match below(4) {
            0 => octets.insert(at, octet),
            1 => octets.truncate(octets.len().max(at + 1) - 1),
            _ if at == octets.len() => octets.push(octet),
            2 => drop(octets.remove(at)),
            _ => octets[at] ^= 1 << (octet % 8),
        }
    }
    octets
}
