//! The table of direct descriptors, as far as a driver has to know it.
//!
//! The kernel owns the table and picks the slots. What lives here is one hazard: the kernel runs
//! shutdown(2) on a worker thread and looks the descriptor up only there. A close right behind it
//! frees the slot at once, and the shutdown would find nothing, or the next connection.
//!
//! Invariant: D1 a slot is never closed while a shutdown of it is in flight; the close waits.

use std::collections::HashMap;

use io_uring::{opcode, squeue, types};

use super::op::{FileSlot, ShutdownHow};
use super::user_data::UserData;

/// See the module's header.
#[derive(Default)]
pub(super) struct Files {
    shutting: HashMap<FileSlot, Shutting, foldhash::fast::RandomState>,
    /// Closes whose shutdowns are over.
    pub(super) due: Vec<(FileSlot, UserData)>,
}

struct Shutting {
    in_flight: u32,
    close: Option<UserData>,
}

impl Files {
    /// The order to shut down, and a note that it is in flight.
    pub(super) fn shutdown(&mut self, file: FileSlot, how: ShutdownHow) -> squeue::Entry {
        let shutting = self.shutting.entry(file).or_insert(Shutting { in_flight: 0, close: None });
        debug_assert!(shutting.close.is_none(), "O3: a close comes last");
        shutting.in_flight += 1;
        let how = match how {
            ShutdownHow::Write => libc::SHUT_WR,
            ShutdownHow::Both => libc::SHUT_RDWR,
        };
        opcode::Shutdown::new(types::Fixed(file.0), how)
            .build()
            .user_data(UserData::Shutdown(file).encode())
    }

    /// The order to close, or `None` when it has to wait (D1).
    pub(super) fn close(&mut self, file: FileSlot, data: UserData) -> Option<squeue::Entry> {
        if let Some(shutting) = self.shutting.get_mut(&file) {
            shutting.close = Some(data);
            return None;
        }
        Some(opcode::Close::new(types::Fixed(file.0)).build().user_data(data.encode()))
    }

    /// A shutdown is over. What it found doesn't matter: the peer may have been faster.
    pub(super) fn shut(&mut self, file: FileSlot) {
        let shutting = self.shutting.get_mut(&file).expect("bug: no shutdown was in flight");
        shutting.in_flight -= 1;
        if shutting.in_flight > 0 {
            return;
        }
        let shutting = self.shutting.remove(&file).expect("it was there");
        self.due.extend(shutting.close.map(|data| (file, data)));
    }
}
