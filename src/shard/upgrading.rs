//! The opening handshake of a connection (RFC 6455, section 4.2).

use super::shard::Shard;
use crate::base::ConnKey;
use crate::conn::egress::Tag;
use crate::conn::{Deadline, PartialHead, Phase, Stage, Trigger};
use crate::handler::{Accept, Handler, Upgrade};
use crate::metrics::{Metric, Timing};
use crate::ring::PeerAddr;
use crate::ws::deflate::offer::{Agreed, Malformed, Negotiated, negotiate};
use crate::ws::deflate::{Agreement, Policy};
use crate::ws::protocol::{Protocol, Role};
use crate::ws::refusal::Refusal;
use crate::ws::request::Request;
use crate::ws::upgrade::{Parsed, check_upgrade, parse_request, write_accept};

/// When a client that was refused for want of room may come again.
const RETRY_AFTER_S: u32 = 5;

/// What has become of a request head.
enum Head<S> {
    Incomplete,
    Accepted { accept: Accept<S>, consumed: usize, deflate: Option<Agreement> },
    Refused(Refusal),
}

impl<H: Handler> Shard<H> {
    /// Takes octets of the request head. `Some`: so many of `bytes` belong to the head, and what
    /// follows are frames. `None`: there is nothing more to do with them.
    pub(super) fn upgrade(&mut self, key: ConnKey, bytes: &[u8]) -> Option<usize> {
        let conn = self.table.get_mut(key)?;
        let Stage::Upgrading { head, .. } = &mut conn.stage else { return None };
        let (peer, is_surplus) = (conn.link.peer(), conn.link.is_surplus);
        let kept = head.take();
        let before = kept.as_ref().map_or(0, |head| head.0.len());
        self.core.account_ingress(before, 0);
        let outcome = match kept {
            None => {
                let outcome = self.judge(bytes, peer, is_surplus);
                if let Head::Incomplete = outcome {
                    self.keep_head(key, Box::new(PartialHead(bytes.to_vec())));
                }
                outcome
            }
            Some(mut head) => {
                head.0.extend_from_slice(bytes);
                let outcome = self.judge(&head.0, peer, is_surplus);
                if let Head::Incomplete = outcome {
                    self.keep_head(key, head);
                }
                outcome
            }
        };
        match outcome {
            Head::Incomplete => None,
            Head::Refused(refusal) => {
                self.refuse(key, refusal);
                None
            }
            Head::Accepted { accept, consumed, deflate } => {
                self.open(key, accept.session, deflate);
                Some(consumed - before)
            }
        }
    }

    fn keep_head(&mut self, key: ConnKey, head: Box<PartialHead>) {
        self.core.account_ingress(0, head.0.len());
        if let Some(conn) = self.table.get_mut(key)
            && let Stage::Upgrading { head: kept, .. } = &mut conn.stage
        {
            *kept = Some(head);
        }
        if self.core.holds_too_much() {
            self.refuse_for_now(key);
        }
    }

    /// Decides on a head. An accepted one leaves its answer in `scratch`.
    fn judge(&mut self, head: &[u8], peer: PeerAddr, is_surplus: bool) -> Head<H::Session> {
        match parse_request(head, self.core.config.head_bytes_max) {
            Ok(Parsed::Incomplete) => Head::Incomplete,
            Err(refusal) => Head::Refused(refusal),
            Ok(Parsed::Complete { request, consumed }) => {
                if is_surplus || self.refuses_upgrades() {
                    return Head::Refused(Refusal::Unavailable { retry_after_s: RETRY_AFTER_S });
                }
                let upgrade = Upgrade { request: &request, peer, shard: self.core.me };
                let accept = match self.handler.on_upgrade(&upgrade) {
                    Ok(accept) => accept,
                    Err(refusal) => return Head::Refused(refusal),
                };
                let checked = check_upgrade(&request)
                    .and_then(|upgrade_key| Ok((upgrade_key, self.negotiate(&request)?)));
                match checked {
                    Ok((upgrade_key, agreed)) => {
                        self.scratch.clear();
                        let (out, subprotocol) = (&mut self.scratch, accept.subprotocol);
                        write_accept(out, &upgrade_key, subprotocol, agreed.as_ref());
                        let deflate = agreed.map(|agreed| agreed.agreement());
                        Head::Accepted { accept, consumed, deflate }
                    }
                    Err(refusal) => Head::Refused(refusal),
                }
            }
        }
    }

    /// Whether messages may be compressed (RFC 7692, section 5).
    fn negotiate(&mut self, request: &Request<'_>) -> Result<Option<Agreed>, Refusal> {
        let Some(config) = self.core.config.deflate else { return Ok(None) };
        let has_room = self.core.takeovers < config.takeovers_max;
        let client_takeover = config.policy.client_takeover && has_room;
        let offers = request.header_values("sec-websocket-extensions");
        match negotiate(offers, &Policy { client_takeover, ..config.policy }) {
            Ok(Negotiated::Agreed(agreed)) => {
                if config.policy.client_takeover && !has_room {
                    self.core.counters.inc(Metric::TakeoversRefused);
                }
                Ok(Some(agreed))
            }
            Ok(Negotiated::NotOffered) => Ok(None),
            Ok(Negotiated::Declined) => {
                self.core.counters.inc(Metric::CompressionDeclined);
                Ok(None)
            }
            Err(Malformed) => {
                Err(Refusal::BadRequest("the Sec-WebSocket-Extensions header field is not valid"))
            }
        }
    }

    /// The handshake is complete: answers it and opens the connection.
    fn open(&mut self, key: ConnKey, session: H::Session, deflate: Option<Agreement>) {
        self.core.counters.inc(Metric::HandshakesCompleted);
        self.move_on(key, Trigger::UpgradeAccepted);
        let Some(conn) = self.table.get_mut(key) else { return };
        if let Stage::Upgrading { since_ms, .. } = conn.stage {
            let ms = (self.core.now.monotonic_ms as u32).wrapping_sub(since_ms);
            self.core.counters.observe(Timing::Handshake, u64::from(ms) * 1000);
        }
        conn.link.is_open = true;
        self.core.open += 1;
        let protocol = match deflate {
            None => Protocol::new(Role::Server),
            Some(agreement) => {
                conn.link.deflate_bits = agreement.send_window_bits;
                self.core.takeovers += u32::from(agreement.recv_takeover);
                self.core.counters.inc(Metric::CompressionAgreed);
                Protocol::with_deflate(Role::Server, agreement)
            }
        };
        conn.stage = Stage::Open { protocol };
        let sent = self.core.outbox.send_raw(&mut conn.link, &self.scratch, &[], Tag::Control);
        assert!(sent.is_ok(), "nothing waits for a connection that opens");
        self.keep_session(key.slot, session);
        let interval = self.core.config.heartbeat_interval_ms;
        // Jitter, so that a storm of reconnects does not become a storm of pings.
        let first = interval / 2 + self.core.prng.below(interval / 2);
        let at = self.core.now.tick().before_ms(first);
        self.set_deadline(key, Deadline::Heartbeat, at);
        self.call(key, |handler, ctx| handler.on_open(ctx));
    }

    /// Answers that there is no room, or no longer.
    pub(super) fn refuse_for_now(&mut self, key: ConnKey) {
        self.refuse(key, Refusal::Unavailable { retry_after_s: RETRY_AFTER_S });
    }

    /// Answers with an HTTP error and ends the connection.
    fn refuse(&mut self, key: ConnKey, refusal: Refusal) {
        self.core.counters.inc(Metric::refused(refusal));
        self.scratch.clear();
        refusal.write(&mut self.scratch);
        let Some(conn) = self.table.get_mut(key) else { return };
        let sent = self.core.outbox.send_raw(&mut conn.link, &self.scratch, &[], Tag::Control);
        assert!(sent.is_ok(), "nothing waits for a connection that upgrades");
        self.end(key, Trigger::UpgradeRefused, true);
    }

    /// Checks a change of phase against the golden table.
    pub(super) fn move_on(&self, key: ConnKey, trigger: Trigger) -> Option<Phase> {
        let phase = self.table.get(key)?.stage.phase();
        let next = crate::conn::phase::next(phase, trigger);
        Some(next.unwrap_or_else(|| panic!("{trigger:?} can't happen in {phase:?}")))
    }
}
