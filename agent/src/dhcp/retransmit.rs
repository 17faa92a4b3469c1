//! When to say something again.

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// RFC 2131, section 4.1, begins with four seconds for the networks of 1997; today one second is slow.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(64);

/// After a renewal that nobody answered (RFC 2131, section 4.4.5).
const SHORTEST_RENEWAL: Duration = Duration::from_mins(1);

/// After the first failure at once, then later and later, so that a server that refuses is not stormed.
const LONGEST_PENANCE: Duration = Duration::from_mins(5);

/// How long to wait for an OFFER after the `sent`th DISCOVER: doubling, and from the second on spread so wide that a herd
/// of clients loses its step.
pub(super) fn after_discover(sent: u32, rng: &mut dyn Rng) -> Duration {
    let doubled = FIRST.saturating_mul(1 << sent.saturating_sub(1).min(6)).min(LONGEST);
    if sent <= 1 || doubled == LONGEST {
        spread(doubled, 0.9..1.1, rng)
    } else {
        spread(doubled, 0.5..1.5, rng)
    }
}

/// How long to wait for an ACK: a server that has just made an offer is there.
pub(super) fn after_request(rng: &mut dyn Rng) -> Duration {
    spread(FIRST, 0.9..1.1, rng)
}

/// How long to wait for an answer to a renewal, `remaining` before the state ends.
pub(super) fn after_renewal(remaining: Duration) -> Duration {
    (remaining / 2).max(SHORTEST_RENEWAL)
}

/// How long to stay silent after the `failures`th offer in a row that came to nothing.
pub(super) fn after_failure(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        _ => FIRST.saturating_mul(1 << (failures - 2).min(9)).min(LONGEST_PENANCE),
    }
}

/// `duration`, times a factor from the range.
pub(super) fn spread(duration: Duration, factor: std::ops::Range<f64>, rng: &mut dyn Rng) -> Duration {
    duration.mul_f64(rng.random_range(factor))
}
