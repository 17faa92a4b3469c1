//! The client's state machine (RFC 2131, section 4.4): events in, actions out.
//!
//! Knows no socket, no clock and no source of randomness: they come in as values.

use dhcproto::v4::{DhcpOption, OptionCode};
use landfall_api::{HostName, LostReason, MacAddr, Search as Summary};
use rand::Rng;

use super::{
    acquire::{Requesting, Selecting},
    hold::Extending,
    lease::Lease,
    message::{Ignored, Reply},
    search::Search,
    socket::Transmission,
};
use crate::clock::Instant;

/// What is asked for. Classless routes come before the option that they replace (RFC 3442 demands it).
const PARAMETERS: [OptionCode; 11] = [
    OptionCode::SubnetMask,
    OptionCode::ClasslessStaticRoute,
    OptionCode::Router,
    OptionCode::DomainNameServer,
    OptionCode::DomainName,
    OptionCode::InterfaceMtu,
    OptionCode::BroadcastAddr,
    OptionCode::AddressLeaseTime,
    OptionCode::ServerIdentifier,
    OptionCode::Renewal,
    OptionCode::Rebinding,
];

/// What every client must take (RFC 2131, section 2).
const SMALLEST_MESSAGE: u16 = 576;

/// Who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The uplink's MAC address, from which the client identifier is made.
    pub mac: MacAddr,
    /// The host name to ask for.
    pub hostname: Option<HostName>,
    /// The largest message that can be taken (option 57), in octets: the uplink's MTU.
    pub mtu: u16,
}

/// What a decision needs from outside.
pub struct Context<'a> {
    /// The time.
    pub now: Instant,
    /// Unpredictable.
    pub rng: &'a mut dyn Rng,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Frames can pass.
    LinkUp,
    /// Frames cannot pass.
    LinkDown,
    /// A server's message came, from this MAC address.
    Received(Reply, MacAddr),
    /// The deadline may have passed.
    Deadline,
    /// The agent is asked to stop.
    Stop,
}

/// What is to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send it; if that fails it is a lost packet.
    Send(Transmission),
    /// There is a lease where there was none: configure it.
    Granted(Lease),
    /// The lease lasts longer, or is another one: configure it instead.
    Extended(Lease),
    /// There is no lease any more: take the address away.
    Lost(Lease, LostReason),
    /// The lease was given back: take the address away.
    Released(Lease),
    /// An answer is overdue.
    Searching(Summary),
    /// The packet changes nothing.
    Ignore(Ignored),
}

/// Each state holds what is valid in it and nothing else.
#[derive(Debug)]
pub(super) enum State {
    /// The link is down and nothing is held.
    Idle,
    /// INIT: a DISCOVER is due at that moment.
    Init { at: Instant, search: Search },
    /// SELECTING: an offer is awaited.
    Selecting(Selecting),
    /// REQUESTING: an ACK is awaited.
    Requesting(Requesting),
    /// BOUND.
    Bound(Lease),
    /// RENEWING or REBINDING: more time is asked for.
    Extending(Extending),
    /// The agent was asked to stop.
    Stopped,
}

/// What a state becomes, and what is to be done.
pub(super) type Step = (State, Vec<Action>);

/// A DHCP client for one uplink.
#[derive(Debug)]
pub struct Client {
    pub(super) identity: Identity,
    pub(super) medium: Medium,
    state: State,
}

/// Whether frames can pass. It changes while a lease is held too, and the search for the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Up,
    Down,
}

impl Client {
    /// A client that waits for its link.
    pub fn new(identity: Identity) -> Self {
        Self { identity, medium: Medium::Down, state: State::Idle }
    }

    /// The lease it holds.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound(lease) | State::Extending(Extending { lease, .. }) => Some(lease),
            State::Idle
            | State::Init { .. }
            | State::Selecting(_)
            | State::Requesting(_)
            | State::Stopped => None,
        }
    }

    /// When `Event::Deadline` is due, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle | State::Stopped => None,
            State::Init { at, .. } => Some(*at),
            State::Selecting(selecting) => Some(selecting.at),
            State::Requesting(requesting) => Some(requesting.at),
            State::Bound(lease) => lease.renewal().into_iter().chain(lease.expiry()).min(),
            State::Extending(extending) => Some(extending.deadline()),
        }
    }

    /// Takes an event and says what follows from it.
    pub fn step(&mut self, event: Event, context: &mut Context<'_>) -> Vec<Action> {
        let mut actions = self.expire(context.now);
        let is_due = is_due(self.deadline(), context.now);
        let state = std::mem::replace(&mut self.state, State::Stopped);
        let (state, further) = match event {
            Event::LinkUp => {
                self.medium = Medium::Up;
                self.link_up(state, context)
            }
            Event::LinkDown => {
                self.medium = Medium::Down;
                (link_down(state), Vec::new())
            }
            Event::Received(reply, from) => self.received(state, &reply, from, context),
            Event::Deadline if is_due => self.due(state, context),
            Event::Deadline => (state, Vec::new()),
            Event::Stop => (State::Stopped, self.give_back(state, context)),
        };
        self.state = state;
        actions.extend(further);
        actions
    }

    /// Whatever happens after a lease's time happens without the lease: the timer may come late, after a suspend or
    /// behind a packet.
    fn expire(&mut self, now: Instant) -> Vec<Action> {
        let Some(lease) = self.lease().filter(|lease| is_due(lease.expiry(), now)).cloned() else {
            return Vec::new();
        };
        self.state = match self.medium {
            Medium::Up => State::Init { at: lease.next_cycle(), search: Search::new(now) },
            Medium::Down => State::Idle,
        };
        vec![Action::Lost(lease, LostReason::Expired)]
    }

    fn link_up(&self, state: State, context: &mut Context<'_>) -> Step {
        match state {
            State::Idle => self.discover(Search::new(context.now), context),
            State::Init { .. }
            | State::Selecting(_)
            | State::Requesting(_)
            | State::Bound(_)
            | State::Extending(_)
            | State::Stopped => (state, Vec::new()),
        }
    }

    fn received(&self, state: State, reply: &Reply, from: MacAddr, context: &mut Context<'_>) -> Step {
        match state {
            State::Selecting(selecting) => self.offered(selecting, reply, from, context),
            State::Requesting(requesting) => self.answered(requesting, reply, from, context),
            State::Extending(extending) => self.extended(extending, reply, from, context),
            // An ACK again, or an offer that comes too late.
            State::Idle | State::Init { .. } | State::Bound(_) | State::Stopped => {
                (state, vec![Action::Ignore(Ignored::Unexpected)])
            }
        }
    }

    fn due(&self, state: State, context: &mut Context<'_>) -> Step {
        match state {
            State::Init { search, .. } => self.discover(search, context),
            State::Selecting(selecting) => self.discover_again(selecting, context),
            State::Requesting(requesting) => self.request_again(requesting, context),
            State::Bound(lease) => self.extend(lease, context),
            State::Extending(extending) => self.extend_further(extending, context),
            State::Idle | State::Stopped => (state, Vec::new()),
        }
    }

    /// Options 55, 57 and 12, the same in every message that asks for parameters (RFC 2131, section 3.5).
    pub(super) fn parameters(&self) -> Vec<DhcpOption> {
        let mut options = vec![
            DhcpOption::ParameterRequestList(PARAMETERS.to_vec()),
            DhcpOption::MaxMessageSize(self.identity.mtu.max(SMALLEST_MESSAGE)),
        ];
        options.extend(self.identity.hostname.as_ref().map(|name| DhcpOption::Hostname(name.to_string())));
        options
    }
}

/// A timer may ring early, or for a deadline that has moved.
fn is_due(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

/// Without a link a search is pointless; a lease stays, and its time goes on.
fn link_down(state: State) -> State {
    match state {
        State::Idle | State::Init { .. } | State::Selecting(_) | State::Requesting(_) => State::Idle,
        State::Bound(_) | State::Extending(_) | State::Stopped => state,
    }
}
