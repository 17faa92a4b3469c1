//! From one lease to the next: BOUND, RENEWING, REBINDING, and giving it back.

use dhcproto::v4::{DhcpOption, MessageType};
use landfall_api::{LostReason, MacAddr};
use rand::RngExt as _;

use super::{
    acquire::{of_transaction, usable},
    client::{Action, Client, Context, State, Step},
    lease::Lease,
    message::{Ignored, Kind, Reply, ReplyBy, Request},
    retransmit::after_renewal,
    search::Search,
    socket::{Delivery, Transmission},
};
use crate::clock::Instant;

/// RENEWING or REBINDING.
#[derive(Debug)]
pub(super) struct Extending {
    pub lease: Lease,
    asking: Asking,
    xid: u32,
    /// When the first REQUEST was sent: the extended lease will run from then.
    began: Instant,
    /// When the next REQUEST is due.
    at: Instant,
}

/// Whom a lease's holder asks for more time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// RENEWING: the server that gave it.
    ItsServer,
    /// REBINDING: any.
    AnyServer,
}

impl Extending {
    /// When the next REQUEST is due, or the next state.
    pub fn deadline(&self) -> Instant {
        let turn = match self.asking {
            Asking::ItsServer => self.lease.rebinding(),
            Asking::AnyServer => None,
        };
        turn.into_iter().chain(self.lease.expiry()).fold(self.at, Instant::min)
    }

    /// What a reply says.
    fn judge(&self, reply: &Reply, from: MacAddr, context: &mut Context<'_>) -> Result<Answer, Ignored> {
        of_transaction(reply, self.xid)?;
        let is_ours = self.asking == Asking::AnyServer || reply.server() == Some(self.lease.server);
        match reply.kind {
            Kind::Offer => Err(Ignored::Unexpected),
            Kind::Ack | Kind::Nak if !is_ours => Err(Ignored::OtherServer),
            Kind::Ack => usable(reply, from, self.began, context).map(Answer::Extended),
            Kind::Nak => Ok(Answer::Refused),
        }
    }
}

enum Answer {
    Extended(Lease),
    Refused,
}

impl Client {
    /// T1 has passed.
    pub(super) fn extend(&self, lease: Lease, context: &mut Context<'_>) -> Step {
        let extending = Extending {
            lease,
            asking: Asking::ItsServer,
            xid: context.rng.random(),
            began: context.now,
            at: context.now,
        };
        self.extend_further(extending, context)
    }

    /// T1 or T2 has passed, or nobody has answered.
    pub(super) fn extend_further(&self, extending: Extending, context: &mut Context<'_>) -> Step {
        let now = context.now;
        let is_past_t2 = extending.lease.rebinding().is_some_and(|t2| t2 <= now);
        if extending.asking == Asking::ItsServer && is_past_t2 {
            let xid = context.rng.random();
            let Extending { lease, .. } = extending;
            return self
                .ask(Extending { lease, asking: Asking::AnyServer, xid, began: now, at: now }, context);
        }
        self.ask(extending, context)
    }

    fn ask(&self, mut extending: Extending, context: &mut Context<'_>) -> Step {
        let lease = &extending.lease;
        let (delivery, end) = match extending.asking {
            Asking::ItsServer => (Delivery::Unicast { to: lease.server }, lease.rebinding()),
            Asking::AnyServer => (Delivery::Broadcast { source: lease.address.addr() }, lease.expiry()),
        };
        let remaining = end.map(|end| end.saturating_duration_since(context.now)).unwrap_or_default();
        let secs = context.now.saturating_duration_since(extending.began).as_secs();
        let message = Request {
            kind: MessageType::Request,
            xid: extending.xid,
            secs: u16::try_from(secs).unwrap_or(u16::MAX),
            reply: ReplyBy::Unicast,
            ciaddr: lease.address.addr(),
            mac: self.identity.mac,
            options: self.parameters(),
        };
        extending.at = context.now + after_renewal(remaining);
        let send = Action::Send(Transmission { delivery, message: message.encode() });
        (State::Extending(extending), vec![send])
    }

    /// A reply while more time is asked for.
    pub(super) fn extended(
        &self,
        extending: Extending,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Step {
        match extending.judge(reply, from, context) {
            Ok(Answer::Extended(lease)) => (State::Bound(lease.clone()), vec![Action::Extended(lease)]),
            Ok(Answer::Refused) => {
                let mut search = Search::new(context.now);
                search.refused(reply);
                let lost = Action::Lost(extending.lease.clone(), LostReason::Nak);
                let (state, sent) = self.search_again(search, context);
                (state, [vec![lost], sent].concat())
            }
            Err(ignored) => (State::Extending(extending), vec![Action::Ignore(ignored)]),
        }
    }

    /// RELEASE (RFC 2131, section 4.4.6): straight to where the ACK came from, so that it needs no ARP and is on its way
    /// before the process ends.
    pub(super) fn give_back(&self, state: State, context: &mut Context<'_>) -> Vec<Action> {
        let lease = match state {
            State::Bound(lease) | State::Extending(Extending { lease, .. }) => lease,
            State::Idle
            | State::Init { .. }
            | State::Selecting(_)
            | State::Requesting(_)
            | State::Stopped => {
                return Vec::new();
            }
        };
        let source = lease.address.addr();
        let message = Request {
            kind: MessageType::Release,
            xid: context.rng.random(),
            secs: 0,
            reply: ReplyBy::Unicast,
            ciaddr: source,
            mac: self.identity.mac,
            options: vec![DhcpOption::ServerIdentifier(lease.server)],
        };
        let delivery = Delivery::Frame { source, to: lease.server, mac: lease.server_mac };
        vec![Action::Send(Transmission { delivery, message: message.encode() }), Action::Released(lease)]
    }
}
