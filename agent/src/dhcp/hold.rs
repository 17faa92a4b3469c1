//! From one lease to the next: BOUND, RENEWING, REBINDING, and giving it back.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, MessageType};
use landfall_api::{LostReason, MacAddr};
use rand::RngExt as _;

use super::{
    arp::{Claim, Query},
    client::{Action, Client, Context, Listening},
    conflict::{Guard, Verdict},
    lease::{Asked, Lease},
    message::{Ignored, Kind, Reply, ReplyBy, Request},
    request::{Checking, friends, is_of_server},
    retransmit::{after_renewal, after_request},
    select::usable,
    socket::{Delivery, Transmission},
    state::{State, Step},
};
use crate::clock::Instant;

/// How often all servers are asked whether a lease that is held still holds; then its own is, as at T1.
const MOST_QUESTIONS: u32 = 4;

/// A lease in use, and the watch over its address.
#[derive(Debug)]
pub(super) struct Held {
    pub lease: Lease,
    pub guard: Guard,
}

impl Held {
    /// When to renew, to announce or to probe, or when the lease ends.
    pub fn deadline(&self) -> Option<Instant> {
        let lease = self.lease.renewal().into_iter().chain(self.lease.expiry());
        lease.chain(self.guard.deadline()).min()
    }

    /// What there is to hear about it: claims, and, once, the gateway.
    pub fn listen(&self, listening: &mut Listening) {
        if self.guard.is_on() {
            listening.address(self.lease.address.addr());
        }
        listening.speakers.extend(self.lease.gateway().filter(|_| self.lease.gateway_mac.is_none()));
    }

    /// What is said when the address comes into use. The gateway's MAC address will tell this network from others.
    pub fn first_queries(&mut self, context: &mut Context<'_>) -> Vec<Action> {
        let mut queries = self.guard.due(context.now, context.rng);
        let gateway = self.lease.gateway().filter(|_| self.lease.gateway_mac.is_none());
        queries.extend(gateway.map(|target| Query::Lookup { source: self.lease.address.addr(), target }));
        queries.into_iter().map(Action::Ask).collect()
    }

    fn due(&mut self, context: &mut Context<'_>) -> Vec<Action> {
        self.guard.due(context.now, context.rng).into_iter().map(Action::Ask).collect()
    }
}

/// RENEWING, REBINDING, or REBOOTING with an address in use.
#[derive(Debug)]
pub(super) struct Extending {
    pub held: Held,
    asking: Asking,
    xid: u32,
    /// When the first REQUEST was sent: the extended lease will run from then.
    began: Instant,
    /// REQUESTs of this transaction.
    sent: u32,
    /// When the next REQUEST is due.
    at: Instant,
    dispute: Dispute,
}

/// Whom a lease's holder asks about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// REBOOTING: whoever knows whether it still holds.
    Whether,
    /// RENEWING: the server that gave it.
    ItsServer,
    /// REBINDING: any.
    AnyServer,
}

/// Whether another server than that of the lease has refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dispute {
    None,
    Refused,
}

#[expect(clippy::large_enum_variant, reason = "it lives for one statement")]
enum Answer {
    Extended(Lease),
    Refused,
    Disputed,
}

impl Extending {
    /// A lease that is in use while the answer to its INIT-REBOOT is awaited.
    pub fn rebooting(held: Held, xid: u32, began: Instant, context: &mut Context<'_>) -> Self {
        let at = context.now + after_request(context.rng);
        Self { held, asking: Asking::Whether, xid, began, sent: 1, at, dispute: Dispute::None }
    }

    fn new(held: Held, asking: Asking, context: &mut Context<'_>) -> Self {
        let (xid, now) = (context.rng.random(), context.now);
        Self { held, asking, xid, began: now, sent: 0, at: now, dispute: Dispute::None }
    }

    /// When the next REQUEST is due, or the next state, or something of the watch.
    pub fn deadline(&self) -> Instant {
        let guard = self.held.guard.deadline();
        let lease = self.turn().into_iter().chain(self.held.lease.expiry());
        lease.chain(guard).fold(self.at, Instant::min)
    }

    /// When any server is to be asked instead of the lease's own.
    fn turn(&self) -> Option<Instant> {
        match self.asking {
            Asking::ItsServer => self.held.lease.rebinding(),
            Asking::Whether | Asking::AnyServer => None,
        }
    }
}

impl Client {
    /// Does what is due while a lease is held.
    pub(super) fn hold(&mut self, mut held: Held, context: &mut Context<'_>) -> Step {
        let mut actions = held.due(context);
        if held.lease.renewal().is_none_or(|renewal| context.now < renewal) {
            return (State::Bound(held), actions);
        }
        let (state, further) = self.renew(held, context);
        actions.extend(further);
        (state, actions)
    }

    /// RENEWING, or REBINDING if it is late; a lease that never ends needs neither.
    fn renew(&mut self, held: Held, context: &mut Context<'_>) -> Step {
        let Some(t2) = held.lease.rebinding() else {
            return (State::Bound(held), Vec::new());
        };
        let asking = if t2 <= context.now { Asking::AnyServer } else { Asking::ItsServer };
        self.ask(Extending::new(held, asking, context), context)
    }

    /// The link has been away: asks whether the lease still holds, and says again whose the address is.
    pub(super) fn verify(&mut self, mut held: Held, context: &mut Context<'_>) -> Step {
        held.guard.announce(context.now);
        let queries = held.due(context);
        let (state, mut actions) = self.ask(Extending::new(held, Asking::Whether, context), context);
        actions.extend(queries);
        (state, actions)
    }

    /// T2 has passed, or nobody has answered, or the watch has something to say.
    pub(super) fn extend_further(&mut self, mut extending: Extending, context: &mut Context<'_>) -> Step {
        let now = context.now;
        let mut actions = extending.held.due(context);
        let is_past_t2 = extending.turn().is_some_and(|t2| t2 <= now);
        let (state, further) = if is_past_t2 {
            self.ask(Extending::new(extending.held, Asking::AnyServer, context), context)
        } else if now < extending.at {
            (State::Extending(extending), Vec::new())
        } else if extending.dispute == Dispute::Refused {
            self.lose(extending.held.lease, context)
        } else if extending.asking == Asking::Whether && extending.sent == MOST_QUESTIONS {
            self.renew(extending.held, context)
        } else {
            self.ask(extending, context)
        };
        actions.extend(further);
        (state, actions)
    }

    fn ask(&self, mut extending: Extending, context: &mut Context<'_>) -> Step {
        let lease = &extending.held.lease;
        let elapsed = context.now.saturating_duration_since(extending.began).as_secs();
        let secs = u16::try_from(elapsed).unwrap_or(u16::MAX);
        let everybody = Delivery::Broadcast { source: lease.address.addr() };
        let (send, wait) = match (extending.asking, lease.server) {
            (Asking::Whether, _) => {
                (self.reboot_request(lease, extending.xid, secs), after_request(context.rng))
            }
            (Asking::ItsServer, server) => {
                let delivery = server.map_or(everybody, |to| Delivery::Unicast { to });
                let send = self.extension(lease, extending.xid, secs, delivery);
                (send, remaining(lease.rebinding(), context.now))
            }
            (Asking::AnyServer, _) => {
                let send = self.extension(lease, extending.xid, secs, everybody);
                (send, remaining(lease.expiry(), context.now))
            }
        };
        extending.sent += 1;
        extending.at = context.now + wait;
        (State::Extending(extending), vec![send])
    }

    /// The REQUEST of a client that has an address: it stands in the header and nowhere else (RFC 2131, section 4.3.2).
    fn extension(&self, lease: &Lease, xid: u32, secs: u16, delivery: Delivery) -> Action {
        let message = Request {
            kind: MessageType::Request,
            xid,
            secs,
            reply: ReplyBy::Unicast,
            ciaddr: lease.address.addr(),
            mac: self.identity.mac,
            client_id: lease.client_id.clone(),
            options: self.identity.parameters(),
        };
        Action::Send(Transmission { delivery, message: message.encode() })
    }

    /// A reply about the lease that is held.
    pub(super) fn extended(
        &mut self,
        mut extending: Extending,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Step {
        match self.judge_extension(&extending, reply, from, context) {
            Ok(Answer::Extended(lease)) => {
                self.memory.conflicts = 0;
                self.memory.learn(&lease);
                let held = self.replace(extending.held, lease, context);
                let granted = Action::Extended(held.lease.clone());
                (State::Bound(held), vec![granted])
            }
            Ok(Answer::Refused) => {
                let lease = extending.held.lease;
                let mut search = self.new_search(context.now);
                self.memory.address = None;
                search.refused(reply);
                let (state, sent) = self.search_again(search, context);
                (state, [vec![Action::Lost(lease, LostReason::Nak)], sent].concat())
            }
            Ok(Answer::Disputed) => {
                extending.dispute = Dispute::Refused;
                (State::Extending(extending), Vec::new())
            }
            Err(ignored) => (State::Extending(extending), vec![Action::Ignore(ignored)]),
        }
    }

    fn judge_extension(
        &self,
        extending: &Extending,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Result<Answer, Ignored> {
        let lease = &extending.held.lease;
        if reply.xid != extending.xid {
            return Err(Ignored::OtherTransaction);
        }
        let is_its_server = is_of_server(lease, reply, from);
        match (extending.asking, reply.kind) {
            (_, Kind::Offer) => Err(Ignored::Unexpected),
            (Asking::ItsServer, Kind::Ack | Kind::Nak) if !is_its_server => Err(Ignored::OtherServer),
            (Asking::Whether, Kind::Ack) if reply.yiaddr != lease.address.addr() => {
                Err(Ignored::OtherAddress)
            }
            (_, Kind::Ack) => {
                let (client_id, requested) = (lease.client_id.as_ref(), extending.began);
                let asked = Asked { identity: &self.identity, client_id, requested };
                usable(reply, from, &asked, context).map(|new| Answer::Extended(new.inherit(lease)))
            }
            // A server that does not know the lease may share the LAN with the one that does.
            (Asking::Whether, Kind::Nak) if !is_its_server => Ok(Answer::Disputed),
            (_, Kind::Nak) => Ok(Answer::Refused),
        }
    }

    /// The new lease in place of the old; another address is watched from its beginning.
    fn replace(&self, old: Held, lease: Lease, context: &mut Context<'_>) -> Held {
        let address = lease.address.addr();
        if address == old.lease.address.addr() {
            return Held { lease, guard: old.guard };
        }
        let thoroughness = self.identity.settings.conflict_detection;
        Held { lease, guard: Guard::probing(address, thoroughness, context.now, context.rng) }
    }

    /// The servers do not want us to have it, and the one that gave it is silent.
    fn lose(&mut self, lease: Lease, context: &mut Context<'_>) -> Step {
        let search = self.new_search(context.now);
        self.memory.address = None;
        let (state, sent) = self.search_again(search, context);
        (state, [vec![Action::Lost(lease, LostReason::Nak)], sent].concat())
    }

    /// Takes a claim: it may tell of the gateway, or question our address.
    pub(super) fn claimed(
        &mut self,
        held: &mut Held,
        claim: &Claim,
        context: &Context<'_>,
    ) -> Result<Vec<Action>, MacAddr> {
        let friends = friends(&self.identity, &held.lease);
        let verdict = held.guard.hear(claim, &friends, context.now);
        let lease = &mut held.lease;
        let mut actions = Vec::new();
        if lease.gateway() == Some(claim.address) && lease.gateway_mac.is_none() && claim.from == claim.mac {
            lease.gateway_mac = Some(claim.mac);
            actions.push(Action::Remember(lease.clone()));
        }
        match verdict {
            Verdict::Fine => {}
            Verdict::Defend => actions.push(Action::Ask(Query::Announcement(lease.address.addr()))),
            Verdict::GiveUp(holder) => return Err(holder),
        }
        Ok(actions)
    }

    /// RELEASE (RFC 2131, section 4.4.6): as a frame, so that it needs no ARP and is on its way before the process ends.
    pub(super) fn give_back(&mut self, state: State, context: &mut Context<'_>) -> Vec<Action> {
        let own = self.link_local.take().filter(|own| own.address().is_some());
        let gone = own.map(|_| Action::LinkLocal(None));
        let (lease, released) = match state {
            State::Bound(held) | State::Extending(Extending { held, .. }) => {
                (held.lease.clone(), Some(Action::Released(held.lease)))
            }
            State::Checking(Checking { lease, .. }) => (lease, None),
            State::Idle
            | State::Init { .. }
            | State::Rebooting(_)
            | State::Selecting(_)
            | State::Requesting(_)
            | State::Stopped => return gone.into_iter().collect(),
        };
        let source = lease.address.addr();
        let message = Request {
            kind: MessageType::Release,
            xid: context.rng.random(),
            secs: 0,
            reply: ReplyBy::Unicast,
            ciaddr: source,
            mac: self.identity.mac,
            client_id: lease.client_id.clone(),
            options: lease.server.map(DhcpOption::ServerIdentifier).into_iter().collect(),
        };
        let to = lease.server.unwrap_or(Ipv4Addr::BROADCAST);
        let delivery = Delivery::Frame { source, to, mac: way_to(&lease, to) };
        let send = Action::Send(Transmission { delivery, message: message.encode() });
        [send].into_iter().chain(released).chain(gone).collect()
    }
}

/// The MAC address by which the server is reached: the gateway's if it is that, or is beyond it. What came from a server
/// may have come through a relay, which need not take what goes to it.
fn way_to(lease: &Lease, server: Ipv4Addr) -> MacAddr {
    let is_beyond = !lease.address.contains(&server) && !server.is_broadcast();
    let gateway = lease.gateway_mac.filter(|_| is_beyond || lease.gateway() == Some(server));
    gateway.unwrap_or(lease.server_mac)
}

/// How long to wait for an answer until `end` (RFC 2131, section 4.4.5).
fn remaining(end: Option<Instant>, now: Instant) -> std::time::Duration {
    after_renewal(end.map(|end| end.saturating_duration_since(now)).unwrap_or_default())
}
