//! Frames for the servers that are made by hand: headers are read, payloads unmasked, and nothing
//! is checked. A frame is answered as it came, so a message in fragments comes back in fragments.

/// The longest header that a server sends.
const HEADER_BYTES_MAX: usize = 10;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// What became of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Octets that are done with; the rest is the beginning of a frame.
    pub taken: usize,
    /// Octets of answers.
    pub replied: usize,
    /// Whether a close frame came; it has been answered.
    pub closed: bool,
}

struct Header {
    first: u8,
    bytes: usize,
    payload_bytes: usize,
    mask: [u8; 4],
}

impl Header {
    /// The header of a frame that is there to its end.
    #[inline]
    fn of_whole_frame(data: &[u8]) -> Option<Header> {
        let [first, second, ..] = *data else { return None };
        let (mut bytes, payload_bytes) = match second & 0x7f {
            126 => (4, u16::from_be_bytes(data.get(2..4)?.try_into().ok()?).into()),
            127 => (10, u64::from_be_bytes(data.get(2..10)?.try_into().ok()?) as usize),
            short => (2, short.into()),
        };
        let mut mask = [0; 4];
        if second & 0x80 != 0 {
            mask = data.get(bytes..bytes + 4)?.try_into().ok()?;
            bytes += 4;
        }
        let is_whole = data.len() - bytes >= payload_bytes;
        is_whole.then_some(Header { first, bytes, payload_bytes, mask })
    }

    #[inline]
    fn opcode(&self) -> u8 {
        self.first & 0x0f
    }
}

/// Answers every frame of `data` in place: the replies stand at its beginning afterwards, and what
/// was not taken stands where it stood. A server's frame is never longer than the client's was.
#[inline]
pub fn echo_in_place(data: &mut [u8]) -> Fed {
    let mut fed = Fed { taken: 0, replied: 0, closed: false };
    while !fed.closed {
        let Some(header) = Header::of_whole_frame(&data[fed.taken..]) else { break };
        let payload = fed.taken + header.bytes;
        fed.taken = payload + header.payload_bytes;
        let first = match header.opcode() {
            PONG => continue,
            PING => FIN | PONG,
            CLOSE => {
                fed.closed = true;
                header.first
            }
            _ => header.first,
        };
        let (head, head_bytes) = encode_header(first, header.payload_bytes);
        data[fed.replied..fed.replied + head_bytes].copy_from_slice(&head[..head_bytes]);
        fed.replied += head_bytes;
        move_unmasked(data, payload, fed.replied, header.payload_bytes, header.mask);
        fed.replied += header.payload_bytes;
    }
    fed
}

/// Adds every data frame of `data` to the batch of its topic, and the answers to control frames to
/// `replies`.
#[inline]
pub fn relay(data: &[u8], batch: &mut Vec<u8>, replies: &mut Vec<u8>) -> Fed {
    let mut fed = Fed { taken: 0, replied: 0, closed: false };
    while !fed.closed {
        let Some(header) = Header::of_whole_frame(&data[fed.taken..]) else { break };
        let payload = fed.taken + header.bytes;
        fed.taken = payload + header.payload_bytes;
        let payload = &data[payload..fed.taken];
        match header.opcode() {
            PONG => {}
            PING => append(replies, FIN | PONG, payload, header.mask),
            CLOSE => {
                append(replies, header.first, payload, header.mask);
                fed.closed = true;
            }
            _ => append(batch, header.first, payload, header.mask),
        }
    }
    fed.replied = replies.len();
    fed
}

#[inline]
fn append(out: &mut Vec<u8>, first: u8, payload: &[u8], mask: [u8; 4]) {
    let (head, head_bytes) = encode_header(first, payload.len());
    out.extend_from_slice(&head[..head_bytes]);
    let start = out.len();
    out.extend_from_slice(payload);
    move_unmasked(out, start, start, payload.len(), mask);
}

#[inline]
fn encode_header(first: u8, payload_bytes: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut head = [0; HEADER_BYTES_MAX];
    head[0] = first;
    match (u8::try_from(payload_bytes), u16::try_from(payload_bytes)) {
        (Ok(short), _) if short < 126 => {
            head[1] = short;
            (head, 2)
        }
        (_, Ok(medium)) => {
            head[1] = 126;
            head[2..4].copy_from_slice(&medium.to_be_bytes());
            (head, 4)
        }
        (_, Err(_)) => {
            head[1] = 127;
            head[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            (head, 10)
        }
    }
}

/// Moves a payload towards the front while it is unmasked: one pass, in blocks that the compiler
/// makes vectors of. `to` is not behind `from`.
#[inline]
fn move_unmasked(data: &mut [u8], from: usize, to: usize, bytes: usize, mask: [u8; 4]) {
    const BLOCK: usize = 32;
    let mut wide = [0; BLOCK];
    wide.chunks_exact_mut(4).for_each(|four| four.copy_from_slice(&mask));
    let mut done = 0;
    while bytes - done >= BLOCK {
        let mut block = [0; BLOCK];
        block.copy_from_slice(&data[from + done..][..BLOCK]);
        for (octet, mask) in block.iter_mut().zip(&wide) {
            *octet ^= mask;
        }
        data[to + done..][..BLOCK].copy_from_slice(&block);
        done += BLOCK;
    }
    while bytes - done >= 4 {
        let mut four = [0; 4];
        four.copy_from_slice(&data[from + done..][..4]);
        let clear = u32::from_ne_bytes(four) ^ u32::from_ne_bytes(mask);
        data[to + done..][..4].copy_from_slice(&clear.to_ne_bytes());
        done += 4;
    }
    for index in done..bytes {
        data[to + index] = data[from + index] ^ mask[index % 4];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let (head, bytes) = encode_header(first, payload.len());
        let mut out = head[..bytes].to_vec();
        out[1] |= 0x80;
        out.extend_from_slice(&mask);
        out.extend(payload.iter().enumerate().map(|(index, octet)| octet ^ mask[index % 4]));
        out
    }

    fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
        let (head, bytes) = encode_header(first, payload.len());
        [&head[..bytes], payload].concat()
    }

    #[test]
    fn echoes_of_all_sizes_stand_at_the_front() {
        let sizes = [0, 1, 3, 4, 31, 32, 33, 125, 126, 4000, 65_535, 65_536];
        let payloads: Vec<Vec<u8>> =
            sizes.iter().map(|size| (0..*size).map(|n: u32| n as u8).collect()).collect();
        let mut data: Vec<u8> = payloads.iter().flat_map(|p| masked(0x82, p)).collect();
        let rest = masked(0x81, b"incomplete");
        data.extend_from_slice(&rest[..9]);
        let want: Vec<u8> = payloads.iter().flat_map(|p| plain(0x82, p)).collect();
        let fed = echo_in_place(&mut data);
        assert_eq!(fed, Fed { taken: data.len() - 9, replied: want.len(), closed: false });
        assert!(data[..fed.replied] == want);
        assert_eq!(data[fed.taken..], rest[..9]);
    }

    #[test]
    fn control_frames_are_answered_and_never_relayed() {
        let input = [masked(0x89, b"p"), masked(0x8a, b"q"), masked(0x81, b"hello")].concat();
        let input = [input, masked(0x88, &[3, 232]), masked(0x81, b"late")].concat();
        let (mut batch, mut replies) = (Vec::new(), Vec::new());
        let fed = relay(&input, &mut batch, &mut replies);
        assert!(fed.closed);
        assert_eq!(batch, plain(0x81, b"hello"));
        assert_eq!(replies, [plain(0x8a, b"p"), plain(0x88, &[3, 232])].concat());
        let mut same = input;
        let fed = echo_in_place(&mut same);
        let want = [plain(0x8a, b"p"), plain(0x81, b"hello"), plain(0x88, &[3, 232])].concat();
        assert!(fed.closed && same[..fed.replied] == want);
    }
}
