//! The client's state machine (RFC 8415, section 18.2): events in, actions out.
//!
//! Knows no socket, no clock and no source of randomness: they come in as values. RECONFIGURE is not accepted, and where a
//! server may be reached by unicast is not read (RFC 9915 has done away with it).

use std::{net::Ipv6Addr, ops::RangeInclusive, time::Duration};

use dhcproto::v6::{DhcpOption, MessageType, ORO, OptionCode};
use landfall_api::LostReason;

use super::{
    hold::Extending,
    identity::Identity,
    lease::{Information, Lease},
    message::{Ignored, Reply, encode},
    retransmit::{Exchange, delay},
    solicit::Search,
    state::{Medium, Memory, State, Step},
};
use crate::{clock::Instant, dhcp::Context};

/// What is asked for in every message that asks; the last two must be (RFC 8415, sections 21.24 and 21.25).
const PARAMETERS: [OptionCode; 4] =
    [OptionCode::DomainNameServers, OptionCode::DomainSearchList, OptionCode::SolMaxRt, OptionCode::InfMaxRt];

/// RFC 8415, sections 21.24 and 21.25: other values are not to be believed.
const MAX_RT: RangeInclusive<u32> = 60..=86_400;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The routers say what is to be had.
    Wanted(Want),
    /// Messages can pass, again perhaps, and perhaps on another link than before.
    LinkUp,
    /// Messages cannot pass.
    LinkDown,
    /// A UDP payload came to port 546.
    Received(&'a [u8]),
    /// Somebody else has the address (RFC 4862, section 5.4).
    Duplicate(Ipv6Addr),
    /// The deadline may have passed.
    Deadline,
    /// The agent is asked to stop.
    Stop,
}

/// What is to be had by DHCP, as the flags M and O of the routers say (RFC 4861, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing. What is held is kept: flags come and go.
    Nothing,
    /// Name servers and the like: O alone.
    Information,
    /// An address and what comes with it: M.
    Address,
}

/// What is to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send it to `ff02::1:2`, port 547, from port 546; if that fails it is a lost packet.
    Send(Vec<u8>),
    /// There is a lease where there was none: configure it.
    Granted(Lease),
    /// The lease lasts longer, says something else or has another address: configure it instead.
    Extended(Lease),
    /// There is no lease any more: take the address away.
    Lost(Lease, LostReason),
    /// The lease was given back: take the address away.
    Released(Lease),
    /// What is to be known where there is no lease; it replaces what was known before.
    Information(Information),
    /// An answer is overdue in the search for an address, or was a refusal.
    Searching {
        /// SOLICITs that are unanswered or were answered in vain.
        solicits: u32,
        /// ADVERTISEs received, usable or not.
        advertises: u32,
        /// What the last server that refused something said; plainly printable and at most 255 characters.
        message: Option<String>,
    },
    /// The message changes nothing.
    Ignore(Ignored),
}

/// A DHCP client for IPv6, for one uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub(super) identity: Identity,
    pub(super) medium: Medium,
    pub(super) want: Want,
    pub(super) memory: Memory,
    state: State,
}

impl Client {
    /// A client that waits for its link, and for something to be wanted.
    pub fn new(identity: Identity) -> Self {
        let (medium, want) = (Medium::Down, Want::Nothing);
        Self { identity, medium, want, memory: Memory::new(), state: State::Idle }
    }

    /// The lease it holds.
    pub fn lease(&self) -> Option<&Lease> {
        self.state.lease()
    }

    /// When `Event::Deadline` is due, if ever. It may have passed already.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.deadline()
    }

    /// Takes an event and says what follows from it.
    pub fn step(&mut self, event: Event<'_>, context: &mut Context<'_>) -> Vec<Action> {
        let mut actions = self.expire(context);
        let state = std::mem::replace(&mut self.state, State::Stopped);
        let (state, further) = match event {
            Event::Wanted(want) => (self.wanted(state, want, context), Vec::new()),
            Event::LinkUp => {
                self.medium = Medium::Up;
                (self.link_up(state, context), Vec::new())
            }
            Event::LinkDown => {
                self.medium = Medium::Down;
                (Self::link_down(state), Vec::new())
            }
            Event::Received(bytes) => self.received(state, bytes, context),
            Event::Duplicate(address) => self.duplicate(state, address, context),
            Event::Deadline => self.due(state, context),
            Event::Stop => (State::Stopped, self.give_back(&state, context)),
        };
        self.state = state;
        actions.extend(further);
        actions
    }

    /// Whatever happens after a lease's time happens without the lease: the timer may come late, after a suspend or
    /// behind a packet.
    fn expire(&mut self, context: &mut Context<'_>) -> Vec<Action> {
        let Some(lease) = self.lease().filter(|lease| lease.is_over(context.now)).cloned() else {
            return Vec::new();
        };
        self.memory.address = Some(lease.address);
        let at = lease.next_cycle().max(context.now + delay(context.rng));
        self.state = self.search(Search::default(), at, context);
        vec![Action::Lost(lease, LostReason::Expired)]
    }

    fn wanted(&mut self, state: State, want: Want, context: &mut Context<'_>) -> State {
        let is_news = want != self.want;
        self.want = want;
        match state {
            State::Idle
            | State::Soliciting(_)
            | State::Requesting(_)
            | State::Asking(_)
            | State::Informed { .. }
                if is_news =>
            {
                self.start(context)
            }
            State::Idle
            | State::Soliciting(_)
            | State::Requesting(_)
            | State::Bound(_)
            | State::Extending(_)
            | State::Declining(_)
            | State::Asking(_)
            | State::Informed { .. }
            | State::Stopped => state,
        }
    }

    fn link_up(&mut self, state: State, context: &mut Context<'_>) -> State {
        match state {
            State::Idle | State::Informed { .. } => self.start(context),
            // Whether it is still the same link is to be seen (RFC 8415, section 18.2.3).
            State::Bound(lease) | State::Extending(Extending { lease, .. }) => Self::confirm(lease, context),
            State::Soliciting(_)
            | State::Requesting(_)
            | State::Declining(_)
            | State::Asking(_)
            | State::Stopped => state,
        }
    }

    /// Without a link a search is pointless; a lease stays, and its time goes on.
    fn link_down(state: State) -> State {
        match state {
            State::Idle
            | State::Soliciting(_)
            | State::Requesting(_)
            | State::Declining(_)
            | State::Asking(_)
            | State::Informed { .. } => State::Idle,
            State::Bound(_) | State::Extending(_) | State::Stopped => state,
        }
    }

    /// What is wanted, from its beginning.
    pub(super) fn start(&mut self, context: &mut Context<'_>) -> State {
        match (self.medium, self.want) {
            (Medium::Down, _) | (Medium::Up, Want::Nothing) => State::Idle,
            (Medium::Up, Want::Information) => self.inquire(context),
            (Medium::Up, Want::Address) => {
                let at = self.memory.soon(context);
                self.search(Search::default(), at, context)
            }
        }
    }

    fn received(&mut self, state: State, bytes: &[u8], context: &mut Context<'_>) -> Step {
        let reply = match self.judge(&state, bytes) {
            Ok(reply) => reply,
            Err(why) => return (state, vec![Action::Ignore(why)]),
        };
        self.learn(&reply);
        match state {
            State::Soliciting(soliciting) => self.offered(soliciting, &reply, context),
            State::Requesting(requesting) => self.answered(requesting, &reply, context),
            State::Extending(extending) => self.extended(extending, &reply, context),
            State::Declining(declining) => self.declined(declining, &reply, context),
            State::Asking(exchange) => Self::informed(exchange, &reply, context),
            State::Idle | State::Bound(_) | State::Informed { .. } | State::Stopped => {
                (state, vec![Action::Ignore(Ignored::Unexpected)])
            }
        }
    }

    /// Whether a message is a server's answer to what was said last.
    fn judge<'a>(&self, state: &State, bytes: &'a [u8]) -> Result<Reply<'a>, Ignored> {
        let reply = Reply::decode(bytes, &self.identity)?;
        let exchange = state.exchange().filter(|exchange| exchange.sent > 0).ok_or(Ignored::Unexpected)?;
        if reply.xid == exchange.xid { Ok(reply) } else { Err(Ignored::OtherTransaction) }
    }

    /// A server knows how often it wants to be asked, even where it refuses (RFC 8415, section 18.2.9).
    fn learn(&mut self, reply: &Reply<'_>) {
        let told = |code| {
            let seconds = reply.options.number(code).filter(|seconds| MAX_RT.contains(seconds));
            seconds.map(|seconds| Duration::from_secs(seconds.into()))
        };
        let memory = &mut self.memory;
        memory.longest_solicit = told(OptionCode::SolMaxRt).unwrap_or(memory.longest_solicit);
        memory.longest_information_request =
            told(OptionCode::InfMaxRt).unwrap_or(memory.longest_information_request);
    }

    /// Does what is due in a state; a timer may ring early, or for a deadline that has moved.
    fn due(&mut self, state: State, context: &mut Context<'_>) -> Step {
        if state.deadline().is_none_or(|deadline| context.now < deadline) {
            return (state, Vec::new());
        }
        match state {
            State::Soliciting(soliciting) => self.solicit(soliciting, context),
            State::Requesting(requesting) => self.request(requesting, context),
            State::Bound(lease) => self.renew(lease, context),
            State::Extending(extending) => self.extend(extending, context),
            State::Declining(declining) => self.decline(declining, context),
            State::Asking(exchange) => self.ask(exchange, context),
            State::Informed { .. } => (self.start(context), Vec::new()),
            State::Idle | State::Stopped => (state, Vec::new()),
        }
    }

    /// The next message of an exchange: who we are, for how long it has gone on, and `options`.
    pub(super) fn say(
        &self,
        kind: MessageType,
        exchange: &mut Exchange,
        options: Vec<DhcpOption>,
        context: &mut Context<'_>,
    ) -> Action {
        let elapsed = exchange.count(context);
        let mut all =
            vec![DhcpOption::ClientId(self.identity.duid.clone()), DhcpOption::ElapsedTime(elapsed)];
        all.extend(options);
        Action::Send(encode(kind, exchange.xid, &all))
    }

    /// What a message says that asks for an address and for what comes with it.
    pub(super) fn parameters(&self, address: Option<Ipv6Addr>) -> Vec<DhcpOption> {
        let mut options = vec![self.identity.ia_na(address), wanted_options(&[])];
        options.extend(self.identity.fqdn());
        options
    }
}

/// The options that are asked for, and these (RFC 8415, section 21.7).
pub(super) fn wanted_options(further: &[OptionCode]) -> DhcpOption {
    DhcpOption::ORO(ORO { opts: [&PARAMETERS, further].concat() })
}
