//! Listening sockets that the service manager hands over (sd_listen_fds(3)).
//!
//! Invariant I1: the descriptors are taken once in the life of a process, and nobody else has them:
//! they were there before `main`, in the numbers that the manager has promised.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::socket::Listener;

/// The first descriptor that is handed over.
const FIRST: RawFd = 3;
/// More than anybody hands over; a number beyond it is a mistake.
const INHERITED_MAX: RawFd = 64;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The sockets that `LISTEN_FDS` counts, if `LISTEN_PID` says that they are for this process. None
/// from the second call on.
pub fn take_inherited() -> io::Result<Vec<Listener>> {
    let variable = |name| std::env::var(name).ok();
    let count = count(variable("LISTEN_PID"), variable("LISTEN_FDS"), std::process::id())?;
    if count == 0 || TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    (FIRST..FIRST + count).map(take).collect()
}

fn count(pid: Option<String>, fds: Option<String>, me: u32) -> io::Result<RawFd> {
    let (Some(pid), Some(fds)) = (pid, fds) else { return Ok(0) };
    if pid.parse() != Ok(me) {
        return Ok(0);
    }
    let count = fds.parse().ok().filter(|count| (0..=INHERITED_MAX).contains(count));
    count.ok_or_else(|| {
        let what = format!("LISTEN_FDS is {fds:?}, but it may be 0 to {INHERITED_MAX}");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })
}

fn take(fd: RawFd) -> io::Result<Listener> {
    let refused = |error| io::Error::other(format!("descriptor {fd} of LISTEN_FDS: {error}"));
    // SAFETY: fcntl(2) reads no memory of ours, and fails where there is no such descriptor.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(refused(io::Error::last_os_error()));
    }
    // SAFETY: it is open, as fcntl(2) has shown, and nobody else owns it (I1).
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Listener::from_fd(fd).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sound_number_for_this_process_counts() {
        let text = |text: &str| Some(text.to_owned());
        let count = |pid, fds| count(pid, fds, 7).map_err(|error| error.to_string());
        assert_eq!(count(text("7"), text("2")), Ok(2));
        assert_eq!(count(text("8"), text("2")), Ok(0), "for another process");
        assert_eq!(count(None, text("2")), Ok(0));
        assert_eq!(count(text("7"), None), Ok(0));
        let error = "LISTEN_FDS is \"many\", but it may be 0 to 64";
        assert_eq!(count(text("7"), text("many")), Err(error.to_owned()));
        assert!(count(text("7"), text("65")).is_err());
    }
}
