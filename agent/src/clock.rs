//! Reads the clocks. Nothing else in the agent does.

use std::{fs, ops::Add, time::Duration};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// The time of day, for display.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// A moment that means something to another process, and after another boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the clock that never steps.
    pub instant: Instant,
    /// Which boot that clock counts from.
    pub boot_id: String,
    /// By the clock that may have been set.
    pub wall: Timestamp,
}

impl Moment {
    /// Reads the clocks.
    pub fn now() -> Self {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { instant: Instant::now(), boot_id: boot_id.trim().to_owned(), wall: wall() }
    }
}

/// A moment on `CLOCK_BOOTTIME`: it never steps, and it counts the time that the host was suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// The moment the host booted; the origin of virtual time in tests.
    pub const BOOT: Self = Self(Duration::ZERO);

    /// Reads the clock.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists since Linux 2.6.39");
        Self(now.into())
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since the host booted.
    pub fn since_boot(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: the end of time is a moment too.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}
