//! What the tests have in common beside `stream`: cuts, and limits that leave room.

use ringwire::ws::Limits;

pub(crate) use crate::stream::{Outcome, Seen, feed, feed_piece, feed_to, frame, oracle};

/// Cuts `bytes` at the given places.
pub(crate) fn cut<'a>(bytes: &'a [u8], cuts: &[proptest::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Limits that the generated streams stay under.
pub(crate) const ROOMY: Limits =
    Limits { message_bytes_max: 1 << 20, fragments_max: 1000, inflate_ratio_max: 200 };
