//! How often something may be done: a few times at once, and then now and then. Pure.

use std::time::Duration;

use crate::clock::Instant;

/// At once.
const BURST: u32 = 10;
/// Once more after each of these.
const REFILL: Duration = Duration::from_secs(5);

/// What is left of it. Nobody on the LAN can make the agent write or configure without end.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    refilled: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: BURST, refilled: Instant::BOOT }
    }
}

impl Budget {
    /// Takes one, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled).as_secs() / REFILL.as_secs();
        let more = u32::try_from(passed).unwrap_or(BURST).min(BURST);
        if more > 0 {
            self.left = (self.left + more).min(BURST);
            self.refilled = now;
        }
        let is_one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_one
    }

    /// When there is one again.
    pub fn next(&self) -> Instant {
        self.refilled + REFILL
    }
}
