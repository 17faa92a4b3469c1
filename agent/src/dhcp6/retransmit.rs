//! When to say something again (RFC 8415, section 15), and how long to be silent after a failure.

use std::time::Duration;

use rand::{Rng, RngExt as _};

use crate::{clock::Instant, dhcp::Context};

/// RFC 8415, section 7.6: `SOL_MAX_RT` and `INF_MAX_RT`, unless a server has another one.
pub(super) const LONGEST_SEARCH: Duration = Duration::from_hours(1);

/// The RFC has a whole second for herds that start together; here somebody waits.
const LONGEST_DELAY: Duration = Duration::from_millis(100);

/// The first failure costs nothing; then later and later, so that a server that refuses is not stormed.
const FIRST_PENANCE: Duration = Duration::from_secs(1);
const LONGEST_PENANCE: Duration = Duration::from_mins(5);

/// The parameters of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// IRT
    pub first: Duration,
    /// MRT
    pub longest: Option<Duration>,
    /// MRC
    pub most: Option<u32>,
    /// MRD
    pub within: Option<Duration>,
}

impl Timing {
    pub const SOLICIT: Self = Self::new(Duration::from_secs(1), Some(LONGEST_SEARCH));
    pub const REQUEST: Self = Self::new(Duration::from_secs(1), Some(Duration::from_secs(30))).up_to(10);
    pub const CONFIRM: Self = Self {
        within: Some(Duration::from_secs(10)),
        ..Self::new(Duration::from_secs(1), Some(Duration::from_secs(4)))
    };
    /// It ends with T2, which is the lease's.
    pub const RENEW: Self = Self::new(Duration::from_secs(10), Some(Duration::from_mins(10)));
    /// It ends with the lease.
    pub const REBIND: Self = Self::RENEW;
    pub const INFORMATION_REQUEST: Self = Self::SOLICIT;
    pub const DECLINE: Self = Self::new(Duration::from_secs(1), None).up_to(4);

    const fn new(first: Duration, longest: Option<Duration>) -> Self {
        Self { first, longest, most: None, within: None }
    }

    const fn up_to(self, most: u32) -> Self {
        Self { most: Some(most), ..self }
    }
}

/// The same message again and again, until it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub xid: [u8; 3],
    pub timing: Timing,
    /// When the first message was sent, or is to be.
    pub began: Instant,
    /// Messages sent.
    pub sent: u32,
    /// RT
    wait: Duration,
    /// When the next message is due.
    at: Instant,
}

impl Exchange {
    /// An exchange that begins at `at`.
    pub fn new(timing: Timing, at: Instant, rng: &mut dyn Rng) -> Self {
        Self { xid: rng.random(), timing, began: at, sent: 0, wait: Duration::ZERO, at }
    }

    /// When the next message is due, or there is to be none any more.
    pub fn deadline(&self) -> Instant {
        let end = self.timing.within.filter(|_| self.sent > 0).map(|within| self.began + within);
        end.map_or(self.at, |end| self.at.min(end))
    }

    /// Whether it was all in vain, once the deadline has passed.
    pub fn is_over(&self, now: Instant) -> bool {
        let is_late = self.timing.within.is_some_and(|within| self.began + within <= now);
        self.sent > 0 && is_late || self.timing.most.is_some_and(|most| self.sent >= most)
    }

    /// Counts a message that is sent now, and says for how long the exchange has gone on, as option 8 has it.
    pub fn count(&mut self, context: &mut Context<'_>) -> u16 {
        // The first wait of a SOLICIT must not be shorter (section 18.2.1), and the others may as well not be.
        let rand = context.rng.random_range(if self.sent == 0 { 0.0..0.1 } else { -0.1..0.1 });
        let wait = match self.sent {
            0 => self.timing.first.mul_f64(1.0 + rand),
            _ => self.wait.mul_f64(2.0 + rand),
        };
        let longest = self.timing.longest.filter(|longest| *longest < wait);
        self.wait = longest.map_or(wait, |longest| longest.mul_f64(1.0 + rand));
        if self.sent == 0 {
            self.began = context.now;
        }
        self.sent = self.sent.saturating_add(1);
        self.at = context.now + self.wait;
        let hundredths = context.now.saturating_duration_since(self.began).as_millis() / 10;
        u16::try_from(hundredths).unwrap_or(u16::MAX)
    }
}

/// How long to wait before a first message.
pub(super) fn delay(rng: &mut dyn Rng) -> Duration {
    rng.random_range(Duration::ZERO..LONGEST_DELAY)
}

/// How long to be silent after the `failures`th attempt in a row that came to nothing.
pub(super) fn after_failure(failures: u32, rng: &mut dyn Rng) -> Duration {
    let penance = match failures {
        0 | 1 => Duration::ZERO,
        _ => FIRST_PENANCE.saturating_mul(1 << (failures - 2).min(9)).min(LONGEST_PENANCE),
    };
    penance + delay(rng)
}
