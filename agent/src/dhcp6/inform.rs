//! What is to be known without an address (RFC 8415, sections 18.2.6 and 18.2.10.4).

use std::time::Duration;

use dhcproto::v6::{MessageType, OptionCode};

use super::{
    client::{Action, Client, wanted_options},
    lease::Information,
    message::{Ignored, Kind, Reply},
    retransmit::{Exchange, Timing},
    state::{State, Step},
};
use crate::dhcp::Context;

/// RFC 8415, section 21.23: for how long it is believed where the server does not say, and at least.
const REFRESH: u32 = 86_400;
const SHORTEST_REFRESH: u32 = 600;

impl Client {
    /// Begins to ask.
    pub(super) fn inquire(&mut self, context: &mut Context<'_>) -> State {
        let at = self.memory.soon(context);
        State::Asking(Exchange::new(Timing::INFORMATION_REQUEST, at, context.rng))
    }

    /// Asks, until there is an answer.
    pub(super) fn ask(&mut self, mut exchange: Exchange, context: &mut Context<'_>) -> Step {
        exchange.timing.longest = Some(self.memory.longest_information_request);
        // Whoever asks this way must ask for how long the answer holds (section 18.2.6).
        let options = vec![wanted_options(&[OptionCode::InformationRefreshTime])];
        let send = self.say(MessageType::InformationRequest, &mut exchange, options, context);
        (State::Asking(exchange), vec![send])
    }

    /// An answer.
    pub(super) fn informed(exchange: Exchange, reply: &Reply<'_>, context: &mut Context<'_>) -> Step {
        let ignored = match reply.kind {
            Kind::Advertise => Some(Ignored::Unexpected),
            Kind::Reply => reply.options.refusal().map(|refusal| Ignored::Refused(refusal.status.into())),
        };
        if let Some(why) = ignored {
            return (State::Asking(exchange), vec![Action::Ignore(why)]);
        }
        let seconds = reply.options.number(OptionCode::InformationRefreshTime).unwrap_or(REFRESH);
        let refresh = Duration::from_secs(seconds.max(SHORTEST_REFRESH).into());
        let until = (seconds != u32::MAX).then(|| context.now + refresh);
        (State::Informed { until }, vec![Action::Information(Information::of(reply.options))])
    }
}
