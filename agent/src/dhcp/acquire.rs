//! From nothing to a lease: INIT, SELECTING and REQUESTING.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, MessageType};
use landfall_api::MacAddr;
use rand::RngExt as _;

use super::{
    client::{Action, Client, Context, Medium, State, Step},
    lease::{Lease, Unusable},
    message::{Ignored, Kind, Reply, ReplyBy, Request},
    retransmit::{after_discover, after_failure, after_request},
    search::Search,
    socket::{Delivery, Transmission},
};
use crate::clock::Instant;

/// How often an offer is asked for before the search starts again.
const MOST_REQUESTS: u32 = 4;

/// From this DISCOVER on replies are wanted by broadcast, in case unicast ones get lost on the way.
const FIRST_BY_BROADCAST: u32 = 3;

/// SELECTING.
#[derive(Debug)]
pub(super) struct Selecting {
    xid: u32,
    /// DISCOVERs of this transaction.
    sent: u32,
    /// Of the last DISCOVER; its REQUEST must repeat it (RFC 2131, section 4.4.1).
    secs: u16,
    /// When the next DISCOVER is due.
    pub at: Instant,
    search: Search,
}

/// REQUESTING.
#[derive(Debug)]
pub(super) struct Requesting {
    xid: u32,
    secs: u16,
    reply: ReplyBy,
    address: Ipv4Addr,
    server: Ipv4Addr,
    /// When the first REQUEST was sent: the lease will run from then.
    requested: Instant,
    /// REQUESTs of this transaction.
    sent: u32,
    /// When the next REQUEST is due.
    pub at: Instant,
    search: Search,
}

impl Client {
    /// Sends the first DISCOVER of a transaction.
    pub(super) fn discover(&self, search: Search, context: &mut Context<'_>) -> Step {
        let xid = context.rng.random();
        self.send_discover(Selecting { xid, sent: 0, secs: 0, at: context.now, search }, context)
    }

    /// Nobody has made an offer.
    pub(super) fn discover_again(&self, selecting: Selecting, context: &mut Context<'_>) -> Step {
        let summary = selecting.search.summary.clone();
        let (state, mut actions) = self.send_discover(selecting, context);
        actions.push(Action::Searching(summary));
        (state, actions)
    }

    fn send_discover(&self, selecting: Selecting, context: &mut Context<'_>) -> Step {
        let Selecting { xid, sent, mut search, .. } = selecting;
        let secs = search.secs(context.now);
        search.discovered();
        let selecting = Selecting {
            xid,
            sent: sent + 1,
            secs,
            at: context.now + after_discover(sent + 1, context.rng),
            search,
        };
        let message = Request {
            kind: MessageType::Discover,
            xid,
            secs,
            reply: selecting.reply(),
            ciaddr: Ipv4Addr::UNSPECIFIED,
            mac: self.identity.mac,
            options: self.parameters(),
        };
        (State::Selecting(selecting), vec![broadcast(&message)])
    }

    /// A reply while offers are awaited: the first usable offer is taken.
    pub(super) fn offered(
        &self,
        mut selecting: Selecting,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Step {
        let judged = selecting.judge(reply, from, context);
        if matches!(judged, Ok(_) | Err(Ignored::Unusable(_))) {
            selecting.search.offered(reply);
        }
        let offer = match judged {
            Ok(offer) => offer,
            Err(ignored) => return (State::Selecting(selecting), vec![Action::Ignore(ignored)]),
        };
        let reply_by = selecting.reply();
        let Selecting { xid, secs, search, .. } = selecting;
        let requesting = Requesting {
            xid,
            secs,
            reply: reply_by,
            address: offer.address.addr(),
            server: offer.server,
            requested: context.now,
            sent: 0,
            at: context.now,
            search,
        };
        self.send_request(requesting, context)
    }

    /// The server that made the offer is silent.
    pub(super) fn request_again(&self, mut requesting: Requesting, context: &mut Context<'_>) -> Step {
        let summary = Action::Searching(requesting.search.summary.clone());
        let (state, mut actions) = if requesting.sent < MOST_REQUESTS {
            self.send_request(requesting, context)
        } else {
            requesting.search.deserted();
            self.search_again(requesting.search, context)
        };
        actions.push(summary);
        (state, actions)
    }

    fn send_request(&self, mut requesting: Requesting, context: &mut Context<'_>) -> Step {
        requesting.search.requested();
        requesting.sent += 1;
        requesting.at = context.now + after_request(context.rng);
        let mut options = vec![
            DhcpOption::RequestedIpAddress(requesting.address),
            DhcpOption::ServerIdentifier(requesting.server),
        ];
        options.extend(self.parameters());
        let message = Request {
            kind: MessageType::Request,
            xid: requesting.xid,
            secs: requesting.secs,
            reply: requesting.reply,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            mac: self.identity.mac,
            options,
        };
        (State::Requesting(requesting), vec![broadcast(&message)])
    }

    /// A reply while the ACK is awaited.
    pub(super) fn answered(
        &self,
        requesting: Requesting,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Step {
        match requesting.judge(reply, from, context) {
            Ok(Answer::Granted(lease)) => (State::Bound(lease.clone()), vec![Action::Granted(lease)]),
            Ok(Answer::Refused) => {
                let mut search = requesting.search;
                search.refused(reply);
                let summary = Action::Searching(search.summary.clone());
                let (state, mut actions) = self.search_again(search, context);
                actions.push(summary);
                (state, actions)
            }
            Err(ignored) => (State::Requesting(requesting), vec![Action::Ignore(ignored)]),
        }
    }

    /// Goes on searching if frames can pass, and later the more offers came to nothing.
    pub(super) fn search_again(&self, search: Search, context: &mut Context<'_>) -> Step {
        let at = context.now + after_failure(search.failures);
        match self.medium {
            Medium::Down => (State::Idle, Vec::new()),
            Medium::Up if at <= context.now => self.discover(search, context),
            Medium::Up => (State::Init { at, search }, Vec::new()),
        }
    }
}

impl Selecting {
    fn reply(&self) -> ReplyBy {
        if self.sent < FIRST_BY_BROADCAST { ReplyBy::Unicast } else { ReplyBy::Broadcast }
    }

    fn judge(&self, reply: &Reply, from: MacAddr, context: &mut Context<'_>) -> Result<Lease, Ignored> {
        of_transaction(reply, self.xid)?;
        match reply.kind {
            Kind::Offer => usable(reply, from, context.now, context),
            Kind::Ack | Kind::Nak => Err(Ignored::Unexpected),
        }
    }
}

enum Answer {
    Granted(Lease),
    Refused,
}

impl Requesting {
    fn judge(&self, reply: &Reply, from: MacAddr, context: &mut Context<'_>) -> Result<Answer, Ignored> {
        of_transaction(reply, self.xid)?;
        match reply.kind {
            Kind::Offer => Err(Ignored::Unexpected),
            Kind::Ack | Kind::Nak if reply.server() != Some(self.server) => Err(Ignored::OtherServer),
            Kind::Ack if reply.yiaddr != self.address => Err(Ignored::OtherAddress),
            Kind::Ack => usable(reply, from, self.requested, context).map(Answer::Granted),
            Kind::Nak => Ok(Answer::Refused),
        }
    }
}

pub(super) fn of_transaction(reply: &Reply, xid: u32) -> Result<(), Ignored> {
    if reply.xid == xid { Ok(()) } else { Err(Ignored::OtherTransaction) }
}

/// The lease in a reply, unless its time is over already: an answer may be slower than a lease is long.
pub(super) fn usable(
    reply: &Reply,
    from: MacAddr,
    requested: Instant,
    context: &mut Context<'_>,
) -> Result<Lease, Ignored> {
    let lease = Lease::from_reply(reply, from, requested, context.rng).map_err(Ignored::Unusable)?;
    if lease.expiry().is_some_and(|expiry| expiry <= context.now) {
        return Err(Ignored::Unusable(Unusable::Over));
    }
    Ok(lease)
}

/// From nowhere to everybody: there is no address yet.
fn broadcast(message: &Request) -> Action {
    let delivery = Delivery::Broadcast { source: Ipv4Addr::UNSPECIFIED };
    Action::Send(Transmission { delivery, message: message.encode() })
}
