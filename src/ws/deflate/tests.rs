//! Against the examples of RFC 7692, against another implementation of deflate (miniz), and against
//! itself where only the cutting differs.

use proptest::prelude::*;
use zlib_rs::{Inflate, InflateFlush};

use super::*;
use crate::ws::fault::PeerFault;

const BOUNDS: Bounds = Bounds { message_bytes_max: 1 << 20, ratio_max: 2000 };

fn inflate_in(
    payload: &[u8],
    window: &[u8],
    bounds: &Bounds,
    slice: usize,
) -> Result<Vec<u8>, PeerFault> {
    let mut inflater = Inflater::new();
    inflater.begin(window);
    let mut out = Vec::new();
    loop {
        let (before, mut budget) = (out.len(), slice);
        let progress = inflater.advance(payload, &mut out, bounds, &mut budget)?;
        assert!(out.len() - before <= slice && out.len() <= bounds.message_bytes_max);
        match progress {
            Progress::Whole => return Ok(out),
            Progress::Unfinished => assert_eq!(budget, 0),
        }
    }
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, PeerFault> {
    inflate_in(payload, &[], &BOUNDS, 1 << 20)
}

fn deflate(message: &[u8], window_bits: u8) -> Option<Vec<u8>> {
    let mut out = b"what was here before".to_vec();
    Deflater::new(6).compress(message, window_bits, &mut out).then_some(out)
}

/// Messages that compress: words of a small alphabet, repeated at any distance.
fn texts(bytes_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((0..4_u8, 1..300_usize), 0..bytes_max / 300).prop_map(|runs| {
        let mut text = Vec::new();
        for (index, (word, len)) in runs.into_iter().enumerate() {
            text.extend((0..len).map(|at| b'a' + word * 5 + (at * index % 7) as u8));
        }
        text
    })
}

#[test]
fn the_examples_of_the_rfc() {
    // 7.2.3.1: one block, and the same with a reference to the message before it (7.2.3.2).
    assert_eq!(inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
    let shared = inflate_in(&[0xf2, 0x00, 0x11, 0x00, 0x00], b"Hello", &BOUNDS, 1 << 20);
    assert_eq!(shared.unwrap(), b"Hello");
    assert_eq!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(PeerFault::DeflateCorrupt));
    // 7.2.3.3: a block without compression.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(inflate(&stored).unwrap(), b"Hello");
    // 7.2.3.4: BFINAL is 1.
    assert_eq!(inflate(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]).unwrap(), b"Hello");
    // The same in an empty block of its own, the end of which is taken off: so do some senders.
    let last = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff, 0x01];
    assert_eq!(inflate(&last).unwrap(), b"Hello");
    assert_eq!(inflate(&[0x01]).unwrap(), b"");
    // 7.2.3.5: two blocks.
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflate(&two).unwrap(), b"Hello");
    // 7.2.3.6: an empty message.
    assert_eq!(inflate(&[0x00]).unwrap(), b"");
}

#[test]
fn what_does_not_get_shorter_is_not_compressed() {
    assert_eq!(deflate(b"", 15), None);
    assert_eq!(deflate(b"Hello", 15), None);
    assert!(deflate(&[7; 100], 15).is_some_and(|payload| payload.len() < 20));
}

#[test]
fn a_message_that_was_cut_off_is_corrupt_at_every_octet() {
    let message: Vec<u8> =
        (0..2000_u32).flat_map(|n| (n * n % 97).to_string().into_bytes()).collect();
    let payload = deflate(&message, 15).expect("digits compress");
    assert_eq!(inflate(&payload).unwrap(), message);
    for len in 1..payload.len() {
        match inflate(&payload[..len]) {
            Err(PeerFault::DeflateCorrupt) => {}
            // Between two blocks it is a whole, shorter message: no receiver can tell.
            Ok(shorter) => assert!(message.starts_with(&shorter), "{len}"),
            other => panic!("{len}: {other:?}"),
        }
    }
    assert_eq!(inflate(&payload[..payload.len() / 2]), Err(PeerFault::DeflateCorrupt));
}

#[test]
fn octets_after_a_last_block_are_a_new_stream_or_corrupt() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflate(&last).unwrap(), b"Hello");
    let twice = [last, last].concat();
    assert_eq!(inflate(&twice).unwrap(), b"HelloHello");
    let garbage = [&last[..], &[0xff, 0xff, 0xff]].concat();
    assert_eq!(inflate(&garbage), Err(PeerFault::DeflateCorrupt));
}

#[test]
fn bounds_that_are_lowered_on_the_way_hold_at_once() {
    let payload = deflate(&[7; 60_000], 15).expect("it compresses");
    let mut inflater = Inflater::new();
    inflater.begin(&[]);
    let mut out = Vec::new();
    let first = inflater.advance(&payload, &mut out, &BOUNDS, &mut 50_000);
    assert_eq!((first, out.len() > 40_000), (Ok(Progress::Unfinished), true), "{}", out.len());
    let lower = Bounds { message_bytes_max: 30_000, ..BOUNDS };
    let second = inflater.advance(&payload, &mut out, &lower, &mut 50_000);
    assert_eq!(second, Err(PeerFault::MessageTooLarge));
}

#[test]
fn a_bomb_costs_no_more_than_the_bounds() {
    let bomb = deflate(&vec![0; 64 << 20], 15).expect("zeros compress");
    assert!(bomb.len() < 70_000, "{}", bomb.len());
    let by_size = Bounds { message_bytes_max: 1 << 20, ratio_max: 2000 };
    assert_eq!(inflate_in(&bomb, &[], &by_size, 1 << 30), Err(PeerFault::MessageTooLarge));
    let by_ratio = Bounds { message_bytes_max: 1 << 30, ratio_max: 10 };
    assert_eq!(inflate_in(&bomb, &[], &by_ratio, 1 << 14), Err(PeerFault::DeflateRatio));
    // What is small may be as sparse as it likes.
    let small = deflate(&[0; 60_000], 15).expect("zeros compress");
    assert_eq!(inflate_in(&small, &[], &by_ratio, 1 << 14).unwrap().len(), 60_000);
}

#[test]
fn a_message_of_just_the_limit_passes_and_one_octet_more_does_not() {
    let message = vec![b'x'; 100_000];
    let payload = deflate(&message, 15).unwrap();
    let at = |message_bytes_max| Bounds { message_bytes_max, ratio_max: 2000 };
    for slice in [1 << 20, 1000, 99_999, 100_000, 100_001] {
        assert_eq!(inflate_in(&payload, &[], &at(100_000), slice).unwrap(), message);
        let less = inflate_in(&payload, &[], &at(99_999), slice);
        assert_eq!(less, Err(PeerFault::MessageTooLarge));
    }
}

#[test]
fn a_window_keeps_the_last_octets_and_no_more() {
    for bits in 8..=15 {
        let mut window = Window::new(bits);
        let (mut all, size) = (Vec::<u8>::new(), 1 << bits);
        assert_eq!(window.heap_bytes(), 0);
        for len in [1, 100, 300, 7, size, 33, 2 * size, 1000, 0, 5000, 1] {
            let message: Vec<u8> = (0..len).map(|at| (at * 31 + len) as u8).collect();
            window.push(&message);
            all.extend(&message);
            assert_eq!(window.octets(), &all[all.len().saturating_sub(size)..]);
            assert!(window.heap_bytes() <= window.bytes_max());
        }
    }
}

proptest! {
    #[test]
    fn what_was_compressed_is_inflated_by_us_and_by_miniz(
        message in texts(100_000),
        window_bits in WINDOW_BITS_MIN..=WINDOW_BITS_MAX,
        slice in 1..50_000_usize,
    ) {
        let Some(payload) = deflate(&message, window_bits) else { return Ok(()) };
        prop_assert!(payload.len() < message.len());
        prop_assert_eq!(&inflate_in(&payload, &[], &BOUNDS, slice).unwrap(), &message);
        let whole = [&payload[..], &TAIL, &[0x03, 0x00]].concat();
        prop_assert_eq!(miniz_oxide::inflate::decompress_to_vec(&whole).unwrap(), message.clone());
        // zlib refuses what reaches farther back than its window.
        let mut strict = Inflate::new(false, window_bits);
        let mut out = vec![0; message.len() + 1];
        let strictly = strict.decompress(&whole, &mut out, InflateFlush::NoFlush);
        prop_assert!(strictly.is_ok(), "{:?}", strictly);
        prop_assert_eq!(&out[..message.len()], message);
    }

    #[test]
    fn what_miniz_has_compressed_is_inflated(message in texts(50_000), level in 1..10_u8) {
        let whole = miniz_oxide::deflate::compress_to_vec(&message, level);
        prop_assert_eq!(inflate(&whole).unwrap(), message);
    }

    #[test]
    fn any_octets_end_within_the_bounds_and_whatever_the_slices(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        slice in 1..5000_usize,
    ) {
        let bounds = Bounds { message_bytes_max: 10_000, ratio_max: 100 };
        let whole = inflate_in(&payload, &[], &bounds, 1 << 20);
        prop_assert_eq!(inflate_in(&payload, &[], &bounds, slice), whole);
    }

    #[test]
    fn messages_that_refer_to_each_other_are_inflated_with_a_window(
        messages in prop::collection::vec(texts(6000), 1..12),
        bits in 9..=15_u8,
    ) {
        // A compressor that carries its window over, as a client may.
        let mut client = zlib_rs::Deflate::new(6, false, bits);
        let mut window = Window::new(bits);
        for message in messages {
            let mut payload = vec![0; message.len() + 1000];
            let before = client.total_out();
            let flush = zlib_rs::DeflateFlush::SyncFlush;
            client.compress(&message, &mut payload, flush).expect("it compresses");
            payload.truncate((client.total_out() - before) as usize);
            let Some(payload) = payload.strip_suffix(&TAIL) else { continue };
            let got = inflate_in(payload, window.octets(), &BOUNDS, 1 << 20);
            prop_assert_eq!(&got.unwrap(), &message);
            window.push(&message);
        }
    }
}

/// Blocks and whole streams without content cost time as well.
#[test]
fn what_gives_nothing_is_charged_all_the_same() {
    for (unit, calls_min) in [(&[0, 0, 0, 0xff, 0xff][..], 3), (&[3, 0][..], 900)] {
        // The first octet of the empty block whose other four every sender leaves out.
        let payload = [&unit.repeat(10_000 / unit.len())[..], &[0]].concat();
        let (mut inflater, mut out, mut calls) = (Inflater::new(), Vec::new(), 0);
        inflater.begin(&[]);
        loop {
            calls += 1;
            let mut budget = 10_000;
            let progress = inflater.advance(&payload, &mut out, &BOUNDS, &mut budget);
            if progress.expect("valid") == Progress::Whole {
                break;
            }
        }
        assert!(out.is_empty() && calls >= calls_min, "{unit:?}: {calls} calls");
    }
}

mod offers {
    use super::super::offer::{Malformed, Negotiated, OFFER, check_answer, negotiate};
    use super::*;

    fn answer_to(offer: &str, policy: &Policy) -> Result<Option<String>, Malformed> {
        let agreed = negotiate(offer.split('\n').map(str::as_bytes), policy)?;
        Ok(agreed.agreed().map(|agreed| {
            let mut out = Vec::new();
            agreed.write_answer(&mut out);
            String::from_utf8(out).expect("ASCII")
        }))
    }

    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn offers_that_are_met() {
        let roomy = Policy { client_takeover: true, ..Policy::default() };
        let narrow = Policy { server_window_bits: 12, client_window_bits: 10, ..roomy };
        let rows: [(&str, &Policy, String); 11] = [
            ("permessage-deflate", &Policy::default(), PLAIN.into()),
            // What browsers send.
            ("permessage-deflate; client_max_window_bits", &Policy::default(), PLAIN.into()),
            (
                "permessage-deflate; server_max_window_bits=10",
                &Policy::default(),
                format!("{PLAIN}; server_max_window_bits=10"),
            ),
            (
                "permessage-deflate; client_max_window_bits=\"9\"",
                &Policy::default(),
                format!("{PLAIN}; client_max_window_bits=9"),
            ),
            ("permessage-deflate", &roomy, "permessage-deflate; server_no_context_takeover".into()),
            ("permessage-deflate; client_no_context_takeover", &roomy, PLAIN.into()),
            (
                "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
                &narrow,
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; \
                 client_max_window_bits=10"
                    .into(),
            ),
            // The first that can be met.
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate",
                &Policy::default(),
                PLAIN.into(),
            ),
            ("permessage-deflate; unknown\npermessage-deflate", &Policy::default(), PLAIN.into()),
            ("x-webkit-deflate-frame,, permessage-deflate", &Policy::default(), PLAIN.into()),
            (
                "x; y=\"a\\\"b,c\"; z, permessage-deflate",
                &Policy::default(),
                // A quoted value has to be a token: RFC 6455, section 9.1.
                String::new(),
            ),
        ];
        for (offer, policy, expected) in rows {
            let expected = if expected.is_empty() { Err(Malformed) } else { Ok(Some(expected)) };
            assert_eq!(answer_to(offer, policy), expected, "{offer}");
        }
    }

    #[test]
    fn offers_that_are_declined() {
        let declined = [
            "",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=+9",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            "permessage-deflate; x",
        ];
        for offer in declined {
            assert_eq!(answer_to(offer, &Policy::default()), Ok(None), "{offer}");
        }
    }

    #[test]
    fn lists_that_are_none() {
        for list in ["permessage-deflate; =9", "a b", "permessage-deflate; x=\"", "x;;y", "x; y=\""]
        {
            assert_eq!(answer_to(list, &Policy::default()), Err(Malformed), "{list}");
        }
    }

    #[test]
    fn a_client_of_ours_takes_what_it_has_offered() {
        let policy =
            Policy { server_window_bits: 11, client_window_bits: 9, client_takeover: true };
        let agreed = negotiate([OFFER.as_bytes()].into_iter(), &policy).unwrap();
        let agreed = agreed.agreed().expect("an agreement");
        let mut answer = Vec::new();
        agreed.write_answer(&mut answer);
        let ours = check_answer([&answer[..]].into_iter()).unwrap().expect("an agreement");
        assert_eq!((ours.send_window_bits, ours.recv_takeover), (9, false));
        assert_eq!(agreed.agreement().recv_window_bits, 9);
        assert!(!agreed.agreement().recv_takeover);
        assert_eq!(check_answer(std::iter::empty()), Ok(None));
        let wrong = [
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover; x",
            "foo; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover, permessage-deflate; \
             server_no_context_takeover",
        ];
        for answer in wrong {
            let answer = check_answer([answer.as_bytes()].into_iter());
            assert_eq!(answer, Err(Malformed));
        }
    }

    #[test]
    fn what_was_not_offered_is_not_declined() {
        let judge = |field: &str| negotiate([field.as_bytes()].into_iter(), &Policy::default());
        assert_eq!(judge("x-webkit-deflate-frame, foo; a=1"), Ok(Negotiated::NotOffered));
        assert_eq!(judge("permessage-deflate; server_max_window_bits=8"), Ok(Negotiated::Declined));
        assert_eq!(judge("permessage-deflate; a, foo"), Ok(Negotiated::Declined));
        let second = judge("permessage-deflate; a, permessage-deflate, permessage-deflate; b");
        assert!(second.unwrap().agreed().is_some());
    }

    proptest! {
        #[test]
        fn any_octets_are_judged(value in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = negotiate([&value[..]].into_iter(), &Policy::default());
            let _ = check_answer([&value[..]].into_iter());
        }
    }
}
