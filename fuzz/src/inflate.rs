//! Inflating one message: in one go and in portions, against miniz_oxide, which shares no code with
//! zlib.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use ringwire::base::prng::Prng;
use ringwire::limits::INFLATE_RATIO_FREE_BYTES;
use ringwire::ws::PeerFault;
use ringwire::ws::deflate::{Bounds, Inflater, Progress};

use super::choices::Choices;

/// What a sender leaves out, and an empty last block that proves the end.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];
/// Octets that our side may hold beside the message: it grows by steps.
const SPARE_BYTES: usize = 32 * 1024;

/// Input: bounds, an earlier message, how it is portioned, and the payload: as it is, or compressed
/// and maybe damaged.
pub(crate) fn check(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let message_bytes_max = choices.one_of(&[1 << 20, 0, 1, 1000, 65_536, 100_000]);
    let ratio_max = choices.one_of(&[2000, 1, 10, 200]);
    let bounds = Bounds { message_bytes_max, ratio_max };
    let window_bytes = choices.number() % 300;
    let window = choices.take(window_bytes);
    let seed = choices.number() as u64;
    let (mode, times) = (choices.below(4), choices.octet());
    let damage = choices.number();
    let rest = choices.rest();
    let payload = match mode {
        0 => rest.to_vec(),
        _ => {
            let message = rest.repeat(usize::from(times).pow(2) / 64 + 1);
            let mut payload = compress_to_vec(&message, 1 + times % 9);
            if mode == 1 {
                let at = damage % payload.len();
                payload[at] ^= 1 << (times % 8);
            }
            payload
        }
    };
    let whole = inflate(&payload, window, &bounds, None);
    assert_eq!(inflate(&payload, window, &bounds, Some(seed)), whole, "portioned by {seed}");
    let other = oracle(&payload, window, message_bytes_max);
    if let Ok(message) = &whole {
        assert_eq!(other.as_ref(), Some(message), "the other inflates it otherwise");
        let may_be = payload.len().saturating_mul(ratio_max as usize);
        assert!(message.len() <= INFLATE_RATIO_FREE_BYTES.max(may_be), "beyond the ratio");
    }
    if mode > 1
        && let Some(message) = other
    {
        let is_sparse = message.len() > INFLATE_RATIO_FREE_BYTES;
        assert!(whole == Ok(message) || (is_sparse && whole == Err(PeerFault::DeflateRatio)));
    }
}

/// In one go, or in portions.
fn inflate(
    payload: &[u8],
    window: &[u8],
    bounds: &Bounds,
    seed: Option<u64>,
) -> Result<Vec<u8>, PeerFault> {
    let mut inflater = Inflater::new();
    // What was there before does not count.
    let _ = inflater.advance(b"\x4a\x04\x00", &mut Vec::new(), bounds, &mut 1);
    inflater.begin(window);
    let mut prng = Prng::new(seed.unwrap_or(0));
    let mut out = Vec::new();
    loop {
        let budget_max = match seed {
            None => usize::MAX,
            Some(_) => {
                let most = [10, 1000, 100_000][prng.below(3) as usize];
                1 + prng.below(most) as usize
            }
        };
        let (before, mut budget) = (out.len(), budget_max);
        let progress = inflater.advance(payload, &mut out, bounds, &mut budget)?;
        assert!(out.len() - before <= budget_max - budget, "all that is given is charged");
        assert!(out.len() <= bounds.message_bytes_max, "never more than may be");
        assert!(out.capacity() <= 2 * (out.len() + SPARE_BYTES), "it grows with the message");
        match progress {
            Progress::Whole => return Ok(out),
            Progress::Unfinished => assert_eq!(budget, 0, "it stops where the budget ends"),
        }
    }
}

/// The message, unless it is corrupt or too large.
fn oracle(payload: &[u8], window: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    if payload.is_empty() {
        return Some(Vec::new());
    }
    let input = [payload, &END].concat();
    let mut out = window.to_vec();
    out.resize(window.len() + bytes_max + 1, 0);
    let (mut taken, mut at) = (0, window.len());
    loop {
        let mut state = DecompressorOxide::new();
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, consumed, produced) =
            decompress(&mut state, &input[taken..], &mut out, at, flags);
        (taken, at) = (taken + consumed, at + produced);
        if status != TINFLStatus::Done {
            return None;
        }
        if taken >= payload.len() {
            // The last block may be the sender's own, the rest of which it took off.
            let ends = [payload.len(), payload.len() + 4, input.len()];
            let is_end = ends.contains(&taken);
            let message = &out[window.len()..at];
            return (is_end && message.len() <= bytes_max).then(|| message.to_vec());
        }
    }
}
