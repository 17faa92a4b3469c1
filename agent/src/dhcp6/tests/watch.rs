//! What must hold whatever happens.

use std::{collections::VecDeque, time::Duration};

use super::bench::{Host, seconds};
use crate::{
    clock::Instant,
    dhcp6::{Action, Lease},
};

/// Messages that may be sent within a minute: leases of a few seconds whose RENEW gets lost, and what happens besides.
const BUSIEST_MINUTE: usize = 50;

/// How often the clock may stand still.
const MOST_AT_ONCE: usize = 20;

/// Follows what the client does, as the one who configures its addresses would.
#[derive(Debug, Default)]
pub struct Watch {
    /// What is configured.
    pub held: Option<Lease>,
    pub grants: u32,
    pub losses: u32,
    pub extensions: u32,
    pub busiest_minute: usize,
    minute: VecDeque<Instant>,
    at_once: (Option<Instant>, usize),
}

impl Watch {
    /// Takes what followed from an event.
    pub fn see(&mut self, host: &Host, actions: &[Action]) {
        for action in actions {
            self.follow(action, host.now);
        }
        assert_eq!(host.client.lease(), self.held.as_ref(), "configured is what is held");
        let is_over = |lease: &Lease| lease.is_over(host.now);
        assert!(!self.held.as_ref().is_some_and(is_over), "an address is used beyond its time");
        self.at_once = match self.at_once {
            (Some(now), times) if now == host.now => (Some(now), times + 1),
            _ => (Some(host.now), 0),
        };
        assert!(self.at_once.1 < MOST_AT_ONCE, "the clock stands still");
    }

    fn follow(&mut self, action: &Action, now: Instant) {
        match action {
            Action::Send(bytes) => self.count(bytes, now),
            Action::Granted(lease) => {
                assert_eq!(self.held.replace(lease.clone()), None, "there was one");
                self.grants += 1;
            }
            Action::Extended(lease) => {
                assert!(self.held.replace(lease.clone()).is_some(), "there was none");
                self.extensions += 1;
            }
            Action::Lost(lease, _) | Action::Released(lease) => {
                assert_eq!(self.held.take().as_ref(), Some(lease), "another one was held");
                self.losses += 1;
            }
            Action::Information(_) | Action::Searching { .. } | Action::Ignore(_) => {}
        }
    }

    fn count(&mut self, bytes: &[u8], now: Instant) {
        assert!(bytes.len() < 200, "longer than any message of ours");
        self.minute.push_back(now);
        let is_old = |then: &Instant| now.saturating_duration_since(*then) > Duration::from_mins(1);
        while self.minute.front().is_some_and(is_old) {
            self.minute.pop_front();
        }
        self.busiest_minute = self.busiest_minute.max(self.minute.len());
        assert!(self.minute.len() <= BUSIEST_MINUTE, "{} messages within a minute", self.minute.len());
        let in_a_second =
            self.minute.iter().filter(|then| now.saturating_duration_since(**then) < seconds(1));
        assert!(in_a_second.count() <= 8, "too many messages within a second");
    }
}
