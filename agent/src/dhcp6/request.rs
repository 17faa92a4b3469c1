//! From an offer to a lease (RFC 8415, sections 18.2.2 and 18.2.10.1).

use dhcproto::v6::{DhcpOption, MessageType, Status};

use super::{
    client::{Action, Client},
    lease::{Answer, Asked, Lease},
    message::{Ignored, Kind, Reply},
    retransmit::{Exchange, Timing},
    solicit::Search,
    state::{State, Step},
};
use crate::dhcp::Context;

/// A server was asked for what it offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requesting {
    pub exchange: Exchange,
    offer: Lease,
    search: Search,
}

impl Client {
    /// Takes an offer.
    pub(super) fn take(&mut self, search: Search, offer: Lease, context: &mut Context<'_>) -> Step {
        let exchange = Exchange::new(Timing::REQUEST, context.now, context.rng);
        self.request(Requesting { exchange, offer, search }, context)
    }

    /// Asks for what was offered, or for another offer if the server has fallen silent.
    pub(super) fn request(&mut self, mut requesting: Requesting, context: &mut Context<'_>) -> Step {
        let Requesting { exchange, offer, search } = &mut requesting;
        if exchange.is_over(context.now) {
            return self.fail(requesting, context);
        }
        let summary = (exchange.sent > 0).then(|| search.summary());
        let mut options = vec![DhcpOption::ServerId(offer.server.clone())];
        options.extend(self.parameters(Some(offer.address)));
        let send = self.say(MessageType::Request, exchange, options, context);
        (State::Requesting(requesting), [send].into_iter().chain(summary).collect())
    }

    /// The next search tries the others first.
    fn fail(&mut self, requesting: Requesting, context: &mut Context<'_>) -> Step {
        let search = Search { unreliable: Some(requesting.offer.server), ..requesting.search };
        self.search_again(search, context)
    }

    /// A reply to a REQUEST. What does not give an address, from the server that offered one, is a refusal.
    pub(super) fn answered(
        &mut self,
        mut requesting: Requesting,
        reply: &Reply<'_>,
        context: &mut Context<'_>,
    ) -> Step {
        let ignored = match reply.kind {
            Kind::Advertise => Some(Ignored::Unexpected),
            Kind::Reply if reply.server != requesting.offer.server => Some(Ignored::OtherServer),
            Kind::Reply => None,
        };
        if let Some(why) = ignored {
            return (State::Requesting(requesting), vec![Action::Ignore(why)]);
        }
        let (at, now) = (requesting.exchange.began, context.now);
        match Answer::read(reply, &Asked { identity: &self.identity, current: None, at, now }) {
            Answer::Given(lease) => self.bind(lease),
            // RFC 9915 has done away with it; we have not sent anything else.
            Answer::Refused(refusal) if refusal.status == Status::UseMulticast => {
                let why = Ignored::Refused(refusal.status.into());
                (State::Requesting(requesting), vec![Action::Ignore(why)])
            }
            Answer::Refused(refusal) => {
                requesting.search.message = Some(refusal.message);
                self.fail(requesting, context)
            }
            Answer::Withdrawn | Answer::Unusable(_) => self.fail(requesting, context),
        }
    }

    /// Takes a lease. Whether somebody else has its address is found out by who configures it.
    pub(super) fn bind(&mut self, lease: Lease) -> Step {
        self.memory.address = Some(lease.address);
        (State::Bound(lease.clone()), vec![Action::Granted(lease)])
    }
}
