//! Writes reports to standard output: each one line, flushed.
//!
//! A reader that does not read holds up nobody: a thread does the writing, and of what it cannot write the oldest goes.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use landfall_api::{Event, Report};
use tracing::warn;

use crate::clock;

/// How many reports wait for a reader before the oldest is dropped.
const LONGEST_QUEUE: usize = 256;

/// Where reports go.
pub struct Reporter {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    is_writing: bool,
}

impl Reporter {
    /// A reporter that writes to standard output for as long as the process lives.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("reporter".into()).stack_size(64 << 10).spawn(move || writer.write())?;
        Ok(Self { shared })
    }

    /// Reports that `event` happened now.
    pub fn report(&self, event: Event) {
        let line = Report { time: clock::wall(), event }.to_line() + "\n";
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.lines.len() == LONGEST_QUEUE {
            queue.lines.pop_front();
            warn!("nobody reads the reports; the oldest is dropped");
        }
        queue.lines.push_back(line);
        self.shared.changed.notify_all();
    }

    /// Waits until everything is written, but not longer than `limit`.
    pub fn flush(&self, limit: Duration) {
        let queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unwritten = |queue: &mut Queue| queue.is_writing || !queue.lines.is_empty();
        drop(self.shared.changed.wait_timeout_while(queue, limit, is_unwritten));
    }
}

impl Shared {
    fn write(&self) {
        loop {
            let line = self.next_line();
            let mut stdout = io::stdout().lock();
            if let Err(error) = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
                warn!(%error, "a report could not be written");
            }
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_writing = false;
            self.changed.notify_all();
        }
    }

    fn next_line(&self) -> String {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.is_writing = true;
                return line;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
