//! The admin listener: connections within their bounds, each a task on the control thread.
//!
//! Invariants: A1: at most `connections_max` connections are served; the next is told 503 and
//! closed, whatever it would ask; A2: a head, a body, idleness and a connection's age have
//! deadlines; A3: [`serve`] returns after `shutdown`, at the latest `grace` later.

use super::bridge::Bridge;
use super::event::Event;
use super::listen::{AdminListener, BoundSocket};
use super::routes::Admin;
use crate::limits;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n\
    Content-Type: application/json\r\nContent-Length: 70\r\n\r\n\
    {\"error\":{\"code\":\"overloaded\",\"message\":\"too many admin connections\"}}";

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The bounds of the listener; the defaults are those of [`limits`].
#[derive(Clone, Copy, Debug)]
pub struct AdminLimits {
    /// Connections at a time.
    pub connections_max: usize,
    /// For a head to come, from the connection's start or the last answer.
    pub head_timeout: Duration,
    /// For a body to come.
    pub body_timeout: Duration,
    /// After which a connection ends with its present request.
    pub connection_age: Duration,
    /// For connections to end.
    pub grace: Duration,
}

impl Default for AdminLimits {
    fn default() -> Self {
        AdminLimits {
            connections_max: limits::ADMIN_CONNECTIONS_MAX,
            head_timeout: Duration::from_millis(limits::ADMIN_HEAD_TIMEOUT_MS),
            body_timeout: Duration::from_millis(limits::ADMIN_BODY_TIMEOUT_MS),
            connection_age: Duration::from_millis(limits::ADMIN_CONNECTION_AGE_MS),
            grace: Duration::from_millis(limits::ADMIN_GRACE_MS),
        }
    }
}

/// Serves the admin interface until `shutdown`. Runs in a tokio-uring runtime (any that can spawn
/// local tasks would do).
pub async fn serve(
    listener: AdminListener,
    bridge: Bridge,
    bounds: AdminLimits,
    shutdown: Event,
) -> io::Result<()> {
    let check_host = matches!(listener.socket, BoundSocket::Tcp(_));
    let server = Server {
        admin: Rc::new(Admin::new(bridge, bounds.body_timeout, check_host)),
        places: Arc::new(Semaphore::new(bounds.connections_max)),
        bounds,
        shutdown: shutdown.clone(),
    };
    let sampling = tokio::task::spawn_local(sample(server.admin.clone()));
    match &listener.socket {
        BoundSocket::Tcp(socket) => {
            let socket = TcpListener::from_std(socket.try_clone()?)?;
            let accepts = server.accept(async || Ok(socket.accept().await?.0));
            shutdown.unless_raised(accepts).await;
        }
        BoundSocket::Unix(socket, _) => {
            let socket = UnixListener::from_std(socket.try_clone()?)?;
            let accepts = server.accept(async || Ok(socket.accept().await?.0));
            shutdown.unless_raised(accepts).await;
        }
    }
    drop(listener);
    sampling.abort();
    server.join().await;
    Ok(())
}

struct Server {
    admin: Rc<Admin>,
    places: Arc<Semaphore>,
    bounds: AdminLimits,
    shutdown: Event,
}

async fn sample(admin: Rc<Admin>) {
    loop {
        admin.sample();
        sleep(SAMPLE_INTERVAL).await;
    }
}

impl Server {
    /// Accepts forever.
    async fn accept<S>(&self, next: impl AsyncFn() -> io::Result<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        loop {
            match (next().await, self.places.clone().try_acquire_owned()) {
                (Ok(stream), Ok(place)) => self.spawn(stream, place),
                (Ok(mut stream), Err(_full)) => {
                    self.admin.exporter.count_refused();
                    // An empty socket takes this at once; a peer that is gone is its own affair.
                    if let Err(e) = stream.write(BUSY).await {
                        tracing::debug!(error = %e, "refusal of an admin connection not sent");
                    }
                }
                (Err(e), _) => {
                    // Out of descriptors, mostly: trying again at once would only spin.
                    self.admin.exporter.count_accept_failed();
                    tracing::warn!(error = %e, "the admin listener could not accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn<S>(&self, stream: S, place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (admin, bounds, shutdown) = (self.admin.clone(), self.bounds, self.shutdown.clone());
        tokio::task::spawn_local(async move {
            if let Err(e) = connection(stream, admin, bounds, &shutdown).await {
                tracing::debug!(error = %e, "an admin connection ended early");
            }
            drop(place);
        });
    }

    /// Waits until every connection has given its place back.
    async fn join(&self) {
        let all = self.bounds.connections_max as u32;
        if timeout(self.bounds.grace, self.places.acquire_many(all)).await.is_err() {
            tracing::warn!("admin connections were cut at the end");
        }
    }
}

async fn connection<S>(
    stream: S,
    admin: Rc<Admin>,
    bounds: AdminLimits,
    shutdown: &Event,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.handle(request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_headers(limits::HEAD_FIELDS_MAX)
        .max_buf_size(limits::ADMIN_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let aged = timeout(bounds.connection_age, serving.as_mut());
    if let Some(Ok(ended)) = shutdown.unless_raised(aged).await {
        return ended;
    }
    serving.as_mut().graceful_shutdown();
    // Who does not read even now is cut by dropping the connection.
    timeout(bounds.grace, serving).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::BUSY;

    #[test]
    fn the_ready_made_refusal_says_its_true_length() {
        let text = std::str::from_utf8(BUSY).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
