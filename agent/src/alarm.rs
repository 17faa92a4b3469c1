//! One timer on `CLOCK_BOOTTIME`: it rings once, after a suspend too.

use std::io;

use crate::{clock::Instant, polled::Polled};
use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

/// A timer that can be set again at any time.
pub struct Alarm {
    timer: Polled<TimerFd>,
    set_to: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// If the kernel gives no timer.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        Ok(Self { timer: Polled::new(timer)?, set_to: None })
    }

    /// Makes it ring at `instant`, at once if that has passed; never if there is none.
    ///
    /// # Errors
    /// If the kernel refuses the time.
    pub fn set(&mut self, instant: Option<Instant>) -> io::Result<()> {
        if self.set_to == instant {
            return Ok(());
        }
        match instant {
            // An absolute time of zero would disarm the timer.
            Some(instant) => {
                let at = TimeSpec::from_duration(instant.since_boot()).max(TimeSpec::new(0, 1));
                self.timer.get().set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            }
            None => self.timer.get().unset()?,
        }
        self.set_to = instant;
        Ok(())
    }

    /// Waits for it to ring. Cancel-safe.
    ///
    /// # Errors
    /// If the timer cannot be read.
    pub async fn ring(&mut self) -> io::Result<()> {
        let rung = self.timer.read(|timer| timer.wait().map_err(io::Error::from)).await;
        self.set_to = None;
        rung
    }
}
