//! The search for an address: from the first DISCOVER until there is a lease, through offers that come to nothing.

use std::time::Duration;

use dhcproto::v4::OptionCode;
use landfall_api::{NoServer, Octets, Search as Summary};

use super::{
    identity::Identity,
    message::{Ignored, Reply, ReplyBy},
};
use crate::clock::Instant;

/// How many DISCOVERs may offer to take a lease at once; then a server may be there that cannot (as Android does).
const MOST_RAPID: u32 = 2;

/// From this DISCOVER on replies are wanted by broadcast, in case unicast ones get lost on the way.
const FIRST_BY_BROADCAST: u32 = 3;

/// From this DISCOVER on every second one has another client identifier, in case a server wants none, or that one.
const FIRST_ALTERNATE: u32 = 5;

/// What is kept of a search from one state to the next.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// When the first DISCOVER was due.
    pub began: Instant,
    /// How many offers in a row came to nothing.
    pub failures: u32,
    /// DISCOVERs since the last offer that could be used.
    pub unanswered: u32,
    /// The client identifier in use.
    pub client_id: Option<Octets>,
    /// What has happened.
    pub summary: Summary,
    patience: Patience,
}

/// Whether the spec's time for finding a server has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Left,
    Over,
}

impl Search {
    pub fn new(began: Instant, client_id: Option<Octets>) -> Self {
        let summary = Summary::default();
        Self { began, failures: 0, unanswered: 0, client_id, summary, patience: Patience::Left }
    }

    /// Seconds since it began, for the header's `secs`.
    pub fn secs(&self, now: Instant) -> u16 {
        u16::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u16::MAX)
    }

    /// Whether the next DISCOVER has another client identifier than the last.
    pub fn alternates(&mut self, identity: &Identity) -> bool {
        let other = identity.other_client_id(self.client_id.as_ref());
        let is_due = self.unanswered + 1 >= FIRST_ALTERNATE && other != self.client_id;
        if is_due {
            self.client_id = other;
        }
        is_due
    }

    pub fn discovered(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
        self.summary.discovers = self.summary.discovers.saturating_add(1);
    }

    /// Whether the DISCOVER that was just counted offers to take a lease at once.
    pub fn is_rapid(&self) -> bool {
        self.unanswered <= MOST_RAPID
    }

    /// How replies to the DISCOVER that was just counted are to come.
    pub fn reply_by(&self, identity: &Identity) -> ReplyBy {
        let is_always = identity.settings.broadcast == landfall_api::Broadcast::Always;
        let is_time = self.unanswered >= FIRST_BY_BROADCAST;
        if is_always || is_time { ReplyBy::Broadcast } else { ReplyBy::Unicast }
    }

    pub fn requested(&mut self) {
        self.summary.requests = self.summary.requests.saturating_add(1);
    }

    /// An offer came, usable or not.
    pub fn offered(&mut self, reply: &Reply) {
        self.summary.offers = self.summary.offers.saturating_add(1);
        self.summary.server = reply.server();
    }

    /// Something came that cannot be used.
    pub fn ignored(&mut self, why: Ignored) {
        self.summary.ignored = self.summary.ignored.saturating_add(1);
        self.summary.why = Some(why.to_string());
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

    /// When the spec's patience ends, if it does.
    pub fn patience_ends(&self, identity: &Identity) -> Option<Instant> {
        let timeout = Duration::from_secs(identity.settings.timeout.into());
        let ends = identity.settings.no_server != NoServer::Wait && self.patience == Patience::Left;
        ends.then(|| self.began + timeout)
    }

    /// The patience is over, once and for all.
    pub fn lose_patience(&mut self) {
        self.patience = Patience::Over;
    }
}
