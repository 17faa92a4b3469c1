//! How long a lease lasts, and when its client asks to extend it. Pure.

use std::{fmt, str::FromStr, time::Duration};

use jiff::SignedDuration;
use thiserror::Error;

/// A lease time in whole seconds, of 2 at least: T1 is then not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTime(u32);

/// Why a text is no [`LeaseTime`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected a time of two seconds or more, such as 90s or 1h")]
pub struct InvalidLeaseTime;

impl LeaseTime {
    /// Option 51, in seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// Option 58, in seconds: half of the lease time (RFC 2131 4.4.5).
    pub fn t1(self) -> u32 {
        self.0 / 2
    }

    /// Option 59, in seconds: seven eighths of the lease time (RFC 2131 4.4.5).
    pub fn t2(self) -> u32 {
        self.0 - self.0.div_ceil(8)
    }

    /// The same as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Default for LeaseTime {
    fn default() -> Self {
        Self(3600)
    }
}

impl fmt::Display for LeaseTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}s", self.0)
    }
}

impl FromStr for LeaseTime {
    type Err = InvalidLeaseTime;

    fn from_str(text: &str) -> Result<Self, InvalidLeaseTime> {
        let duration: SignedDuration = text.parse().map_err(|_| InvalidLeaseTime)?;
        match u32::try_from(duration.as_secs()) {
            // 0xffffffff means for ever (RFC 2131 3.3), which has no half.
            Ok(0 | 1 | u32::MAX) | Err(_) => Err(InvalidLeaseTime),
            Ok(seconds) => Ok(Self(seconds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_and_t2_come_before_the_end() {
        for (text, t1, t2) in [("1h", 1800, 3150), ("10s", 5, 8), ("2s", 1, 1)] {
            let time: LeaseTime = text.parse().expect("a lease time");
            assert_eq!((time.t1(), time.t2()), (t1, t2), "{text}");
            assert_eq!(time.to_string().parse(), Ok(time), "what is shown can be typed");
        }
    }

    #[test]
    fn a_time_without_t1_is_refused() {
        for text in ["1s", "0s", "-1h", "3600", "", "4294967295s"] {
            assert_eq!(text.parse::<LeaseTime>(), Err(InvalidLeaseTime), "{text:?}");
        }
    }
}
