//! A lease: what an ACK gives, checked before it is believed, and how long each part of it lasts.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use dhcproto::v4::OptionCode;
use ipnet::Ipv4Net;
use landfall_api::{HostName, MacAddr, Mtu, Octets};
use rand::Rng;
use thiserror::Error;

use super::{identity::Identity, message::Reply, retransmit::spread};
use crate::clock::Instant;

/// However short a lease is, a server is not asked to extend it more often.
const SHORTEST_CYCLE: Duration = Duration::from_secs(5);

/// RFC 2131, section 4.4.5.
const T1: f64 = 0.5;
const T2: f64 = 0.875;

/// RFC 2132, section 5.1: less is no MTU.
const LEAST_MTU: u32 = 68;

/// The smallest MTU that carries what every host must take (RFC 791).
const SMALLEST_MTU: u32 = 576;

/// How long a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseTime {
    /// This long from its request.
    Finite {
        /// Until the address is gone.
        lease: Duration,
        /// Until it is time to ask its server for more; less than `t2`, unless the lease is too short for asking.
        t1: Duration,
        /// Until it is time to ask any server; less than `lease`, unless that is too short for asking.
        t2: Duration,
    },
    /// For ever.
    Infinite,
}

/// The right to use an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address and the length of its subnet's prefix.
    pub address: Ipv4Net,
    /// The routers, the preferred one first; empty where classless routes replace them (RFC 3442).
    pub routers: Vec<Ipv4Addr>,
    /// Classless routes: the destination, and the router, which is 0.0.0.0 if the destination is on the link.
    pub routes: Vec<(Ipv4Net, Ipv4Addr)>,
    /// The name servers.
    pub dns: Vec<Ipv4Addr>,
    /// The domain.
    pub domain: Option<HostName>,
    /// The MTU in octets, if the server knows a sensible one.
    pub mtu: Option<u32>,
    /// The values of the options that the spec asks for.
    pub options: BTreeMap<landfall_api::OptionCode, Octets>,
    /// The server's identifier, if it has told one.
    pub server: Option<Ipv4Addr>,
    /// Where frames to that server go: whoever sent the ACK, the server or the router or relay before it.
    pub server_mac: MacAddr,
    /// The client identifier that it was given to; the same one is needed to keep it.
    pub client_id: Option<Octets>,
    /// The gateway's MAC address, once it is known.
    pub gateway_mac: Option<MacAddr>,
    /// When its REQUEST was sent; all times count from then.
    pub requested: Instant,
    /// How long it lasts.
    pub time: LeaseTime,
}

/// Why an offer or an ACK cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// Not an address that a host can have in that subnet.
    #[error("no host can have the address {0}")]
    Address(Ipv4Addr),
    /// The mask is not a prefix.
    #[error("the subnet mask is not contiguous")]
    Mask,
    /// No lease time, or zero.
    #[error("the lease time is missing or zero")]
    Time,
    /// It came later than it lasts.
    #[error("the lease is over already")]
    Over,
    /// An address of this host, or one that the forwards lead to.
    #[error("the address {0} is in use on this host already")]
    Taken(Ipv4Addr),
}

/// What a reply is the answer to.
pub struct Asked<'a> {
    /// Who asked.
    pub identity: &'a Identity,
    /// As whom.
    pub client_id: Option<&'a Octets>,
    /// When: the lease runs from then.
    pub requested: Instant,
}

impl Lease {
    /// Reads the lease of an ACK (or looks at that of an OFFER), which was requested at `requested` by `client_id` and came
    /// from `server_mac`. The randomness keeps clones from renewing in step.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn from_reply(
        reply: &Reply,
        server_mac: MacAddr,
        asked: &Asked<'_>,
        rng: &mut dyn Rng,
    ) -> Result<Self, Unusable> {
        let settings = &asked.identity.settings;
        let address = Ipv4Net::new(reply.yiaddr, prefix(reply)?).map_err(|_| Unusable::Mask)?;
        let (routers, routes) = match reply.options.classless_routes() {
            Some(routes) => (Vec::new(), routes),
            None => (reply.options.addresses(OptionCode::Router), Vec::new()),
        };
        let lease = Self {
            address,
            routers: routers.into_iter().filter(|router| is_host(*router)).collect(),
            routes: routes.into_iter().filter(|route| is_route(*route, address.addr())).collect(),
            dns: reply.options.addresses(OptionCode::DomainNameServer),
            domain: domain(reply),
            mtu: mtu(reply).filter(|_| settings.mtu == Mtu::Accept),
            options: asked_for(reply, asked.identity),
            server: reply.server(),
            server_mac,
            client_id: asked.client_id.cloned(),
            gateway_mac: None,
            requested: asked.requested,
            time: time(reply, settings.assume_lease_time, rng)?,
        };
        lease.check(asked.identity)?;
        Ok(lease)
    }

    /// Whether the address is one that we can have, and nobody's here.
    pub(super) fn check(&self, identity: &Identity) -> Result<(), Unusable> {
        let address = self.address.addr();
        let is_router = self.routers.contains(&address) || self.server == Some(address);
        if !is_for_a_host(self.address) || is_router {
            Err(Unusable::Address(address))
        } else if identity.taken.contains(&address) {
            Err(Unusable::Taken(address))
        } else {
            Ok(())
        }
    }

    /// The router that most packets go to.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        let default = self.routes.iter().find(|(to, by)| to.prefix_len() == 0 && !by.is_unspecified());
        default.map(|(_, by)| *by).or_else(|| self.routers.first().copied())
    }

    /// With what is known of the one that it takes the place of.
    pub(super) fn inherit(self, old: &Self) -> Self {
        let gateway_mac = old.gateway_mac.filter(|_| old.gateway() == self.gateway());
        Self { gateway_mac, ..self }
    }

    /// Whether a lease from before can have been this client's.
    pub(super) fn can_be_of(&self, identity: &Identity) -> bool {
        identity.may_have(self.client_id.as_ref()) && self.check(identity).is_ok()
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: Instant) -> bool {
        self.expiry().is_some_and(|expiry| expiry <= now)
    }

    /// When to ask its server for more.
    pub fn renewal(&self) -> Option<Instant> {
        self.moment(|_, t1, _| t1)
    }

    /// When to ask any server.
    pub fn rebinding(&self) -> Option<Instant> {
        self.moment(|_, _, t2| t2)
    }

    /// When to look for another one at the earliest, should this one end: short leases must not make a storm.
    pub(super) fn next_cycle(&self) -> Instant {
        self.requested + SHORTEST_CYCLE
    }

    /// When the address is gone.
    pub fn expiry(&self) -> Option<Instant> {
        self.moment(|lease, _, _| lease)
    }

    fn moment(&self, of: impl Fn(Duration, Duration, Duration) -> Duration) -> Option<Instant> {
        match self.time {
            LeaseTime::Finite { lease, t1, t2 } => Some(self.requested + of(lease, t1, t2)),
            LeaseTime::Infinite => None,
        }
    }
}

/// As it is reported.
impl From<&Lease> for landfall_api::Lease {
    fn from(lease: &Lease) -> Self {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        Self {
            address: lease.address,
            routers: lease.routers.clone(),
            dns: lease.dns.clone(),
            domain: lease.domain.as_ref().map(ToString::to_string),
            server: lease.server,
            options: lease.options.clone(),
            lease_time: match lease.time {
                LeaseTime::Finite { lease, .. } => Some(seconds(lease)),
                LeaseTime::Infinite => None,
            },
        }
    }
}

/// The time of a lease, with the server's T1 and T2 where they make sense, and the RFC's where they do not.
fn time(reply: &Reply, assumed: Option<u32>, rng: &mut dyn Rng) -> Result<LeaseTime, Unusable> {
    let told = reply.options.number(OptionCode::AddressLeaseTime).filter(|seconds| *seconds > 0);
    let seconds = match told.or(assumed) {
        None => return Err(Unusable::Time),
        Some(u32::MAX) => return Ok(LeaseTime::Infinite),
        Some(seconds) => seconds,
    };
    let lease = Duration::from_secs(seconds.into());
    let given = |code| reply.options.number(code).filter(|t| *t > 0).map(|t| Duration::from_secs(t.into()));
    let (t1, t2) = match (given(OptionCode::Renewal), given(OptionCode::Rebinding)) {
        (Some(t1), Some(t2)) if t1 < t2 && t2 < lease => (t1, t2),
        (Some(t1), None) if t1 < lease.mul_f64(T2) => (t1, lease.mul_f64(T2)),
        (None, Some(t2)) if lease.mul_f64(T1) < t2 && t2 < lease => (lease.mul_f64(T1), t2),
        _ => (lease.mul_f64(T1), lease.mul_f64(T2)),
    };
    let t1 = spread(t1, 0.95..1.0, rng).max(SHORTEST_CYCLE);
    let t2 = if t1 < t2 { t2 } else { lease.mul_f64(T2).max(t1) };
    Ok(LeaseTime::Finite { lease, t1, t2 })
}

/// What came of the options that the spec asks for.
fn asked_for(reply: &Reply, identity: &Identity) -> BTreeMap<landfall_api::OptionCode, Octets> {
    let value = |code: &landfall_api::OptionCode| {
        let value = reply.options.raw(code.number().into())?.to_vec();
        Some((*code, value.try_into().ok()?))
    };
    identity.settings.ask.iter().filter_map(value).collect()
}

/// Some servers end it as a C string, some as a rooted name.
fn domain(reply: &Reply) -> Option<HostName> {
    let name = str::from_utf8(reply.options.raw(OptionCode::DomainName)?).ok()?;
    let name = name.trim_end_matches('\0');
    name.strip_suffix('.').unwrap_or(name).parse().ok()
}

fn mtu(reply: &Reply) -> Option<u32> {
    let given = reply.options.number(OptionCode::InterfaceMtu).filter(|mtu| *mtu >= LEAST_MTU);
    given.map(|mtu| mtu.max(SMALLEST_MTU))
}

/// The prefix length of option 1; without the option that of the address's class (RFC 950).
fn prefix(reply: &Reply) -> Result<u8, Unusable> {
    match (reply.options.raw(OptionCode::SubnetMask), reply.yiaddr.octets()[0]) {
        (Some(_), _) => {
            let mask = reply.options.address(OptionCode::SubnetMask).ok_or(Unusable::Mask)?;
            ipnet::ipv4_mask_to_prefix(mask).ok().filter(|prefix| *prefix > 0).ok_or(Unusable::Mask)
        }
        (None, 0..=127) => Ok(8),
        (None, 128..=191) => Ok(16),
        (None, 192..) => Ok(24),
    }
}

/// Whether one host can have the address, alone and for good.
fn is_host(address: Ipv4Addr) -> bool {
    let is_reserved = address.octets()[0] == 0 || address.octets()[0] >= 240;
    !(is_reserved || address.is_loopback() || address.is_multicast() || address.is_link_local())
}

/// Whether it is neither the subnet's own address nor its broadcast address, where it has those.
fn is_for_a_host(address: Ipv4Net) -> bool {
    let is_named =
        address.prefix_len() < 31 && [address.network(), address.broadcast()].contains(&address.addr());
    is_host(address.addr()) && !is_named
}

/// Whether a server may tell us to go there and that way: not into ourselves, nor where nobody is (CVE-2024-3661).
fn is_route((destination, router): (Ipv4Net, Ipv4Addr), own: Ipv4Addr) -> bool {
    let first = destination.network();
    let is_somewhere = destination.prefix_len() == 0
        || !(first.is_loopback() || first.is_multicast() || first.is_link_local());
    is_somewhere && (router.is_unspecified() || is_host(router) && router != own)
}
