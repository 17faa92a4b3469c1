//! REQUESTING: from an offer to a lease, once nobody else is found to use the address.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, MessageType};
use landfall_api::{LostReason, MacAddr};
use rand::RngExt as _;

use super::{
    arp::Claim,
    client::{Action, Client, Context},
    conflict::{Check, Friends, Guard, after_conflict},
    hold::Held,
    identity::Identity,
    lease::{Asked, Lease},
    message::{Ignored, Kind, Reply, ReplyBy, Request},
    retransmit::{after_failure, after_request},
    search::Search,
    select::{broadcast, usable},
    state::{Medium, State, Step},
};
use crate::clock::Instant;

/// How often an offer is asked for before the search starts again.
const MOST_REQUESTS: u32 = 4;

/// What a DECLINE says to whoever reads the server's log.
const IN_USE: &str = "the address is in use";

/// REQUESTING.
#[derive(Debug)]
pub(super) struct Requesting {
    pub xid: u32,
    /// When the first DISCOVER was sent: a lease that answers one runs from then.
    pub began: Instant,
    pub secs: u16,
    pub reply: ReplyBy,
    /// As it was offered.
    pub lease: Lease,
    /// REQUESTs of this transaction.
    pub sent: u32,
    /// When the next REQUEST is due.
    pub at: Instant,
    /// The search for somebody who has the address, if there is to be one.
    pub check: Option<Check>,
    pub search: Search,
}

/// There was an ACK, and the search for somebody who has the address goes on.
#[derive(Debug)]
pub(super) struct Checking {
    pub lease: Lease,
    pub check: Check,
    pub search: Search,
}

#[expect(clippy::large_enum_variant, reason = "it lives for one statement")]
enum Answer {
    Granted(Lease),
    Refused,
}

impl Requesting {
    /// When the next REQUEST or the next probe is due.
    pub fn deadline(&self) -> Instant {
        let open = self.check.as_ref().filter(|check| !check.is_done(check.at));
        open.map_or(self.at, |check| check.at.min(self.at))
    }

    /// Takes a claim.
    pub fn hear(&mut self, claim: &Claim, identity: &Identity) {
        if let Some(check) = &mut self.check {
            check.hear(claim, &friends(identity, &self.lease));
        }
    }
}

impl Checking {
    /// Takes a claim.
    pub fn hear(&mut self, claim: &Claim, identity: &Identity) {
        self.check.hear(claim, &friends(identity, &self.lease));
    }
}

/// Whose claims to a lease's address are none.
pub(super) fn friends<'a>(identity: &'a Identity, lease: &Lease) -> Friends<'a> {
    Friends { own: identity.mac, others: &identity.other_macs, server: Some(lease.server_mac) }
}

impl Client {
    /// Sends what is due: a REQUEST, a probe, or, if the server that made the offer is silent, a new search.
    pub(super) fn request_further(&mut self, mut requesting: Requesting, context: &mut Context<'_>) -> Step {
        let probe = requesting.check.as_mut().and_then(|check| check.due(context.now, context.rng));
        let mut actions: Vec<Action> = probe.map(Action::Ask).into_iter().collect();
        if context.now < requesting.at {
            return (State::Requesting(requesting), actions);
        }
        let summary = (requesting.sent > 0).then(|| Action::Searching(requesting.search.summary.clone()));
        let (state, further) = if requesting.sent < MOST_REQUESTS {
            self.send_request(requesting, context)
        } else {
            requesting.search.deserted();
            self.search_again(requesting.search, context)
        };
        // The server comes before those who may have the address: it takes longer.
        actions.splice(0..0, further);
        actions.extend(summary);
        (state, actions)
    }

    fn send_request(&self, mut requesting: Requesting, context: &mut Context<'_>) -> Step {
        requesting.search.requested();
        requesting.sent += 1;
        requesting.at = context.now + after_request(context.rng);
        let lease = &mut requesting.lease;
        if requesting.sent == 1 {
            lease.requested = context.now;
        }
        let mut options = vec![DhcpOption::RequestedIpAddress(lease.address.addr())];
        options.extend(lease.server.map(DhcpOption::ServerIdentifier));
        options.extend(self.identity.parameters());
        let message = Request {
            kind: MessageType::Request,
            xid: requesting.xid,
            secs: requesting.secs,
            reply: requesting.reply,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            mac: self.identity.mac,
            client_id: lease.client_id.clone(),
            options,
        };
        (State::Requesting(requesting), vec![broadcast(&message)])
    }

    /// A reply while the ACK is awaited.
    pub(super) fn answered(
        &mut self,
        requesting: Requesting,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Step {
        match self.judge_answer(&requesting, reply, from, context) {
            Ok(Answer::Granted(lease)) => match requesting.check {
                Some(check) => self.settle(Checking { lease, check, search: requesting.search }, context),
                None => self.bind(lease, context),
            },
            Ok(Answer::Refused) => self.refused(requesting.search, reply, context),
            Err(ignored) => (State::Requesting(requesting), vec![Action::Ignore(ignored)]),
        }
    }

    fn judge_answer(
        &self,
        requesting: &Requesting,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Result<Answer, Ignored> {
        let offer = &requesting.lease;
        if reply.xid != requesting.xid {
            return Err(Ignored::OtherTransaction);
        }
        match reply.kind {
            Kind::Offer => Err(Ignored::Unexpected),
            Kind::Ack | Kind::Nak if !is_of_server(offer, reply, from) => Err(Ignored::OtherServer),
            Kind::Ack if reply.yiaddr != offer.address.addr() => Err(Ignored::OtherAddress),
            Kind::Ack => {
                let client_id = offer.client_id.as_ref();
                // With rapid commit it may be the answer to a DISCOVER that was given up, come late.
                let requested = if reply.is_committed() { requesting.began } else { offer.requested };
                let asked = Asked { identity: &self.identity, client_id, requested };
                usable(reply, from, &asked, context).map(Answer::Granted)
            }
            Kind::Nak => Ok(Answer::Refused),
        }
    }

    /// A server has refused what was asked of it: the next search asks for something else.
    pub(super) fn refused(&mut self, mut search: Search, reply: &Reply, context: &mut Context<'_>) -> Step {
        search.refused(reply);
        self.memory.address = None;
        let summary = Action::Searching(search.summary.clone());
        let (state, mut actions) = self.search_again(search, context);
        actions.push(summary);
        (state, actions)
    }

    /// Goes on searching if frames can pass, and later the more offers came to nothing.
    pub(super) fn search_again(&mut self, search: Search, context: &mut Context<'_>) -> Step {
        let at = context.now + after_failure(search.failures);
        match self.medium {
            Medium::Down => (State::Idle, Vec::new()),
            Medium::Up if at <= context.now => self.discover(search, None, context),
            Medium::Up => (State::Init { at, search }, Vec::new()),
        }
    }

    /// Goes on finding out whether somebody has the address, and takes the lease if nobody has.
    pub(super) fn settle(&mut self, mut checking: Checking, context: &mut Context<'_>) -> Step {
        let Checking { lease, check, search } = &mut checking;
        if let Some(holder) = check.holder {
            return self.decline(lease, holder, search.clone(), context);
        }
        if lease.is_over(context.now) {
            let (at, search) = (lease.next_cycle(), search.clone());
            return if at <= context.now {
                self.discover(search, None, context)
            } else {
                (State::Init { at, search }, Vec::new())
            };
        }
        let probe = check.due(context.now, context.rng);
        if check.is_done(context.now) {
            return self.bind(checking.lease, context);
        }
        (State::Checking(checking), probe.map(Action::Ask).into_iter().collect())
    }

    /// Takes a lease whose address was found free, or was not to be checked.
    pub(super) fn bind(&mut self, lease: Lease, context: &mut Context<'_>) -> Step {
        let thoroughness = self.identity.settings.conflict_detection;
        let guard = Guard::new(lease.address.addr(), thoroughness, context.now);
        let (held, mut actions) = self.take_up(lease, guard, context);
        // The probes may have taken longer than T1.
        let (state, further) = self.hold(held, context);
        actions.extend(further);
        (state, actions)
    }

    /// Begins to use an address.
    pub(super) fn take_up(
        &mut self,
        lease: Lease,
        guard: Guard,
        context: &mut Context<'_>,
    ) -> (Held, Vec<Action>) {
        self.memory.learn(&lease);
        self.link_local = None;
        let granted = Action::Granted(lease.clone());
        let mut held = Held { lease, guard };
        let queries = held.first_queries(context);
        (held, [vec![granted], queries].concat())
    }

    /// DECLINE (RFC 2131, section 4.4.4), and a pause that grows: a server may offer the same address again.
    pub(super) fn decline(
        &mut self,
        lease: &Lease,
        holder: MacAddr,
        mut search: Search,
        context: &mut Context<'_>,
    ) -> Step {
        let address = lease.address.addr();
        let mut options = vec![DhcpOption::RequestedIpAddress(address)];
        options.extend(lease.server.map(DhcpOption::ServerIdentifier));
        options.push(DhcpOption::Message(IN_USE.to_owned()));
        let message = Request {
            kind: MessageType::Decline,
            xid: context.rng.random(),
            secs: 0,
            reply: ReplyBy::Unicast,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            mac: self.identity.mac,
            client_id: lease.client_id.clone(),
            options,
        };
        self.memory.conflicts = self.memory.conflicts.saturating_add(1);
        self.memory.address = None;
        search.summary.conflicts = search.summary.conflicts.saturating_add(1);
        let actions = vec![
            Action::Declined(address, holder),
            broadcast(&message),
            Action::Searching(search.summary.clone()),
        ];
        let at = context.now + after_conflict(self.memory.conflicts, context.rng);
        let state = match self.medium {
            Medium::Up => State::Init { at, search },
            Medium::Down => State::Idle,
        };
        (state, actions)
    }

    /// Somebody else uses the address that we use.
    pub(super) fn give_up(&mut self, lease: Lease, holder: MacAddr, context: &mut Context<'_>) -> Step {
        let search = self.new_search(context.now);
        let (state, actions) = self.decline(&lease, holder, search, context);
        (state, [vec![Action::Lost(lease, LostReason::Conflict)], actions].concat())
    }
}

/// Whether a reply comes from the server of a lease or an offer. One that says who it is must say so in its ACK, too; a
/// NAK may come from it without a name.
pub(super) fn is_of_server(lease: &Lease, reply: &Reply, from: MacAddr) -> bool {
    match (lease.server, reply.server()) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (Some(_), None) => reply.kind == Kind::Nak && from == lease.server_mac,
        (None, _) => from == lease.server_mac,
    }
}
