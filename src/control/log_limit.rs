//! A bound on what is logged, by cause: whatever goes wrong a million times is told a few times,
//! and how often it was left out.
//!
//! A cause is the place in the code that logs. Invariants: L1 the table of causes is bounded, and
//! those beyond it share one entry; L2 what is left out is counted and told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

use crate::limits::{LOG_CAUSES_MAX, LOG_EVENTS_PER_WINDOW, LOG_WINDOW_MS};

/// Events left out since the start of the process, over all limits.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// The number of events that were left out since the start of the process.
pub fn left_out_total() -> u64 {
    LEFT_OUT.load(Relaxed)
}

/// A filter that lets a few events of each cause through in each window of time. Clones share their
/// table.
#[derive(Clone, Debug, Default)]
pub struct LogLimit(Arc<Mutex<Causes>>);

#[derive(Debug, Default)]
struct Causes {
    known: HashMap<Identifier, Cause>,
    others: Option<Cause>,
}

#[derive(Debug)]
struct Cause {
    place: String,
    window_began: Instant,
    passed: u32,
    left_out: u64,
}

/// What was left out of one cause.
#[derive(Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it is logged.
    pub place: String,
    /// How often it was not.
    pub events: u64,
}

impl LogLimit {
    /// What was left out in windows that are over. Each is told once.
    pub fn take_left_out(&self, now: Instant) -> Vec<LeftOut> {
        let mut causes = self.causes();
        let Causes { known, others } = &mut *causes;
        let over = known.values_mut().chain(others).filter(|c| c.left_out > 0 && c.is_over(now));
        let taken = over.map(|cause| LeftOut {
            place: cause.place.clone(),
            events: std::mem::take(&mut cause.left_out),
        });
        taken.collect()
    }

    fn admits(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        let mut causes = self.causes();
        let admits = causes.cause(metadata, now).admits(now);
        if !admits {
            LEFT_OUT.fetch_add(1, Relaxed);
        }
        admits
    }

    /// A holder that panicked has left numbers behind that are as good as any.
    fn causes(&self) -> MutexGuard<'_, Causes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Causes {
    fn cause(&mut self, metadata: &Metadata<'_>, now: Instant) -> &mut Cause {
        let id = metadata.callsite();
        if self.known.len() < LOG_CAUSES_MAX || self.known.contains_key(&id) {
            self.known.entry(id).or_insert_with(|| Cause::new(place(metadata), now))
        } else {
            self.others.get_or_insert_with(|| Cause::new("other places".into(), now))
        }
    }
}

impl Cause {
    fn new(place: String, now: Instant) -> Self {
        Cause { place, window_began: now, passed: 0, left_out: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.window_began) >= Duration::from_millis(LOG_WINDOW_MS)
    }

    fn admits(&mut self, now: Instant) -> bool {
        if self.is_over(now) {
            (self.window_began, self.passed) = (now, 0);
        }
        let admits = self.passed < LOG_EVENTS_PER_WINDOW;
        if admits {
            self.passed += 1;
        } else {
            self.left_out += 1;
        }
        admits
    }
}

fn place(metadata: &Metadata<'_>) -> String {
    match metadata.line() {
        Some(line) => format!("{}:{line}", metadata.target()),
        None => metadata.target().to_owned(),
    }
}

impl<S: Subscriber> Filter<S> for LogLimit {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        self.admits(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::prelude::*;

    #[test]
    fn a_cause_is_told_a_few_times_in_a_window_and_then_again() {
        let start = Instant::now();
        let mut cause = Cause::new("here:1".into(), start);
        let admitted = |cause: &mut Cause, now| (0..50).filter(|_| cause.admits(now)).count();
        assert_eq!(admitted(&mut cause, start), LOG_EVENTS_PER_WINDOW as usize);
        let later = start + Duration::from_millis(LOG_WINDOW_MS);
        assert_eq!(admitted(&mut cause, later), LOG_EVENTS_PER_WINDOW as usize);
        assert_eq!(cause.left_out, 100 - 2 * u64::from(LOG_EVENTS_PER_WINDOW));
    }

    #[test]
    fn two_places_do_not_silence_each_other_and_what_is_left_out_is_told_once() {
        let limit = LogLimit::default();
        let (seen, left_out_before) = (Arc::new(AtomicU64::new(0)), left_out_total());
        let writer = {
            let seen = Arc::clone(&seen);
            move || {
                seen.fetch_add(1, Relaxed);
                std::io::sink()
            }
        };
        let layer = tracing_subscriber::fmt::layer().with_writer(writer);
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(limit.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..100 {
                tracing::warn!("often");
            }
            tracing::warn!("once");
        });
        assert_eq!(seen.load(Relaxed), u64::from(LOG_EVENTS_PER_WINDOW) + 1);
        assert_eq!(limit.take_left_out(Instant::now()), [], "the window is not over");
        let later = Instant::now() + Duration::from_millis(LOG_WINDOW_MS);
        let told = limit.take_left_out(later);
        let expected = 100 - u64::from(LOG_EVENTS_PER_WINDOW);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].events, expected);
        assert!(told[0].place.starts_with("ringwire::control::log_limit"), "{told:?}");
        assert_eq!(limit.take_left_out(later), []);
        assert!(left_out_total() >= left_out_before + expected);
    }
}
