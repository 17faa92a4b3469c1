//! INIT-REBOOT (RFC 2131, section 3.2) and detecting network attachment (RFC 4436): back to a lease from before.

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::v4::{DhcpOption, MessageType};
use landfall_api::{ConflictDetection, MacAddr, Octets};
use rand::RngExt as _;

use super::{
    arp::{Claim, Query},
    client::{Action, Client, Context},
    conflict::{Check, Guard},
    hold::Extending,
    lease::{Asked, Lease},
    message::{Ignored, Kind, Reply, ReplyBy, Request},
    request::{Checking, is_of_server},
    search::Search,
    select::{broadcast, usable},
    state::{State, Step},
};
use crate::clock::Instant;

/// How long the server of the earlier lease has before all are asked; some never say no.
const HEAD_START: Duration = Duration::from_millis(250);

/// REBOOTING, without an address yet.
#[derive(Debug)]
pub(super) struct Rebooting {
    xid: u32,
    began: Instant,
    /// The lease from before; its time goes on.
    pub lease: Lease,
    /// When a DISCOVER is due.
    pub at: Instant,
    pub search: Search,
}

/// What is left of it while offers are awaited.
#[derive(Debug)]
pub(super) struct Reboot {
    pub xid: u32,
    began: Instant,
    pub lease: Lease,
}

impl Client {
    /// The link is up, and nothing is held: begins with the lease from before, if there is one, or with a DISCOVER.
    pub(super) fn start(&mut self, context: &mut Context<'_>) -> Step {
        let search = self.new_search(context.now);
        let saved = self.memory.lease.take().filter(|lease| !lease.is_over(context.now));
        let jitter = Duration::from_millis(self.identity.settings.start_jitter.into());
        match saved {
            Some(lease) => self.reboot(lease, search, context),
            None if jitter.is_zero() => self.discover(search, None, context),
            None => {
                let at = context.now + jitter.mul_f64(context.rng.random_range(0.0..1.0));
                (State::Init { at, search }, Vec::new())
            }
        }
    }

    fn reboot(&mut self, lease: Lease, mut search: Search, context: &mut Context<'_>) -> Step {
        search.client_id.clone_from(&lease.client_id);
        search.requested();
        let (xid, began, at) = (context.rng.random(), context.now, context.now + HEAD_START);
        let request = self.reboot_request(&lease, xid, 0);
        let (source, gateway) = (lease.address.addr(), lease.gateway().zip(lease.gateway_mac));
        let reach = gateway.map(|(target, mac)| Action::Ask(Query::Reachability { source, target, mac }));
        let actions = [request].into_iter().chain(reach).collect();
        (State::Rebooting(Rebooting { xid, began, lease, at, search }), actions)
    }

    /// The REQUEST of a client that has been here before: the address, but no server.
    pub(super) fn reboot_request(&self, lease: &Lease, xid: u32, secs: u16) -> Action {
        let mut options = vec![DhcpOption::RequestedIpAddress(lease.address.addr())];
        options.extend(self.identity.parameters());
        broadcast(&Request {
            kind: MessageType::Request,
            xid,
            secs,
            reply: ReplyBy::Unicast,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            mac: self.identity.mac,
            client_id: lease.client_id.clone(),
            options,
        })
    }

    /// A reply while the ACK of the earlier lease is awaited.
    pub(super) fn rebooted(
        &mut self,
        rebooting: Rebooting,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Step {
        let Rebooting { xid, began, lease, at, search } = rebooting;
        let reboot = Reboot { xid, began, lease };
        match self.judge_reboot(&reboot, reply, from, context) {
            Ok(Some(lease)) => self.come_back(lease, search, context),
            // Of another server's NAK nothing follows for ours, but there is another server.
            Ok(None) if is_of_server(&reboot.lease, reply, from) => self.refused(search, reply, context),
            Ok(None) => self.discover(search, Some(reboot), context),
            Err(ignored) => {
                let Reboot { xid, began, lease } = reboot;
                let rebooting = Rebooting { xid, began, lease, at, search };
                (State::Rebooting(rebooting), vec![Action::Ignore(ignored)])
            }
        }
    }

    /// The lease that a reply gives back; none if it refuses.
    pub(super) fn judge_reboot(
        &self,
        reboot: &Reboot,
        reply: &Reply,
        from: MacAddr,
        context: &mut Context<'_>,
    ) -> Result<Option<Lease>, Ignored> {
        if reply.xid != reboot.xid {
            return Err(Ignored::OtherTransaction);
        }
        match reply.kind {
            Kind::Offer => Err(Ignored::Unexpected),
            Kind::Ack if reply.yiaddr != reboot.lease.address.addr() => Err(Ignored::OtherAddress),
            Kind::Ack => {
                let (client_id, requested): (Option<&Octets>, _) =
                    (reboot.lease.client_id.as_ref(), reboot.began);
                let asked = Asked { identity: &self.identity, client_id, requested };
                usable(reply, from, &asked, context).map(|lease| Some(lease.inherit(&reboot.lease)))
            }
            Kind::Nak => Ok(None),
        }
    }

    /// The lease from before is ours again. It was ours a moment ago, so that it is used while it is probed, unless the
    /// spec wants the RFC's certainty.
    pub(super) fn come_back(&mut self, lease: Lease, search: Search, context: &mut Context<'_>) -> Step {
        let (address, thoroughness) = (lease.address.addr(), self.identity.settings.conflict_detection);
        if thoroughness == ConflictDetection::Rfc5227
            && let Some(check) = Check::new(address, thoroughness, context.now, context.rng)
        {
            return self.settle(Checking { lease, check, search }, context);
        }
        let guard = Guard::probing(address, thoroughness, context.now, context.rng);
        let (held, actions) = self.take_up(lease, guard, context);
        (State::Bound(held), actions)
    }

    /// The gateway of the earlier lease may answer: then the network is the same, and the address can be used before
    /// its server has said so (RFC 4436, section 2.1).
    pub(super) fn reachable(
        &mut self,
        rebooting: Rebooting,
        claim: &Claim,
        context: &mut Context<'_>,
    ) -> Step {
        let Rebooting { lease, .. } = &rebooting;
        let is_gateway = lease.gateway() == Some(claim.address) && lease.gateway_mac == Some(claim.mac);
        let is_answer = is_gateway && claim.target == lease.address.addr() && claim.from == claim.mac;
        let is_certain = self.identity.settings.conflict_detection != ConflictDetection::Rfc5227;
        if !(is_answer && is_certain) || lease.is_over(context.now) {
            return (State::Rebooting(rebooting), Vec::new());
        }
        let Rebooting { xid, began, lease, .. } = rebooting;
        let guard = Guard::probing(
            lease.address.addr(),
            self.identity.settings.conflict_detection,
            context.now,
            context.rng,
        );
        let (held, actions) = self.take_up(lease, guard, context);
        (State::Extending(Extending::rebooting(held, xid, began, context)), actions)
    }

    /// The server of the earlier lease does not answer: all are asked, and the first to answer wins.
    pub(super) fn race(&mut self, rebooting: Rebooting, context: &mut Context<'_>) -> Step {
        let Rebooting { xid, began, lease, search, .. } = rebooting;
        self.discover(search, Some(Reboot { xid, began, lease }), context)
    }
}
