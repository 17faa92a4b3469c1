//! How long a command may take, all in all.

use std::{str::FromStr, time::Duration};

use tokio::time::{Instant, timeout_at};

/// A time to wait, as it is typed: `30s`, `500ms`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse::<jiff::SignedDuration>().ok();
        let positive =
            parsed.and_then(|duration| Duration::try_from(duration).ok()).filter(|time| !time.is_zero());
        positive.map(Self).ok_or_else(|| "a time like 30s, 500ms or 2m is needed".to_owned())
    }
}

/// A limit that runs.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long it was at first.
    pub wait: Duration,
    until: Instant,
}

impl Patience {
    /// The limit runs from now on.
    #[expect(clippy::disallowed_methods, reason = "this is where a command's time begins")]
    pub fn new(Wait(wait): Wait) -> Self {
        Self { wait, until: Instant::now() + wait }
    }

    /// What `future` gives, if it is ready in time.
    pub async fn limit<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.until, future).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_time_and_not_nothing() {
        assert_eq!("30s".parse(), Ok(Wait(Duration::from_secs(30))));
        assert_eq!("500ms".parse(), Ok(Wait(Duration::from_millis(500))));
        assert_eq!("2m".parse(), Ok(Wait(Duration::from_mins(2))));
        for bad in ["", "0s", "-1s", "30", "soon"] {
            assert!(bad.parse::<Wait>().is_err(), "{bad:?} was accepted");
        }
    }
}
