//! The worker's mailbox: a bounded queue with an eventfd as its bell, so that the worker can
//! wait for packets and letters in one `epoll_wait`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::media::ports::Bound;
use crate::media::sounds::Clip;
use crate::switch::media::MediaCommand;

/// Letters that may lie in the box: some seconds of the busiest switch.
pub(super) const MAILBOX: usize = 8192;

/// What the worker is told.
#[derive(Debug)]
pub(super) enum Letter {
    /// From the switch.
    Command(MediaCommand),
    /// A pair that was bound outside the worker, already taken.
    Adopt(Bound),
    /// A sound has been loaded (or replaced by the default one).
    Loaded { name: String, clip: Arc<Clip> },
    /// Say BYE, close and end.
    Shutdown,
}

/// The box.
#[derive(Debug)]
pub(super) struct Mailbox {
    letters: ArrayQueue<Letter>,
    bell: EventFd,
    rung: AtomicBool,
    /// Nobody reads any more.
    closed: AtomicBool,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Mailbox> {
        Ok(Mailbox {
            letters: ArrayQueue::new(MAILBOX),
            bell: EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?,
            rung: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// Puts a letter in and rings. Waits while the box is full. After the worker's end letters
    /// are dropped.
    pub(super) fn send(&self, letter: Letter) {
        if self.is_closed() {
            return;
        }
        let mut letter = letter;
        while let Err(back) = self.letters.push(letter) {
            if self.is_closed() {
                return;
            }
            letter = back;
            self.ring();
            std::thread::sleep(Duration::from_micros(50));
        }
        self.ring();
    }

    /// Wakes the worker; by itself this asks it to look after the pairs.
    pub(super) fn ring(&self) {
        // One write for any number of letters until the worker looks.
        if !self.rung.swap(true, Ordering::SeqCst) {
            // The counter cannot overflow: it is read before it is written again.
            let _ = self.bell.write(1);
        }
    }

    /// Silences the bell. Letters put in after this ring again.
    pub(super) fn hush(&self) {
        let _ = self.bell.read();
        self.rung.store(false, Ordering::SeqCst);
    }

    pub(super) fn next(&self) -> Option<Letter> {
        self.letters.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
