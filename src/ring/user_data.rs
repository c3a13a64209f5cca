//! The one codec of `user_data`: kind 10 | slot 22 | generation 32.

use crate::base::{ConnKey, Generation, ShardId, Slot};
use crate::ring::op::{FileSlot, ListenerId};

/// What a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserData {
    /// An accept: its listener, and which of the accepts in flight.
    Accept { listener: ListenerId, index: u32 },
    /// The cancelling of a listener's accepts.
    CancelAccept { listener: ListenerId },
    /// A multishot receive.
    Recv(ConnKey),
    /// The cancelling of a receive.
    CancelRecv(ConnKey),
    /// A fast-path send.
    Send(ConnKey),
    /// A queued send.
    SendQueued(ConnKey),
    /// A shutdown: the kernel looks its descriptor up late, so the slot is held until it is over.
    Shutdown(FileSlot),
    /// The closing of a connection's descriptor.
    Close(ConnKey),
    /// The closing of a descriptor that never became a connection.
    CloseUnused,
    /// A wake-up that this ring sent.
    Wake(ShardId),
    /// A wake-up that this ring got.
    Woken,
    /// A wake-up of the control plane.
    WakeControl,
    /// A connect.
    Connect(ConnKey),
}

const SLOT_BITS: u32 = 22;
const KIND_SHIFT: u32 = 54;

impl UserData {
    /// Packs into the word that the kernel carries.
    pub fn encode(self) -> u64 {
        let conn = |kind, key: ConnKey| word(kind, key.slot.0, key.generation.0);
        match self {
            UserData::Accept { listener, index } => word(1, u32::from(listener.0), index),
            UserData::CancelAccept { listener } => word(2, u32::from(listener.0), 0),
            UserData::Recv(key) => conn(3, key),
            UserData::CancelRecv(key) => conn(4, key),
            UserData::Send(key) => conn(5, key),
            UserData::SendQueued(key) => conn(6, key),
            UserData::Shutdown(file) => word(7, 0, file.0),
            UserData::Close(key) => conn(8, key),
            UserData::CloseUnused => word(9, 0, 0),
            UserData::Wake(shard) => word(10, u32::from(shard.0), 0),
            UserData::Woken => word(11, 0, 0),
            UserData::WakeControl => word(12, 0, 0),
            UserData::Connect(key) => conn(13, key),
        }
    }

    /// Unpacks; `None` for a word that no [`Self::encode`] made.
    pub fn decode(word: u64) -> Option<Self> {
        let slot = (word >> 32) as u32 & ((1 << SLOT_BITS) - 1);
        let low = word as u32;
        let key = ConnKey { slot: Slot(slot), generation: Generation(low) };
        let listener = ListenerId(slot as u16);
        Some(match word >> KIND_SHIFT {
            1 => UserData::Accept { listener, index: low },
            2 => UserData::CancelAccept { listener },
            3 => UserData::Recv(key),
            4 => UserData::CancelRecv(key),
            5 => UserData::Send(key),
            6 => UserData::SendQueued(key),
            7 => UserData::Shutdown(FileSlot(low)),
            8 => UserData::Close(key),
            9 => UserData::CloseUnused,
            10 => UserData::Wake(ShardId(slot as u16)),
            11 => UserData::Woken,
            12 => UserData::WakeControl,
            13 => UserData::Connect(key),
            _ => return None,
        })
    }
}

fn word(kind: u64, slot: u32, low: u32) -> u64 {
    debug_assert!(slot < 1 << SLOT_BITS);
    kind << KIND_SHIFT | u64::from(slot) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_round_trip() {
        let key = ConnKey { slot: Slot((1 << 20) - 1), generation: Generation(u32::MAX) };
        let listener = ListenerId(7);
        let all = [
            UserData::Accept { listener, index: 63 },
            UserData::CancelAccept { listener },
            UserData::Recv(key),
            UserData::CancelRecv(key),
            UserData::Send(key),
            UserData::SendQueued(key),
            UserData::Shutdown(FileSlot((1 << 20) - 1)),
            UserData::Close(key),
            UserData::CloseUnused,
            UserData::Wake(ShardId(1023)),
            UserData::Woken,
            UserData::WakeControl,
            UserData::Connect(key),
        ];
        let words: std::collections::HashSet<u64> = all.iter().map(|d| d.encode()).collect();
        assert_eq!(words.len(), all.len());
        for data in all {
            assert_eq!(UserData::decode(data.encode()), Some(data));
        }
        assert_eq!(UserData::decode(0), None);
        assert_eq!(UserData::decode(u64::MAX), None);
    }
}
