//! INIT and SELECTING: from nothing to an offer, or, with rapid commit, to a lease.

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::v4::{DhcpOption, MessageType};
use landfall_api::{MacAddr, Octets};
use rand::RngExt as _;

use super::{
    client::{Action, Client, Context},
    conflict::Check,
    identity::IPV6_ONLY,
    lease::{Asked, Lease, Unusable},
    message::{Ignored, Kind, Reply, Request},
    reboot::Reboot,
    request::{Checking, Requesting},
    retransmit::after_discover,
    search::Search,
    socket::{Delivery, Transmission},
    state::{State, Step},
};
use crate::clock::Instant;

/// How long the server of the last lease has for its offer, once another has made one.
const FOR_THE_KNOWN: Duration = Duration::from_millis(50);

/// How long servers have that say who they are, once one has made an offer that does not.
const FOR_THE_NAMED: Duration = Duration::from_millis(500);

/// RFC 8925, section 3.4: `MIN_V6ONLY_WAIT`.
const SHORTEST_IPV6_ONLY: u32 = 300;

/// SELECTING.
#[derive(Debug)]
pub(super) struct Selecting {
    /// That of the last DISCOVER.
    transaction: Transaction,
    /// That of the other client identifier. A server may be so slow that its OFFER comes when it is not its turn.
    other: Option<Transaction>,
    /// When the next DISCOVER is due.
    at: Instant,
    /// What was offered since the last DISCOVER, while a better offer may come.
    offered: Offered,
    /// An earlier lease whose server may still answer.
    reboot: Option<Reboot>,
    pub search: Search,
}

/// The DISCOVERs of one client identifier.
#[derive(Debug)]
struct Transaction {
    xid: u32,
    client_id: Option<Octets>,
    /// When its first DISCOVER was sent: a lease in answer to one runs from then.
    began: Instant,
    /// Of its last DISCOVER; its REQUEST must repeat it (RFC 2131, section 4.4.1).
    secs: u16,
    /// Whether one of its DISCOVERs had the option of rapid commit.
    commitment: Commitment,
}

/// Whether a server was asked to take the lease for taken at once (RFC 4039).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commitment {
    Invited,
    Uninvited,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Offered {
    Nothing,
    /// The best so far, and when it is to be taken.
    Candidate(Lease, Instant),
    /// Several servers do not say who they are: none of them can be asked.
    Ambiguous,
}

impl Transaction {
    fn new(client_id: Option<Octets>, context: &mut Context<'_>) -> Self {
        let (xid, began) = (context.rng.random(), context.now);
        Self { xid, client_id, began, secs: 0, commitment: Commitment::Uninvited }
    }
}

impl Selecting {
    /// When the next DISCOVER is due, or an offer is to be taken.
    pub fn deadline(&self) -> Instant {
        match &self.offered {
            Offered::Candidate(_, until) => self.at.min(*until),
            Offered::Nothing | Offered::Ambiguous => self.at,
        }
    }

    /// The client identifier of the transaction that a reply belongs to, if it belongs to one.
    pub fn client_id(&self, xid: u32) -> Option<&Option<Octets>> {
        let reboot = self.reboot.as_ref().filter(|reboot| reboot.xid == xid);
        let own = self.transaction(xid).map(|transaction| &transaction.client_id);
        own.or(reboot.map(|reboot| &reboot.lease.client_id))
    }

    fn transaction(&self, xid: u32) -> Option<&Transaction> {
        [Some(&self.transaction), self.other.as_ref()]
            .into_iter()
            .flatten()
            .find(|transaction| transaction.xid == xid)
    }

    /// Goes on as the client identifier that is the search's now.
    fn alternate(&mut self, context: &mut Context<'_>) {
        let client_id = &self.search.client_id;
        let next = self.other.take().unwrap_or_else(|| Transaction::new(client_id.clone(), context));
        self.other = Some(std::mem::replace(&mut self.transaction, next));
    }

    /// What goes on after an offer: the transaction that it belongs to, and the search as its client identifier.
    fn chosen(self, lease: &Lease) -> (Transaction, Search) {
        let Self { transaction, other, mut search, .. } = self;
        search.client_id.clone_from(&lease.client_id);
        let other = other.filter(|other| other.client_id == lease.client_id);
        (other.unwrap_or(transaction), search)
    }
}

impl Client {
    /// Sends the first DISCOVER of a transaction.
    pub(super) fn discover(
        &mut self,
        search: Search,
        reboot: Option<Reboot>,
        context: &mut Context<'_>,
    ) -> Step {
        let transaction = Transaction::new(search.client_id.clone(), context);
        let (at, offered) = (context.now, Offered::Nothing);
        self.send_discover(Selecting { transaction, other: None, at, offered, reboot, search }, context)
    }

    /// The time for offers is over: takes the one that there is, or asks again.
    pub(super) fn select(&mut self, mut selecting: Selecting, context: &mut Context<'_>) -> Step {
        if let Offered::Candidate(lease, _) = std::mem::replace(&mut selecting.offered, Offered::Nothing) {
            return self.take(selecting, lease, context);
        }
        let summary = selecting.search.summary.clone();
        let (state, mut actions) = self.send_discover(selecting, context);
        actions.push(Action::Searching(summary));
        (state, actions)
    }

    fn send_discover(&mut self, mut selecting: Selecting, context: &mut Context<'_>) -> Step {
        if selecting.search.alternates(&self.identity) {
            selecting.alternate(context);
        }
        let Selecting { transaction, at, search, .. } = &mut selecting;
        search.discovered();
        transaction.secs = search.secs(context.now);
        *at = context.now + after_discover(search.unanswered, context.rng);
        let mut options = Vec::new();
        options.extend(self.memory.address.map(DhcpOption::RequestedIpAddress));
        options.extend(self.identity.parameters());
        if self.identity.settings.rapid_commit && search.is_rapid() {
            transaction.commitment = Commitment::Invited;
            options.push(DhcpOption::RapidCommit);
        }
        let message = Request {
            kind: MessageType::Discover,
            xid: transaction.xid,
            secs: transaction.secs,
            reply: search.reply_by(&self.identity),
            ciaddr: Ipv4Addr::UNSPECIFIED,
            mac: self.identity.mac,
            client_id: transaction.client_id.clone(),
            options,
        };
        (State::Selecting(selecting), vec![broadcast(&message)])
    }

    /// A reply while offers are awaited.
    pub(super) fn offered(
        &mut self,
        mut selecting: Selecting,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Step {
        if selecting.reboot.as_ref().is_some_and(|reboot| reboot.xid == reply.xid) {
            return self.raced(selecting, reply, from, context);
        }
        let judged = self.judge_offer(&selecting, reply, from, context);
        if matches!(judged, Ok(_) | Err(Ignored::Unusable(_))) {
            selecting.search.offered(reply);
        }
        let lease = match judged {
            Ok(lease) => lease,
            Err(ignored) => return (State::Selecting(selecting), vec![Action::Ignore(ignored)]),
        };
        if let Some(state) = self.stay_without(&mut selecting, reply, context) {
            return state;
        }
        if reply.kind == Kind::Ack {
            self.commit(selecting, lease, context)
        } else if let Some(patience) = self.doubts(&lease) {
            selecting.keep(lease, context.now + patience);
            (State::Selecting(selecting), vec![Action::Ignore(Ignored::Kept)])
        } else {
            self.take(selecting, lease, context)
        }
    }

    fn judge_offer(
        &self,
        selecting: &Selecting,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Result<Lease, Ignored> {
        let transaction = selecting.transaction(reply.xid).ok_or(Ignored::OtherTransaction)?;
        // An OFFER with the option of rapid commit is an OFFER; an ACK without it commits its server to nothing.
        let is_rapid = transaction.commitment == Commitment::Invited && reply.is_committed();
        match reply.kind {
            Kind::Offer => {}
            Kind::Ack if is_rapid => {}
            Kind::Ack | Kind::Nak => return Err(Ignored::Unexpected),
        }
        let requested = if reply.kind == Kind::Ack { transaction.began } else { context.now };
        let client_id = transaction.client_id.as_ref();
        usable(reply, from, &Asked { identity: &self.identity, client_id, requested }, context)
    }

    /// A server may prefer us to do without an address, if the spec lets it (RFC 8925).
    fn stay_without(&self, selecting: &mut Selecting, reply: &Reply, context: &Context<'_>) -> Option<Step> {
        let wait = <[u8; 4]>::try_from(reply.options.raw(IPV6_ONLY)?).ok()?;
        let seconds = u32::from_be_bytes(wait).max(SHORTEST_IPV6_ONLY);
        self.identity.settings.ipv6_only.then(|| {
            let mut search = selecting.search.clone();
            search.summary.ipv6_only = Some(seconds);
            let summary = Action::Searching(search.summary.clone());
            let at = context.now + Duration::from_secs(seconds.into());
            (State::Init { at, search }, vec![summary])
        })
    }

    /// How long to wait for a better offer.
    fn doubts(&self, lease: &Lease) -> Option<Duration> {
        match (lease.server, self.memory.server) {
            (None, _) => Some(FOR_THE_NAMED),
            (Some(server), Some(known)) if server != known => Some(FOR_THE_KNOWN),
            (Some(_), _) => None,
        }
    }

    /// Asks for what was offered, and begins to find out whether somebody has it.
    fn take(&mut self, selecting: Selecting, lease: Lease, context: &mut Context<'_>) -> Step {
        let (Transaction { xid, began, secs, .. }, mut search) = selecting.chosen(&lease);
        let reply = search.reply_by(&self.identity);
        search.unanswered = 0;
        let thoroughness = self.identity.settings.conflict_detection;
        let check = Check::new(lease.address.addr(), thoroughness, context.now, context.rng);
        let at = context.now;
        let requesting = Requesting { xid, began, secs, reply, lease, sent: 0, at, check, search };
        self.request_further(requesting, context)
    }

    /// A server has given a lease at once.
    fn commit(&mut self, selecting: Selecting, lease: Lease, context: &mut Context<'_>) -> Step {
        let thoroughness = self.identity.settings.conflict_detection;
        let check = Check::new(lease.address.addr(), thoroughness, context.now, context.rng);
        match check {
            Some(check) => {
                let (_, search) = selecting.chosen(&lease);
                self.settle(Checking { lease, check, search }, context)
            }
            None => self.bind(lease, context),
        }
    }

    /// A reply to the question that was asked before the DISCOVER.
    fn raced(
        &mut self,
        mut selecting: Selecting,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Step {
        let reboot = selecting.reboot.take().expect("the caller has seen it");
        match self.judge_reboot(&reboot, reply, from, context) {
            Ok(Some(lease)) => {
                let (_, search) = selecting.chosen(&lease);
                self.come_back(lease, search, context)
            }
            Ok(None) => (State::Selecting(selecting), vec![Action::Ignore(Ignored::Unexpected)]),
            Err(ignored) => {
                selecting.reboot = Some(reboot);
                (State::Selecting(selecting), vec![Action::Ignore(ignored)])
            }
        }
    }
}

impl Selecting {
    /// Keeps the better of two offers. Of several servers that do not say who they are none can be asked.
    fn keep(&mut self, lease: Lease, until: Instant) {
        let is_nameless = lease.server.is_none();
        match &self.offered {
            Offered::Candidate(kept, _) if kept.server.is_some() => {}
            Offered::Candidate(kept, _) if is_nameless && kept.server_mac != lease.server_mac => {
                self.offered = Offered::Ambiguous;
            }
            Offered::Ambiguous if is_nameless => {}
            Offered::Nothing | Offered::Candidate(..) | Offered::Ambiguous => {
                self.offered = Offered::Candidate(lease, until);
            }
        }
    }
}

/// The lease in a reply, unless its time is over already: an answer may be slower than a lease is long.
pub(super) fn usable(
    reply: &Reply,
    from: MacAddr,
    asked: &Asked<'_>,
    context: &mut Context<'_>,
) -> Result<Lease, Ignored> {
    let lease = Lease::from_reply(reply, from, asked, context.rng).map_err(Ignored::Unusable)?;
    if lease.is_over(context.now) { Err(Ignored::Unusable(Unusable::Over)) } else { Ok(lease) }
}

/// From nowhere to everybody: there is no address yet.
pub(super) fn broadcast(message: &Request) -> Action {
    let delivery = Delivery::Broadcast { source: Ipv4Addr::UNSPECIFIED };
    Action::Send(Transmission { delivery, message: message.encode() })
}
