//! What the client is in, and what outlives that.

use std::{net::Ipv6Addr, time::Duration};

use super::{
    client::Action,
    hold::{Declining, Extending},
    lease::Lease,
    request::Requesting,
    retransmit::{Exchange, LONGEST_SEARCH, after_failure, delay},
    solicit::Soliciting,
};
use crate::{clock::Instant, dhcp::Context};

/// However often what is wanted changes, searches do not begin more often.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(1);

/// Failures that are further apart have nothing to do with each other.
const UNTIL_FORGOTTEN: Duration = Duration::from_hours(1);

/// Each state holds what is valid in it and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The link is down, or nothing is wanted, and nothing is held.
    Idle,
    /// An offer is awaited.
    Soliciting(Soliciting),
    /// The REPLY to a REQUEST is awaited.
    Requesting(Requesting),
    /// A lease is held.
    Bound(Lease),
    /// A lease is held, and a server is asked about it.
    Extending(Extending),
    /// The server is told that somebody else has its address.
    Declining(Declining),
    /// The REPLY to an INFORMATION-REQUEST is awaited.
    Asking(Exchange),
    /// All that is to be known without an address is known, until that moment.
    Informed { until: Option<Instant> },
    /// The agent was asked to stop.
    Stopped,
}

/// What a state becomes, and what is to be done.
pub(super) type Step = (State, Vec<Action>);

/// Whether messages can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Up,
    Down,
}

/// What outlives the states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// The address to ask for.
    pub address: Option<Ipv6Addr>,
    /// `SOL_MAX_RT`, as a server wants it.
    pub longest_solicit: Duration,
    /// `INF_MAX_RT`, as a server wants it.
    pub longest_information_request: Duration,
    /// How many offers and leases in a row came to nothing, and when the last one did.
    failures: u32,
    failed: Instant,
    /// When the next search may begin.
    earliest: Instant,
}

impl State {
    /// The lease that is in use.
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Bound(lease) | Self::Extending(Extending { lease, .. }) => Some(lease),
            Self::Idle
            | Self::Soliciting(_)
            | Self::Requesting(_)
            | Self::Declining(_)
            | Self::Asking(_)
            | Self::Informed { .. }
            | Self::Stopped => None,
        }
    }

    /// What is said again and again until it is answered.
    pub fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Soliciting(Soliciting { exchange, .. })
            | Self::Requesting(Requesting { exchange, .. })
            | Self::Extending(Extending { exchange, .. })
            | Self::Declining(Declining { exchange, .. })
            | Self::Asking(exchange) => Some(exchange),
            Self::Idle | Self::Bound(_) | Self::Informed { .. } | Self::Stopped => None,
        }
    }

    /// When something is due, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        let lease = |lease: &Lease| lease.renewal().into_iter().chain(lease.expiry()).min();
        match self {
            Self::Idle | Self::Stopped => None,
            Self::Bound(held) => lease(held),
            Self::Extending(extending) => Some(extending.deadline()),
            Self::Informed { until } => *until,
            Self::Soliciting(_) | Self::Requesting(_) | Self::Declining(_) | Self::Asking(_) => {
                self.exchange().map(Exchange::deadline)
            }
        }
    }
}

impl Memory {
    pub fn new() -> Self {
        Self {
            address: None,
            longest_solicit: LONGEST_SEARCH,
            longest_information_request: LONGEST_SEARCH,
            failures: 0,
            failed: Instant::BOOT,
            earliest: Instant::BOOT,
        }
    }

    /// When a search may begin that something new has brought about.
    pub fn soon(&mut self, context: &mut Context<'_>) -> Instant {
        let at = (context.now + delay(context.rng)).max(self.earliest);
        self.earliest = at + BETWEEN_SEARCHES;
        at
    }

    /// When to search again after an offer or a lease has come to nothing: later the more there were, whatever the reasons,
    /// and for another address.
    pub fn after_failure(&mut self, context: &mut Context<'_>) -> Instant {
        let is_forgotten = context.now.saturating_duration_since(self.failed) > UNTIL_FORGOTTEN;
        self.failures = if is_forgotten { 1 } else { self.failures.saturating_add(1) };
        self.failed = context.now;
        self.address = None;
        context.now + after_failure(self.failures, context.rng)
    }
}
