//! Which request does what.
//!
//! Names and counts are checked here, before anything is asked of a shard. `data` is passed on as
//! it was written, octet for octet.

use super::bridge::{Bridge, Refused, Sequenced, Stage};
use super::busiest::Looks;
use super::history::History;
use super::http::{Answer, ErrorDetail, Failure, answer, json, json_body};
use super::overview::Overview;
use super::page::page;
use super::prometheus::{CONTENT_TYPE, Exporter};
use super::query;
use super::rates::Rates;
use super::reload::ReloadFault;
use super::status::Status;
use crate::base::ErrorCode;
use crate::limits::{BROADCAST_IN_FLIGHT, BROADCAST_TOPICS_MAX};
use crate::limits::{TOPICS_LISTED_DEFAULT, TOPICS_LISTED_MAX};
use crate::pubsub::check_topic;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

const TEXT: &str = "text/plain; charset=utf-8";

/// What the routes work with; one for all connections of the listener.
#[derive(Debug)]
pub struct Admin {
    bridge: Bridge,
    pub(super) exporter: Exporter,
    rates: RefCell<Rates>,
    history: RefCell<History>,
    looks: Looks,
    body_timeout: Duration,
    /// Whether browsers could reach the listener (TCP), so that the host must be checked.
    check_host: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Page,
    Health,
    Ready,
    Metrics,
    Publish,
    Broadcast,
    Topics,
    Status,
    Overview,
    Drain,
    Reload,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishBody<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BroadcastBody<'a> {
    #[serde(borrow)]
    topics: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
}

#[derive(Serialize)]
struct BroadcastResult<'a> {
    topic: &'a str,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Published(Sequenced),
    Refused { error: ErrorDetail<'static> },
}

impl Route {
    fn of(path: &str) -> Option<Route> {
        Some(match path {
            "/" => Route::Page,
            "/healthz" => Route::Health,
            "/readyz" => Route::Ready,
            "/metrics" => Route::Metrics,
            "/v1/publish" => Route::Publish,
            "/v1/broadcast" => Route::Broadcast,
            "/v1/topics" => Route::Topics,
            "/v1/status" => Route::Status,
            "/v1/overview" => Route::Overview,
            "/v1/drain" => Route::Drain,
            "/v1/reload" => Route::Reload,
            _ => return None,
        })
    }

    /// The methods, as `Allow` lists them.
    fn allow(self) -> &'static str {
        match self {
            Route::Page | Route::Health | Route::Ready | Route::Metrics => "GET, HEAD",
            Route::Topics | Route::Status | Route::Overview => "GET, HEAD",
            Route::Publish | Route::Broadcast | Route::Drain | Route::Reload => "POST",
        }
    }
}

impl Admin {
    /// The routes over a bridge.
    pub fn new(bridge: Bridge, body_timeout: Duration, check_host: bool) -> Admin {
        let exporter = Exporter::new(bridge.clone());
        let looks = Looks::new(bridge.clone());
        let (rates, history) = (RefCell::default(), RefCell::default());
        Admin { bridge, exporter, rates, history, looks, body_timeout, check_host }
    }

    /// Samples the counters for the rates of the status and for the history.
    pub fn sample(&self) {
        let now = std::time::Instant::now();
        self.rates.borrow_mut().sample(now, &self.bridge.board);
        self.history.borrow_mut().sample(now, &self.bridge.board);
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Incoming>) -> Answer {
        self.route(request).await.unwrap_or_else(|failure| failure.answer())
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        if self.check_host && !host_is_local(&request) {
            let message = "the Host of an admin request must be localhost or an address";
            return Err(Failure::new(ErrorCode::Forbidden, message));
        }
        let Some(route) = Route::of(request.uri().path()) else {
            let failure = Failure::new(ErrorCode::BadRequest, "no such path");
            return Err(failure.with_status(StatusCode::NOT_FOUND));
        };
        let asked =
            if request.method() == Method::HEAD { "GET" } else { request.method().as_str() };
        if !route.allow().split(", ").any(|method| method == asked) {
            return Err(Failure::method_not_allowed(route.allow()));
        }
        match route {
            Route::Page => Ok(page()),
            Route::Health => Ok(answer(StatusCode::OK, TEXT, "ok\n")),
            Route::Ready => Ok(self.ready()),
            Route::Metrics => {
                let text = self.exporter.render(&self.rates.borrow());
                Ok(answer(StatusCode::OK, CONTENT_TYPE, text))
            }
            Route::Publish => self.publish(request).await,
            Route::Broadcast => self.broadcast(request).await,
            Route::Topics => self.topics(request.uri().query().unwrap_or_default()).await,
            Route::Status => {
                Ok(json(StatusCode::OK, &Status::of(&self.bridge, &self.rates.borrow())))
            }
            Route::Overview => Ok(self.overview().await),
            Route::Drain => self.drain(request).await,
            Route::Reload => self.reload(request).await,
        }
    }

    async fn overview(&self) -> Answer {
        let topics = self.looks.known().await;
        let (rates, history) = (self.rates.borrow(), self.history.borrow());
        json(StatusCode::OK, &Overview::of(&self.bridge, &rates, &history, topics))
    }

    fn ready(&self) -> Answer {
        let stage = self.bridge.state.stage();
        match stage {
            Stage::Ready => answer(StatusCode::OK, TEXT, "ready\n"),
            Stage::Starting | Stage::Draining => {
                Failure::new(ErrorCode::Unavailable, stage.as_str()).answer()
            }
        }
    }

    async fn publish(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        let body = json_body(request, self.body_timeout).await?;
        let PublishBody { topic, data } = parse(&body)?;
        check_name(&topic)?;
        let data = Bytes::copy_from_slice(data.get().as_bytes());
        let sequenced = self.bridge.publish(&topic, data)?.answer().await??;
        Ok(json(StatusCode::OK, &sequenced))
    }

    /// All names are checked first: either nothing is published, or every topic has its result.
    async fn broadcast(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        let body = json_body(request, self.body_timeout).await?;
        let BroadcastBody { topics, data } = parse(&body)?;
        if topics.is_empty() || topics.len() > BROADCAST_TOPICS_MAX {
            let message = format!("`topics` must name 1 to {BROADCAST_TOPICS_MAX} topics");
            return Err(Failure::new(ErrorCode::BadRequest, message));
        }
        topics.iter().try_for_each(|topic| check_name(topic))?;
        let data = Bytes::copy_from_slice(data.get().as_bytes());
        let mut results = Vec::with_capacity(topics.len());
        for some in topics.chunks(BROADCAST_IN_FLIGHT) {
            results.extend(self.publish_together(some, &data).await);
        }
        Ok(json(StatusCode::OK, &Results { results }))
    }

    async fn publish_together<'a>(
        &self,
        topics: &'a [Cow<'_, str>],
        data: &Bytes,
    ) -> Vec<BroadcastResult<'a>> {
        let pending: Vec<_> = topics.iter().map(|t| self.bridge.publish(t, data.clone())).collect();
        let mut results = Vec::with_capacity(topics.len());
        for (topic, pending) in topics.iter().zip(pending) {
            let sequenced = match pending {
                Ok(pending) => pending.answer().await.and_then(|answer| answer),
                Err(refused) => Err(refused),
            };
            results.push(BroadcastResult { topic, outcome: sequenced.into() });
        }
        results
    }

    async fn topics(&self, query: &str) -> Result<Answer, Failure> {
        let bad = |message| Failure::new(ErrorCode::BadRequest, message);
        let (mut prefix, mut limit) = (String::new(), TOPICS_LISTED_DEFAULT);
        for (key, value) in query::parse(query, &["prefix", "limit"]).map_err(bad)? {
            if key == "prefix" {
                prefix = value;
            } else {
                let number = value.parse().ok().filter(|n| (1..=TOPICS_LISTED_MAX).contains(n));
                let wrong = || bad(format!("`limit` must be 1 to {TOPICS_LISTED_MAX}"));
                limit = number.ok_or_else(wrong)?;
            }
        }
        if !prefix.is_empty() {
            check_name(&prefix)?;
        }
        let topics = self.bridge.topics(prefix, limit)?.answer().await??;
        Ok(json(StatusCode::OK, &serde_json::json!({ "topics": topics })))
    }

    async fn reload(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        let body = json_body(request, self.body_timeout).await?;
        let Nothing {} = parse(&body)?;
        let outcome = self.bridge.reload().await?;
        Ok(json(StatusCode::OK, &outcome))
    }

    /// The body (`{}`) is required for its media type, like that of every order.
    async fn drain(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        let body = json_body(request, self.body_timeout).await?;
        let Nothing {} = parse(&body)?;
        self.bridge.begin_drain();
        Ok(json(StatusCode::ACCEPTED, &serde_json::json!({ "state": Stage::Draining.as_str() })))
    }
}

/// The body of an order that needs no more words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl From<ReloadFault> for Failure {
    fn from(fault: ReloadFault) -> Failure {
        match fault {
            ReloadFault::NoSource => Failure::new(ErrorCode::BadRequest, fault.to_string())
                .with_status(StatusCode::NOT_FOUND),
            ReloadFault::Rejected(problem) => Failure::new(ErrorCode::BadRequest, problem),
            ReloadFault::Refused(refused) => refused.into(),
        }
    }
}

impl From<Result<Sequenced, Refused>> for Outcome {
    fn from(result: Result<Sequenced, Refused>) -> Outcome {
        match result {
            Ok(sequenced) => Outcome::Published(sequenced),
            Err(refused) => Outcome::Refused { error: refused.into() },
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|e| Failure::new(ErrorCode::BadRequest, e.to_string()))
}

fn check_name(topic: &str) -> Result<(), Failure> {
    let wrong = |fault: crate::pubsub::TopicFault| {
        Failure::new(ErrorCode::BadRequest, format!("{fault}: {topic:?}"))
    };
    check_topic(topic).map(drop).map_err(wrong)
}

/// A page whose name was rebound to loopback would send its own name here. An address or
/// `localhost` can't be rebound, and a tool that sends no host is no browser.
fn host_is_local(request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(header::HOST) else { return true };
    let Some(authority) = host.to_str().ok().and_then(|h| h.parse().ok()) else { return false };
    let authority: hyper::http::uri::Authority = authority;
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}
