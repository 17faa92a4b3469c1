//! The client's state machine (RFC 2131, section 4.4): events in, actions out.
//!
//! Knows no socket, no clock and no source of randomness: they come in as values.

use std::net::Ipv4Addr;

use landfall_api::{LostReason, MacAddr, NoServer, Search as Summary};
use rand::Rng;

use super::{
    arp::{Claim, Query},
    hold::Extending,
    identity::Identity,
    lease::Lease,
    link_local::LinkLocal,
    message::{Ignored, Reply},
    reboot::Rebooting,
    request::Checking,
    search::Search,
    socket::Transmission,
    state::{Medium, Memory, State, Step},
};
use crate::clock::Instant;

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
    /// Something came that is no server's message for us.
    Garbage(Ignored),
    /// Somebody said something by ARP that `listening` asks for.
    Heard(Claim),
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
    /// Say it by ARP; if that fails it is a lost packet.
    Ask(Query),
    /// There is a lease where there was none: configure it, and remember it.
    Granted(Lease),
    /// The lease lasts longer, or is another one: configure it instead, and remember it.
    Extended(Lease),
    /// Something was learned about the lease: remember it.
    Remember(Lease),
    /// There is no lease any more: take the address away.
    Lost(Lease, LostReason),
    /// The lease was given back: take the address away, and forget the lease.
    Released(Lease),
    /// Somebody with that MAC address uses the address; the server was told, and the lease is to be forgotten.
    Declined(Ipv4Addr, MacAddr),
    /// There is a link-local address until there is a lease: configure it, or take it away.
    LinkLocal(Option<Ipv4Addr>),
    /// An answer is overdue.
    Searching(Summary),
    /// No server has answered within the time that the spec gives; the agent is to end.
    GaveUp(Summary),
    /// The packet changes nothing.
    Ignore(Ignored),
}

/// A DHCP client for one uplink.
#[derive(Debug)]
pub struct Client {
    pub(super) identity: Identity,
    pub(super) medium: Medium,
    pub(super) memory: Memory,
    pub(super) link_local: Option<LinkLocal>,
    state: State,
}

/// What the client wants to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Servers: something has been asked of them.
    pub servers: bool,
    /// Whatever these say by ARP.
    pub speakers: Vec<Ipv4Addr>,
    /// Whoever wants to know of these by ARP, and has no address.
    pub targets: Vec<Ipv4Addr>,
}

impl Client {
    /// A client that waits for its link, and may have a lease from before.
    pub fn new(identity: Identity, saved: Option<Lease>) -> Self {
        let (address, client_id) = (identity.settings.request, identity.client_id());
        let mut memory = Memory { address, client_id, ..Memory::default() };
        if let Some(lease) = saved.filter(|lease| lease.can_be_of(&identity)) {
            memory.learn(&lease);
            memory.lease = Some(lease);
        }
        Self { identity, medium: Medium::Down, memory, link_local: None, state: State::Idle }
    }

    /// The lease it holds.
    pub fn lease(&self) -> Option<&Lease> {
        self.state.held().map(|held| &held.lease)
    }

    /// The link-local address it holds meanwhile.
    pub fn link_local(&self) -> Option<Ipv4Addr> {
        self.link_local.as_ref().and_then(LinkLocal::address)
    }

    /// When `Event::Deadline` is due, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Idle | State::Stopped => None,
            State::Init { at, .. } => Some(*at),
            State::Rebooting(rebooting) => Some(rebooting.at),
            State::Selecting(selecting) => Some(selecting.deadline()),
            State::Requesting(requesting) => Some(requesting.deadline()),
            State::Checking(checking) => Some(checking.check.at),
            State::Bound(held) => held.deadline(),
            State::Extending(extending) => Some(extending.deadline()),
        };
        let patience = self.state.search().and_then(|search| search.patience_ends(&self.identity));
        let link_local = self.link_local.as_ref().and_then(LinkLocal::deadline);
        state.into_iter().chain(patience).chain(link_local).min()
    }

    /// What it wants to hear; nothing else must wake it.
    pub fn listening(&self) -> Listening {
        let mut listening = Listening { servers: self.state.awaits_servers(), ..Listening::default() };
        match &self.state {
            State::Rebooting(rebooting) => listening.speakers.extend(rebooting.lease.gateway()),
            State::Requesting(requesting) if requesting.check.is_some() => {
                listening.address(requesting.lease.address.addr());
            }
            State::Idle
            | State::Init { .. }
            | State::Selecting(_)
            | State::Requesting(_)
            | State::Stopped => {}
            State::Checking(checking) => listening.address(checking.lease.address.addr()),
            State::Bound(held) | State::Extending(Extending { held, .. }) => held.listen(&mut listening),
        }
        listening.speakers.extend(self.link_local.as_ref().map(LinkLocal::candidate));
        listening.targets.extend(self.link_local.as_ref().map(LinkLocal::candidate));
        listening
    }

    /// Takes an event and says what follows from it.
    pub fn step(&mut self, event: Event, context: &mut Context<'_>) -> Vec<Action> {
        let mut actions = self.expire(context.now);
        if event == Event::Deadline {
            actions.extend(self.lose_patience(context));
            actions.extend(self.link_local_due(context));
        } else if let Event::Heard(claim) = &event {
            actions.extend(self.link_local_heard(claim, context));
        }
        let state = std::mem::replace(&mut self.state, State::Stopped);
        let (state, further) = match event {
            Event::LinkUp => {
                self.medium = Medium::Up;
                self.link_up(state, context)
            }
            Event::LinkDown => {
                self.medium = Medium::Down;
                self.link_down(state)
            }
            Event::Received(reply, from) => self.received(state, &reply, from, context),
            Event::Garbage(why) => (state, vec![Action::Ignore(why)]),
            Event::Heard(claim) => self.heard(state, &claim, context),
            Event::Deadline => self.due(state, context),
            Event::Stop => (State::Stopped, self.give_back(state, context)),
        };
        self.state = state;
        self.count(&further);
        actions.extend(further);
        actions
    }

    /// Whatever happens after a lease's time happens without the lease: the timer may come late, after a suspend or
    /// behind a packet.
    fn expire(&mut self, now: Instant) -> Vec<Action> {
        let Some(lease) = self.lease().filter(|lease| lease.is_over(now)).cloned() else {
            return Vec::new();
        };
        self.state = match self.medium {
            Medium::Up => State::Init { at: lease.next_cycle(), search: self.new_search(now) },
            Medium::Down => State::Idle,
        };
        vec![Action::Lost(lease, LostReason::Expired)]
    }

    fn link_up(&mut self, state: State, context: &mut Context<'_>) -> Step {
        match state {
            State::Idle => self.start(context),
            // Whether it is still the same network is to be seen (RFC 2131, section 3.7).
            State::Bound(held) | State::Extending(Extending { held, .. }) => self.verify(held, context),
            State::Init { .. }
            | State::Rebooting(_)
            | State::Selecting(_)
            | State::Requesting(_)
            | State::Checking(_)
            | State::Stopped => (state, Vec::new()),
        }
    }

    /// Without a link a search is pointless; a lease stays, and its time goes on.
    fn link_down(&mut self, state: State) -> Step {
        let gone = self.link_local.take().filter(|own| own.address().is_some());
        let actions = gone.map(|_| Action::LinkLocal(None)).into_iter().collect();
        let state = match state {
            State::Rebooting(Rebooting { lease, .. }) | State::Checking(Checking { lease, .. }) => {
                self.memory.lease = Some(lease);
                State::Idle
            }
            State::Idle | State::Init { .. } | State::Selecting(_) | State::Requesting(_) => State::Idle,
            State::Bound(_) | State::Extending(_) | State::Stopped => state,
        };
        (state, actions)
    }

    fn received(&mut self, state: State, reply: &Reply, from: MacAddr, context: &mut Context<'_>) -> Step {
        let ignore = |state, why| (state, vec![Action::Ignore(why)]);
        if !self.identity.allows(reply, from) {
            return ignore(state, Ignored::Forbidden);
        }
        if !state.is_for(reply) {
            return ignore(state, Ignored::OtherClient);
        }
        match state {
            State::Rebooting(rebooting) => self.rebooted(rebooting, reply, from, context),
            State::Selecting(selecting) => self.offered(selecting, reply, from, context),
            State::Requesting(requesting) => self.answered(requesting, reply, from, context),
            State::Extending(extending) => self.extended(extending, reply, from, context),
            // An ACK again, or an offer that comes too late.
            State::Idle | State::Init { .. } | State::Checking(_) | State::Bound(_) | State::Stopped => {
                ignore(state, Ignored::Unexpected)
            }
        }
    }

    fn heard(&mut self, state: State, claim: &Claim, context: &mut Context<'_>) -> Step {
        match state {
            State::Rebooting(rebooting) => self.reachable(rebooting, claim, context),
            State::Requesting(mut requesting) => {
                requesting.hear(claim, &self.identity);
                (State::Requesting(requesting), Vec::new())
            }
            State::Checking(mut checking) => {
                checking.hear(claim, &self.identity);
                self.settle(checking, context)
            }
            State::Bound(mut held) => match self.claimed(&mut held, claim, context) {
                Ok(actions) => (State::Bound(held), actions),
                Err(holder) => self.give_up(held.lease, holder, context),
            },
            State::Extending(mut extending) => match self.claimed(&mut extending.held, claim, context) {
                Ok(actions) => (State::Extending(extending), actions),
                Err(holder) => self.give_up(extending.held.lease, holder, context),
            },
            State::Idle | State::Init { .. } | State::Selecting(_) | State::Stopped => (state, Vec::new()),
        }
    }

    /// Does what is due in a state; a timer may ring early, or for a deadline that has moved.
    fn due(&mut self, state: State, context: &mut Context<'_>) -> Step {
        let now = context.now;
        match state {
            State::Init { at, search } if at <= now => self.discover(search, None, context),
            State::Rebooting(rebooting) if rebooting.at <= now => self.race(rebooting, context),
            State::Selecting(selecting) if selecting.deadline() <= now => self.select(selecting, context),
            State::Requesting(requesting) if requesting.deadline() <= now => {
                self.request_further(requesting, context)
            }
            State::Checking(checking) => self.settle(checking, context),
            State::Bound(held) => self.hold(held, context),
            State::Extending(extending) if extending.deadline() <= now => {
                self.extend_further(extending, context)
            }
            State::Idle
            | State::Init { .. }
            | State::Rebooting(_)
            | State::Selecting(_)
            | State::Requesting(_)
            | State::Extending(_)
            | State::Stopped => (state, Vec::new()),
        }
    }

    /// The spec says how long a search may take, and what then.
    fn lose_patience(&mut self, context: &mut Context<'_>) -> Vec<Action> {
        let ends = self.state.search().and_then(|search| search.patience_ends(&self.identity));
        let is_over = ends.is_some_and(|at| at <= context.now);
        let Some(search) = self.state.search_mut().filter(|_| is_over) else {
            return Vec::new();
        };
        search.lose_patience();
        let summary = search.summary.clone();
        match self.identity.settings.no_server {
            NoServer::Wait => Vec::new(),
            NoServer::Fail => {
                self.state = State::Stopped;
                vec![Action::GaveUp(summary)]
            }
            NoServer::LinkLocal => {
                self.link_local = Some(LinkLocal::new(self.identity.mac, 0, context));
                Vec::new()
            }
        }
    }

    /// A search that begins at `began`, as the one who was answered to last.
    pub(super) fn new_search(&self, began: Instant) -> Search {
        Search::new(began, self.memory.client_id.clone())
    }

    /// Keeps in the search what it could not use.
    fn count(&mut self, actions: &[Action]) {
        for action in actions {
            if let (Action::Ignore(why), Some(search)) = (action, self.state.search_mut()) {
                search.ignored(*why);
            }
        }
    }
}

impl Listening {
    /// Whoever claims it, or wants to.
    pub(super) fn address(&mut self, address: Ipv4Addr) {
        self.speakers.push(address);
        self.targets.push(address);
    }
}
