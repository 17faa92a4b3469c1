//! While a lease is held: CONFIRM, RENEW and REBIND (RFC 8415, sections 18.2.3 to 18.2.5), and giving it back.

use std::net::Ipv6Addr;

use dhcproto::v6::{DhcpOption, MessageType, Status};
use landfall_api::LostReason;

use super::{
    client::{Action, Client},
    lease::{Answer, Asked, Lease},
    message::{Ignored, Kind, Reply},
    options::Refusal,
    retransmit::{Exchange, Timing, delay},
    solicit::Search,
    state::{State, Step},
};
use crate::{clock::Instant, dhcp::Context};

/// A server is asked about the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extending {
    pub lease: Lease,
    pub exchange: Exchange,
    asking: Asking,
}

/// What is asked, and whom.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asking {
    /// CONFIRM: whoever knows whether the address belongs to this link.
    Whether,
    /// RENEW: the server that gave it.
    ItsServer,
    /// REBIND: any.
    AnyServer,
    /// REQUEST: the server with this DUID, which does not know of the lease.
    Anew(Vec<u8>),
}

/// Somebody else has the address of this lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declining {
    pub exchange: Exchange,
    lease: Lease,
}

/// What a reply means for a lease that is held.
enum Verdict {
    Extended(Lease),
    /// It is as it was.
    Confirmed,
    /// The server does not know of it.
    Unknown,
    Over(Option<String>),
}

impl Extending {
    fn new(lease: Lease, asking: Asking, at: Instant, context: &mut Context<'_>) -> Self {
        let timing = match asking {
            Asking::Whether => Timing::CONFIRM,
            Asking::ItsServer => Timing::RENEW,
            Asking::AnyServer => Timing::REBIND,
            Asking::Anew(_) => Timing::REQUEST,
        };
        Self { lease, exchange: Exchange::new(timing, at, context.rng), asking }
    }

    /// When the next message is due, or another server is to be asked, or the lease ends.
    pub fn deadline(&self) -> Instant {
        let ends = self.turn().into_iter().chain(self.lease.expiry());
        ends.fold(self.exchange.deadline(), Instant::min)
    }

    /// When any server is to be asked instead of the lease's own.
    fn turn(&self) -> Option<Instant> {
        match self.asking {
            Asking::ItsServer => self.lease.rebinding(),
            Asking::Whether | Asking::AnyServer | Asking::Anew(_) => None,
        }
    }

    /// Whether its answer can come from this server.
    fn is_asked(&self, server: &[u8]) -> bool {
        match &self.asking {
            Asking::Whether | Asking::AnyServer => true,
            Asking::ItsServer => server == self.lease.server,
            Asking::Anew(asked) => server == asked,
        }
    }
}

impl Client {
    /// The link has been away: whether the lease belongs to it is asked soon.
    pub(super) fn confirm(lease: Lease, context: &mut Context<'_>) -> State {
        let at = context.now + delay(context.rng);
        State::Extending(Extending::new(lease, Asking::Whether, at, context))
    }

    /// T1 has passed, or T2.
    pub(super) fn renew(&mut self, lease: Lease, context: &mut Context<'_>) -> Step {
        let is_late = lease.rebinding().is_some_and(|t2| t2 <= context.now);
        let asking = if is_late { Asking::AnyServer } else { Asking::ItsServer };
        self.extend(Extending::new(lease, asking, context.now, context), context)
    }

    /// Nobody has answered.
    pub(super) fn extend(&mut self, extending: Extending, context: &mut Context<'_>) -> Step {
        if extending.turn().is_some_and(|t2| t2 <= context.now) {
            return self.renew(extending.lease, context);
        }
        if extending.exchange.is_over(context.now) {
            // A CONFIRM says nothing if nobody answers; a REQUEST was worth trying. Both leave the lease as it was.
            let is_due = extending.lease.renewal().is_some_and(|t1| t1 <= context.now);
            let lease = extending.lease;
            return if is_due { self.renew(lease, context) } else { (State::Bound(lease), Vec::new()) };
        }
        self.send_extension(extending, context)
    }

    fn send_extension(&self, mut extending: Extending, context: &mut Context<'_>) -> Step {
        let Extending { lease, exchange, asking } = &mut extending;
        let address = Some(lease.address);
        let addressed = |server: &Vec<u8>| {
            let mut options = vec![DhcpOption::ServerId(server.clone())];
            options.extend(self.parameters(address));
            options
        };
        let (kind, options) = match asking {
            Asking::Whether => (MessageType::Confirm, vec![self.identity.ia_na(address)]),
            Asking::ItsServer => (MessageType::Renew, addressed(&lease.server)),
            Asking::AnyServer => (MessageType::Rebind, self.parameters(address)),
            Asking::Anew(server) => (MessageType::Request, addressed(server)),
        };
        let send = self.say(kind, exchange, options, context);
        (State::Extending(extending), vec![send])
    }

    /// A reply about the lease that is held.
    pub(super) fn extended(
        &mut self,
        extending: Extending,
        reply: &Reply<'_>,
        context: &mut Context<'_>,
    ) -> Step {
        match self.judge_extension(&extending, reply, context.now) {
            Ok(Verdict::Extended(lease)) => {
                self.memory.address = Some(lease.address);
                (State::Bound(lease.clone()), vec![Action::Extended(lease)])
            }
            Ok(Verdict::Confirmed) => (State::Bound(extending.lease), Vec::new()),
            Ok(Verdict::Unknown) => {
                let asking = Asking::Anew(reply.server.to_vec());
                self.extend(Extending::new(extending.lease, asking, context.now, context), context)
            }
            Ok(Verdict::Over(message)) => {
                let lease = extending.lease;
                let at = self.memory.after_failure(context);
                let state = self.search(Search { message, ..Search::default() }, at, context);
                (state, vec![Action::Lost(lease, LostReason::Nak)])
            }
            Err(why) => (State::Extending(extending), vec![Action::Ignore(why)]),
        }
    }

    fn judge_extension(
        &self,
        extending: &Extending,
        reply: &Reply<'_>,
        now: Instant,
    ) -> Result<Verdict, Ignored> {
        match reply.kind {
            Kind::Advertise => return Err(Ignored::Unexpected),
            Kind::Reply if !extending.is_asked(reply.server) => return Err(Ignored::OtherServer),
            Kind::Reply => {}
        }
        let asking = &extending.asking;
        if *asking == Asking::Whether {
            let refusal = reply.options.refusal();
            return refusal.map_or(Ok(Verdict::Confirmed), |refusal| judge_refusal(asking, refusal));
        }
        let (current, at) = (Some(extending.lease.address), extending.exchange.began);
        match Answer::read(reply, &Asked { identity: &self.identity, current, at, now }) {
            Answer::Given(lease) => Ok(Verdict::Extended(lease)),
            Answer::Withdrawn => Ok(Verdict::Over(None)),
            Answer::Unusable(why) => Err(why),
            Answer::Refused(refusal) => judge_refusal(asking, refusal),
        }
    }

    /// Somebody else has an address: the server is told if it is that of the lease (RFC 8415, section 18.2.8).
    pub(super) fn duplicate(&mut self, state: State, address: Ipv6Addr, context: &mut Context<'_>) -> Step {
        let Some(lease) = state.lease().filter(|lease| lease.address == address).cloned() else {
            return (state, Vec::new());
        };
        self.memory.address = None;
        let lost = Action::Lost(lease.clone(), LostReason::Conflict);
        let exchange = Exchange::new(Timing::DECLINE, context.now, context.rng);
        let (state, actions) = self.decline(Declining { exchange, lease }, context);
        (state, [vec![lost], actions].concat())
    }

    /// Tells the server, or searches again once it has been told often enough.
    pub(super) fn decline(&mut self, mut declining: Declining, context: &mut Context<'_>) -> Step {
        let Declining { exchange, lease } = &mut declining;
        if exchange.is_over(context.now) {
            return (self.search_elsewhere(context), Vec::new());
        }
        let send = self.say(MessageType::Decline, exchange, self.ending(lease), context);
        (State::Declining(declining), vec![send])
    }

    /// Whatever a server says of it, it has been told.
    pub(super) fn declined(
        &mut self,
        declining: Declining,
        reply: &Reply<'_>,
        context: &mut Context<'_>,
    ) -> Step {
        match reply.kind {
            Kind::Reply if reply.server == declining.lease.server => {
                (self.search_elsewhere(context), Vec::new())
            }
            Kind::Reply => (State::Declining(declining), vec![Action::Ignore(Ignored::OtherServer)]),
            Kind::Advertise => (State::Declining(declining), vec![Action::Ignore(Ignored::Unexpected)]),
        }
    }

    /// After a pause that grows: a server may offer the same address again.
    fn search_elsewhere(&mut self, context: &mut Context<'_>) -> State {
        let at = self.memory.after_failure(context);
        self.search(Search::default(), at, context)
    }

    /// RELEASE (RFC 8415, section 18.2.7), once: the process ends.
    pub(super) fn give_back(&self, state: &State, context: &mut Context<'_>) -> Vec<Action> {
        let Some(lease) = state.lease().cloned() else { return Vec::new() };
        let mut exchange = Exchange::new(Timing::DECLINE, context.now, context.rng);
        let send = self.say(MessageType::Release, &mut exchange, self.ending(&lease), context);
        vec![send, Action::Released(lease)]
    }

    /// What a message says that ends a lease.
    fn ending(&self, lease: &Lease) -> Vec<DhcpOption> {
        vec![DhcpOption::ServerId(lease.server.clone()), self.identity.ia_na(Some(lease.address))]
    }
}

/// What a refusal means (RFC 8415, sections 18.2.10.1 and 18.2.10.3). What is not said of the lease changes nothing.
fn judge_refusal(asking: &Asking, refusal: Refusal) -> Result<Verdict, Ignored> {
    let Refusal { status, message } = refusal;
    if status == Status::NotOnLink {
        return Ok(Verdict::Over(Some(message)));
    }
    let is_unknown = status == Status::NoBinding;
    let is_refused = is_unknown || status == Status::NoAddrsAvail;
    match asking {
        Asking::ItsServer | Asking::AnyServer if is_unknown => Ok(Verdict::Unknown),
        Asking::Anew(_) if is_refused => Ok(Verdict::Over(Some(message))),
        Asking::Whether | Asking::ItsServer | Asking::AnyServer | Asking::Anew(_) => {
            Err(Ignored::Refused(status.into()))
        }
    }
}
