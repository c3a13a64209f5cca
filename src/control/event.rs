//! Something that happens once, told to many: "drain", "stop".
//!
//! Any thread may raise it or look; tasks may wait for it. Raising it again changes nothing.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::watch;

/// A flag that goes up once. Clones are the same flag.
#[derive(Clone, Debug)]
pub struct Event(Arc<watch::Sender<bool>>);

impl Default for Event {
    fn default() -> Self {
        Event(Arc::new(watch::Sender::new(false)))
    }
}

impl Event {
    /// An event that has not happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it happen.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has happened.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it has happened.
    pub async fn wait(&self) {
        let mut seen = self.0.subscribe();
        let raised = seen.wait_for(|raised| *raised).await;
        assert!(raised.is_ok(), "the sender lives as long as self");
    }

    /// Runs `work` until it ends or the event happens: `None` then. What was done of it stays done.
    pub async fn unless_raised<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut raised) = (pin!(work), pin!(self.wait()));
        std::future::poll_fn(|cx| {
            if raised.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }
}
