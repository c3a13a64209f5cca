//! Generated streams, cut and corrupted in any way.

use crate::support::{Outcome, ROOMY, Seen, cut, feed, frame, oracle};
use proptest::prelude::*;
use proptest::sample::Index;
use ringwire::ws::{Limits, Role};

/// One message or control frame, and how it is framed.
#[derive(Clone, Debug)]
struct Item {
    what: Seen,
    /// Where a message is cut into fragments.
    cuts: Vec<Index>,
    /// Control frames between the fragments.
    between: Vec<Seen>,
    mask: [u8; 4],
}

fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0..40_usize,
        3 => 120..=130_usize,
        1 => 65_530..=65_540_usize,
        1 => 0..70_000_usize,
    ]
}

fn texts() -> impl Strategy<Value = Seen> {
    (prop::collection::vec(any::<char>(), 1..9), lengths()).prop_map(|(letters, bytes)| {
        let mut text = String::new();
        for letter in letters.iter().cycle() {
            if text.len() + letter.len_utf8() > bytes {
                break;
            }
            text.push(*letter);
        }
        Seen::Text(text)
    })
}

fn binaries() -> impl Strategy<Value = Seen> {
    (any::<u8>(), lengths()).prop_map(|(seed, bytes)| {
        Seen::Binary((0..bytes).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect())
    })
}

fn controls() -> impl Strategy<Value = Seen> {
    let payload = || prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![payload().prop_map(Seen::Ping), payload().prop_map(Seen::Pong)]
}

fn items() -> impl Strategy<Value = Item> {
    let what = prop_oneof![3 => texts(), 3 => binaries(), 1 => controls()];
    let cuts = prop::collection::vec(any::<Index>(), 0..4);
    let between = prop::collection::vec(controls(), 0..3);
    (what, cuts, between, any::<[u8; 4]>()).prop_map(|(what, cuts, between, mask)| Item {
        what,
        cuts,
        between,
        mask,
    })
}

fn closes() -> impl Strategy<Value = Option<Seen>> {
    let code = prop_oneof![Just(1000_u16), Just(1001), 3000..=4999_u16];
    let coded = (code, "[a-z\u{e9}]{0,60}").prop_map(|(code, why)| Seen::Close(Some(code), why));
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(Seen::Close(None, String::new()))),
        1 => coded.prop_map(Some),
    ]
}

#[derive(Clone, Debug)]
struct Stream {
    role: Role,
    bytes: Vec<u8>,
    expected: Vec<Seen>,
}

fn streams() -> impl Strategy<Value = Stream> {
    (any::<bool>(), prop::collection::vec(items(), 0..7), closes()).prop_map(
        |(server, items, close)| {
            let role = if server { Role::Server } else { Role::Client };
            let mut stream = Stream { role, bytes: Vec::new(), expected: Vec::new() };
            for item in &items {
                stream.add(item);
            }
            if let Some(close) = close {
                stream.control(&close, [9, 8, 7, 6]);
            }
            stream
        },
    )
}

impl Stream {
    fn push(&mut self, first: u8, payload: &[u8], mask: [u8; 4]) {
        let mask = (self.role == Role::Server).then_some(mask);
        self.bytes.extend(frame(first, payload, mask));
    }

    fn add(&mut self, item: &Item) {
        let (opcode, payload) = match &item.what {
            Seen::Text(text) => (0x1, text.as_bytes()),
            Seen::Binary(payload) => (0x2, &payload[..]),
            Seen::Ping(_) | Seen::Pong(_) | Seen::Close(..) => {
                return self.control(&item.what, item.mask);
            }
        };
        let fragments = cut(payload, &item.cuts);
        let mut between = item.between.iter();
        for (index, fragment) in fragments.iter().enumerate() {
            let fin = if index + 1 == fragments.len() { 0x80 } else { 0 };
            self.push(fin | if index == 0 { opcode } else { 0 }, fragment, item.mask);
            if fin == 0
                && let Some(control) = between.next()
            {
                self.control(control, item.mask);
            }
        }
        self.expected.push(item.what.clone());
    }

    fn control(&mut self, control: &Seen, mask: [u8; 4]) {
        match control {
            Seen::Ping(payload) => self.push(0x89, payload, mask),
            Seen::Pong(payload) => self.push(0x8a, payload, mask),
            Seen::Close(None, _) => self.push(0x88, &[], mask),
            Seen::Close(Some(code), reason) => {
                let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
                self.push(0x88, &payload, mask);
            }
            Seen::Text(_) | Seen::Binary(_) => unreachable!("not a control frame"),
        }
        self.expected.push(control.clone());
    }
}

/// A change to a stream.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Insert(Index, u8),
    Delete(Index),
    Truncate(Index),
}

fn damages() -> impl Strategy<Value = Damage> {
    // Near the start is where the headers are: most of a long stream is payload.
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, octet)| Damage::Insert(at, octet)),
        2 => any::<Index>().prop_map(Damage::Delete),
        1 => any::<Index>().prop_map(Damage::Truncate),
    ]
}

fn damage(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Flip(at, bits) => *at.get_mut(bytes) ^= bits,
        Damage::Insert(at, octet) => bytes.insert(at.index(bytes.len()), *octet),
        Damage::Delete(at) => drop(bytes.remove(at.index(bytes.len()))),
        Damage::Truncate(at) => bytes.truncate(at.index(bytes.len())),
    }
}

/// Whole, cut anywhere and (when short) octet by octet: one outcome.
fn feed_all_ways(
    role: Role,
    limits: &Limits,
    bytes: &[u8],
    cuts: &[Index],
) -> Result<Outcome, TestCaseError> {
    let whole = feed(role, limits, [bytes]);
    prop_assert_eq!(&feed(role, limits, cut(bytes, cuts)), &whole);
    prop_assert_eq!(&feed(role, limits, bytes.chunks(1000)), &whole);
    if bytes.len() < 3000 {
        prop_assert_eq!(&feed(role, limits, bytes.chunks(1)), &whole);
    }
    Ok(whole)
}

proptest! {
    #[test]
    fn any_cut_of_a_valid_stream_gives_what_was_sent(
        stream in streams(),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let outcome = feed_all_ways(stream.role, &ROOMY, &stream.bytes, &cuts)?;
        prop_assert_eq!(outcome.fault, None);
        prop_assert_eq!(&outcome.seen, &stream.expected);
        prop_assert_eq!(oracle(stream.role, &ROOMY, &stream.bytes), stream.expected);
    }

    #[test]
    fn a_damaged_stream_gives_events_or_a_fault_however_it_is_cut(
        stream in streams(),
        damages in prop::collection::vec(damages(), 1..5),
        message_bytes_max in 0..3000_usize,
        fragments_max in 1..5_u32,
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let mut bytes = stream.bytes;
        damages.iter().for_each(|one| damage(&mut bytes, one));
        let limits = Limits { message_bytes_max, fragments_max, ..Limits::default() };
        feed_all_ways(stream.role, &limits, &bytes, &cuts)?;
    }

    #[test]
    fn a_damaged_stream_gives_no_event_that_the_oracle_does_not_see(
        stream in streams(),
        damages in prop::collection::vec(damages(), 1..3),
    ) {
        let mut bytes = stream.bytes;
        damages.iter().for_each(|one| damage(&mut bytes, one));
        let outcome = feed(stream.role, &ROOMY, [&bytes[..]]);
        let oracle = oracle(stream.role, &ROOMY, &bytes);
        // We are the stricter: the oracle takes lengths that are not minimal, for one.
        prop_assert!(oracle.starts_with(&outcome.seen), "{:?} / {:?}", outcome, oracle);
        if outcome.fault.is_none() {
            prop_assert_eq!(outcome.seen, oracle);
        }
    }

    #[test]
    fn random_octets_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        server: bool,
        cuts in prop::collection::vec(any::<Index>(), 0..9),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        feed_all_ways(role, &Limits::default(), &bytes, &cuts)?;
    }
}
