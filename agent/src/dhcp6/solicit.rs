//! From nothing to an offer, or, with rapid commit, to a lease (RFC 8415, sections 18.2.1 and 18.2.9).

use dhcproto::v6::{DhcpOption, MessageType, OptionCode};

use super::{
    client::{Action, Client, Want},
    lease::{Answer, Asked, Lease},
    message::{Ignored, Kind, Reply},
    options::Refusal,
    retransmit::{Exchange, Timing},
    state::{Medium, State, Step},
};
use crate::{clock::Instant, dhcp::Context};

/// How many SOLICITs may offer to take a lease at once. A lease that answers one runs from the first, which must not be long
/// ago; and a server may be there that cannot.
const MOST_RAPID: u32 = 4;

/// The search for an address: from the first SOLICIT until there is a lease, through offers that come to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    /// The server whose offer came to nothing last.
    pub unreliable: Option<Vec<u8>>,
    /// What the last refusal said.
    pub message: Option<String>,
    pub solicits: u32,
    pub advertises: u32,
}

/// A SOLICIT is due, or its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Soliciting {
    pub exchange: Exchange,
    /// The offer of a server that has just let us down.
    kept: Option<Lease>,
    search: Search,
}

impl Search {
    /// As it is reported.
    pub fn summary(&self) -> Action {
        let (solicits, advertises, message) = (self.solicits, self.advertises, self.message.clone());
        Action::Searching { solicits, advertises, message }
    }
}

impl Client {
    /// Searches from `at` on, if an address is still wanted and messages can pass.
    pub(super) fn search(&mut self, search: Search, at: Instant, context: &mut Context<'_>) -> State {
        match (self.medium, self.want) {
            (Medium::Up, Want::Address) => {
                let exchange = Exchange::new(Timing::SOLICIT, at, context.rng);
                State::Soliciting(Soliciting { exchange, kept: None, search })
            }
            (Medium::Down, _) | (Medium::Up, Want::Nothing | Want::Information) => self.start(context),
        }
    }

    /// An offer came to nothing.
    pub(super) fn search_again(&mut self, search: Search, context: &mut Context<'_>) -> Step {
        let summary = search.summary();
        let at = self.memory.after_failure(context);
        (self.search(search, at, context), vec![summary])
    }

    /// Nobody has answered, or nobody but a server that has just let us down.
    pub(super) fn solicit(&mut self, mut soliciting: Soliciting, context: &mut Context<'_>) -> Step {
        if let Some(lease) = soliciting.kept.take() {
            return self.take(soliciting.search, lease, context);
        }
        let Soliciting { exchange, search, .. } = &mut soliciting;
        let summary = (exchange.sent > 0).then(|| search.summary());
        exchange.timing.longest = Some(self.memory.longest_solicit);
        let mut options = self.parameters(self.memory.address);
        options.extend((exchange.sent < MOST_RAPID).then_some(DhcpOption::RapidCommit));
        let send = self.say(MessageType::Solicit, exchange, options, context);
        search.solicits = search.solicits.saturating_add(1);
        (State::Soliciting(soliciting), [send].into_iter().chain(summary).collect())
    }

    /// A reply while an offer is awaited.
    pub(super) fn offered(
        &mut self,
        mut soliciting: Soliciting,
        reply: &Reply<'_>,
        context: &mut Context<'_>,
    ) -> Step {
        let lease = match self.judge_offer(&mut soliciting, reply, context.now) {
            Ok(lease) => lease,
            Err(why) => return (State::Soliciting(soliciting), vec![Action::Ignore(why)]),
        };
        match reply.kind {
            Kind::Reply => self.bind(lease),
            Kind::Advertise if soliciting.search.unreliable.as_ref() == Some(&lease.server) => {
                soliciting.kept = Some(lease);
                (State::Soliciting(soliciting), vec![Action::Ignore(Ignored::Kept)])
            }
            // Somebody waits: whatever the preference, the first is taken.
            Kind::Advertise => self.take(soliciting.search, lease, context),
        }
    }

    fn judge_offer(
        &self,
        soliciting: &mut Soliciting,
        reply: &Reply<'_>,
        now: Instant,
    ) -> Result<Lease, Ignored> {
        let Soliciting { exchange, search, .. } = soliciting;
        let at = match reply.kind {
            Kind::Advertise => {
                search.advertises = search.advertises.saturating_add(1);
                now
            }
            // The option has no value, so that only its being there can be asked for.
            Kind::Reply if reply.options.first(OptionCode::RapidCommit).is_some() => exchange.began,
            Kind::Reply => return Err(Ignored::Unexpected),
        };
        match Answer::read(reply, &Asked { identity: &self.identity, current: None, at, now }) {
            Answer::Given(lease) => Ok(lease),
            Answer::Withdrawn => Err(Ignored::NoAddress),
            Answer::Unusable(why) => Err(why),
            Answer::Refused(refusal) => {
                let Refusal { status, message } = refusal;
                search.message = Some(message);
                Err(Ignored::Refused(status.into()))
            }
        }
    }
}
