//! A whole server in one thread, from one number: real shards on a simulated kernel, with simulated
//! clients, a clock that is turned by hand, and faults.
//!
//! For tests only: production builds do not have it (feature `sim`, which only the crate's own
//! tests ask for). [`world`] tells stories with a calm kernel; [`run`] draws a run from a seed and
//! holds it against a shadow model ([`topics`]), the accounts of each shard (`shard::audit`), and
//! orders that may not be given (`ring::op`, O1 to O3, which [`socket`] panics over).
//!
//! What the simulated kernel assumes of the real one, and which tests of `tests/ring_contract` hold
//! the real one to it:
//!
//! - K1 completions of different sockets come in any order and at any time; those of one
//!   receive come in the order of the stream, its end last:
//!   `the_end_comes_behind_the_last_octet`.
//! - K2 a completion queue that overflows delays completions and loses none:
//!   `an_overflowed_completion_queue_loses_nothing`,
//!   `wake_ups_of_a_full_completion_queue_are_not_lost`.
//! - K3 what belongs to a connection that is gone carries its generation:
//!   `a_completion_of_a_reused_slot_carries_the_generation_it_was_armed_for`.
//! - K4 a fast send is taken whole and silently, or up to any octet, and that is told before
//!   anything else of the connection:
//!   `silent_sends_and_counted_exceptions_add_up_to_the_stream`,
//!   `a_short_count_spans_pieces_and_the_rest_was_not_touched`,
//!   `a_full_socket_takes_nothing_and_says_so`,
//!   `what_a_fast_send_left_over_is_told_before_anything_else`.
//! - K5 a fast send fails on a connection that is broken, or whose sending half is shut:
//!   `a_send_to_a_peer_that_has_gone_fails`, `a_send_behind_our_own_shutdown_fails`.
//! - K6 a queued send waits for room and ends when all is out, when a shutdown or a reset ends
//!   it, or in part; its count is exact: `a_queued_send_waits_for_the_reader_and_goes_whole`,
//!   `a_queued_send_of_very_many_frames_counts_what_it_took`, `a_shutdown_ends_a_queued_send`,
//!   `a_reset_ends_a_queued_send`.
//! - K7 a receive without a buffer ends and loses nothing:
//!   `an_empty_pool_stalls_a_receive_and_loses_nothing`.
//! - K8 a multishot receive may end at any completion, and goes on when it is armed again:
//!   `a_multishot_receive_that_ends_without_a_reason_goes_on_when_armed_again`.
//! - K9 the peer's FIN is an end, its RST a failure: `the_end_comes_behind_the_last_octet`,
//!   `a_reset_is_a_failure_not_an_end`.
//! - K10 a cancelled receive ends once; until then it may receive, and it may end otherwise; a
//!   cancel that comes too late, or while the kernel is about to try again, does nothing and says
//!   so: `a_cancelled_receive_leaves_no_byte_behind_and_takes_none`,
//!   `a_cancel_behind_the_end_is_harmless`, `a_cancel_that_races_with_octets_ends_the_receive`.
//! - K11 a shutdown may take its time, a close waits for it; of both halves, it ends the
//!   receive behind what had come: `a_shutdown_never_hits_the_next_connection_of_a_slot`,
//!   `shutting_both_halves_down_ends_the_receive_and_tells_the_peer`,
//!   `what_had_come_before_a_shutdown_is_still_received`,
//!   `shutting_the_write_half_down_leaves_the_receive_armed`.
//! - K12 accepts take the lowest free slot; a full table turns away who waits and stops
//!   accepting; a cancel that races with connections loses none; who waits when listening stops
//!   is turned away: `a_full_table_stops_accepting_and_harms_nobody`,
//!   `cancelled_accepts_stop_once_and_start_again`,
//!   `a_cancel_that_races_with_connections_loses_none`,
//!   `who_waits_when_listening_stops_is_turned_away`.
//! - K13 a wake-up arrives or is reported; many are one: `a_shard_wakes_another_that_sleeps`,
//!   `a_wake_up_that_can_not_be_delivered_is_reported`.
//! - K14 the monotonic clock may stand still or leap and never goes back; that of the wall does
//!   anything: `std::time::Instant`.
//! - K15 a close with unread input resets the peer, and what was on its way to it may be lost;
//!   without, all arrives: `a_close_with_unread_input_resets_the_client`,
//!   `a_short_count_spans_pieces_and_the_rest_was_not_touched`.

mod actions;
mod client;
mod deflate;
mod echoes;
mod ending;
pub mod fact;
pub mod faults;
pub mod host;
pub mod kernel;
pub mod plan;
mod port;
pub mod run;
pub mod socket;
mod speech;
pub mod topics;
pub mod trace;
pub mod wire;
mod work;
pub mod world;

pub use faults::Canary;
pub use run::{Failure, Order, Report, run};
