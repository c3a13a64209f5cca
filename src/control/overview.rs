//! `GET /v1/overview`: everything that the status page and `ringwire top` show, in one document.
//!
//! Its size depends on the number of shards, not on that of connections or topics.

use super::bridge::Bridge;
use super::busiest::Busiest;
use super::causes::{Cause, causes};
use super::history::{History, Shown};
use super::rates::Rates;
use super::status::Status;
use crate::metrics::families;
use serde::Serialize;

/// See the module's header.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    status: Status,
    topics: Busiest,
    closes: Vec<Cause>,
    refusals: Vec<Cause>,
    drops: Vec<Cause>,
    history: Shown,
}

impl Overview {
    /// The server now and over the last minutes.
    pub(super) fn of(bridge: &Bridge, rates: &Rates, history: &History, topics: Busiest) -> Self {
        let causes = |family| causes(family, &bridge.board, history);
        Overview {
            status: Status::of(bridge, rates),
            topics,
            closes: causes(&families::CLOSED),
            refusals: causes(&families::REFUSED),
            drops: causes(&families::DELIVERIES_DROPPED),
            history: history.shown(),
        }
    }
}
