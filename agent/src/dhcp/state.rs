//! What the client is in (RFC 2131, figure 5), and what outlives that.

use std::net::Ipv4Addr;

use dhcproto::v4::OptionCode;
use landfall_api::Octets;

use super::{
    client::Action,
    hold::{Extending, Held},
    lease::Lease,
    message::Reply,
    reboot::Rebooting,
    request::{Checking, Requesting},
    search::Search,
    select::Selecting,
};
use crate::clock::Instant;

/// Each state holds what is valid in it and nothing else.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a client has one state, and moves it")]
pub(super) enum State {
    /// The link is down and nothing is held.
    Idle,
    /// INIT: a DISCOVER is due at that moment.
    Init { at: Instant, search: Search },
    /// REBOOTING: the ACK of an earlier lease is awaited.
    Rebooting(Rebooting),
    /// SELECTING: an offer is awaited.
    Selecting(Selecting),
    /// REQUESTING: an ACK is awaited.
    Requesting(Requesting),
    /// There was an ACK; whether somebody else uses the address is being found out.
    Checking(Checking),
    /// BOUND.
    Bound(Held),
    /// RENEWING, REBINDING, or REBOOTING with an address in use: the server is asked about the lease.
    Extending(Extending),
    /// The agent was asked to stop.
    Stopped,
}

/// What a state becomes, and what is to be done.
pub(super) type Step = (State, Vec<Action>);

/// What outlives the states.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The lease to come back to.
    pub lease: Option<Lease>,
    /// The address to ask for.
    pub address: Option<Ipv4Addr>,
    /// The server to prefer.
    pub server: Option<Ipv4Addr>,
    /// The client identifier that was answered to last, or is to be tried first.
    pub client_id: Option<Octets>,
    /// How many addresses in a row were somebody else's.
    pub conflicts: u32,
}

/// Whether frames can pass. It changes while a lease is held too, and the search for the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Up,
    Down,
}

impl State {
    pub(super) fn held(&self) -> Option<&Held> {
        match self {
            Self::Bound(held) | Self::Extending(Extending { held, .. }) => Some(held),
            Self::Idle
            | Self::Init { .. }
            | Self::Rebooting(_)
            | Self::Selecting(_)
            | Self::Requesting(_)
            | Self::Checking(_)
            | Self::Stopped => None,
        }
    }

    pub(super) fn search(&self) -> Option<&Search> {
        match self {
            Self::Init { search, .. } => Some(search),
            Self::Rebooting(rebooting) => Some(&rebooting.search),
            Self::Selecting(selecting) => Some(&selecting.search),
            Self::Requesting(requesting) => Some(&requesting.search),
            Self::Checking(checking) => Some(&checking.search),
            Self::Idle | Self::Bound(_) | Self::Extending(_) | Self::Stopped => None,
        }
    }

    pub(super) fn search_mut(&mut self) -> Option<&mut Search> {
        match self {
            Self::Init { search, .. } => Some(search),
            Self::Rebooting(rebooting) => Some(&mut rebooting.search),
            Self::Selecting(selecting) => Some(&mut selecting.search),
            Self::Requesting(requesting) => Some(&mut requesting.search),
            Self::Checking(checking) => Some(&mut checking.search),
            Self::Idle | Self::Bound(_) | Self::Extending(_) | Self::Stopped => None,
        }
    }

    /// Whether servers have been asked and may answer; what they say otherwise changes nothing.
    pub(super) fn awaits_servers(&self) -> bool {
        match self {
            Self::Rebooting(_) | Self::Selecting(_) | Self::Requesting(_) | Self::Extending(_) => true,
            Self::Idle | Self::Init { .. } | Self::Checking(_) | Self::Bound(_) | Self::Stopped => false,
        }
    }

    /// Whether a reply names the client identifier that was given, or none (RFC 6842, section 3).
    pub(super) fn is_for(&self, reply: &Reply) -> bool {
        let given = if let Self::Selecting(selecting) = self {
            selecting.client_id(reply.xid)
        } else {
            self.search().map(|search| &search.client_id)
        };
        let given = given.or_else(|| self.held().map(|held| &held.lease.client_id));
        match (given, reply.options.raw(OptionCode::ClientIdentifier)) {
            (Some(Some(ours)), Some(theirs)) => ours.as_slice() == theirs,
            (Some(None) | None, _) | (_, None) => true,
        }
    }
}

impl Memory {
    /// What is worth knowing of a lease once it is over.
    pub fn learn(&mut self, lease: &Lease) {
        self.address = Some(lease.address.addr());
        self.server = lease.server;
        self.client_id.clone_from(&lease.client_id);
    }
}
