//! The search for an address: from the first DISCOVER until there is a lease, through offers that come to nothing.

use dhcproto::v4::OptionCode;
use landfall_api::Search as Summary;

use super::message::Reply;
use crate::clock::Instant;

/// What is kept of a search from one state to the next.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// When the first DISCOVER was due.
    pub began: Instant,
    /// How many offers in a row came to nothing.
    pub failures: u32,
    /// What has happened.
    pub summary: Summary,
}

impl Search {
    pub fn new(began: Instant) -> Self {
        Self { began, failures: 0, summary: Summary::default() }
    }

    /// Seconds since it began, for the header's `secs`.
    pub fn secs(&self, now: Instant) -> u16 {
        u16::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u16::MAX)
    }

    pub fn discovered(&mut self) {
        self.summary.discovers = self.summary.discovers.saturating_add(1);
    }

    pub fn requested(&mut self) {
        self.summary.requests = self.summary.requests.saturating_add(1);
    }

    /// An offer came, usable or not.
    pub fn offered(&mut self, reply: &Reply) {
        self.summary.offers = self.summary.offers.saturating_add(1);
        self.summary.server = reply.server();
    }

    /// The server that made an offer was silent ever after.
    pub fn deserted(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub fn refused(&mut self, reply: &Reply) {
        self.failures = self.failures.saturating_add(1);
        self.summary.naks = self.summary.naks.saturating_add(1);
        self.summary.server = reply.server().or(self.summary.server);
        self.summary.message = reply.options.text(OptionCode::Message);
    }
}
