//! A lease: what a REPLY gives, checked before it is believed, and how long each part of it lasts.

use std::{net::Ipv6Addr, time::Duration};

use dhcproto::v6::{IAAddr, IANA, OptionCode};
use dhcproto::{Decodable as _, Decoder};

use super::{
    identity::Identity,
    message::{Ignored, Reply},
    options::{Options, Refusal},
};
use crate::clock::Instant;

/// However short a lease is, a server is not asked to extend it more often.
const SHORTEST_CYCLE: Duration = Duration::from_secs(5);

/// RFC 8415, section 7.7: this many seconds are for ever.
const INFINITY: u32 = u32::MAX;
const FOR_EVER: Duration = Duration::MAX;

/// The octets of options 3 and 5 before the options within them.
const IA_NA: usize = 12;
const IA_ADDR: usize = 24;

/// The right to use an address. All times count from `obtained`; none of them is for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address. It comes without a prefix: which addresses are on the link, the routers say.
    pub address: Ipv6Addr,
    /// Until no new connection is to begin from it; not longer than `valid`.
    pub preferred: Option<Duration>,
    /// Until the address is gone.
    pub valid: Option<Duration>,
    /// When the message that it is the answer to was first sent.
    pub obtained: Instant,
    /// Until it is time to ask its server for more.
    pub t1: Option<Duration>,
    /// Until it is time to ask any server; not less than `t1`.
    pub t2: Option<Duration>,
    /// The server's DUID.
    pub server: Vec<u8>,
    /// What else the server says.
    pub information: Information,
}

/// What is to be known besides an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Information {
    /// The name servers.
    pub dns: Vec<Ipv6Addr>,
    /// The domains to search in, each a host name.
    pub search: Vec<String>,
}

impl Lease {
    /// When the address is gone.
    pub fn expiry(&self) -> Option<Instant> {
        self.valid.map(|valid| self.obtained + valid)
    }

    /// When no new connection is to begin from it any more.
    pub fn deprecation(&self) -> Option<Instant> {
        self.preferred.map(|preferred| self.obtained + preferred)
    }

    /// When to ask its server for more.
    pub fn renewal(&self) -> Option<Instant> {
        self.t1.map(|t1| self.obtained + t1)
    }

    /// When to ask any server.
    pub fn rebinding(&self) -> Option<Instant> {
        self.t2.map(|t2| self.obtained + t2)
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: Instant) -> bool {
        self.expiry().is_some_and(|expiry| expiry <= now)
    }

    /// When to look for another one at the earliest, should this one end: short leases must not make a storm.
    pub(super) fn next_cycle(&self) -> Instant {
        self.obtained + SHORTEST_CYCLE
    }
}

impl Information {
    pub(super) fn of(options: Options<'_>) -> Self {
        let is_host = |dns: &Ipv6Addr| !(dns.is_unspecified() || dns.is_loopback() || dns.is_multicast());
        let dns = options.addresses(OptionCode::DomainNameServers);
        Self { dns: dns.into_iter().filter(is_host).collect(), search: options.domains() }
    }
}

/// What a reply is the answer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub identity: &'a Identity,
    /// The address that is held.
    pub current: Option<Ipv6Addr>,
    /// When: a lease runs from then.
    pub at: Instant,
    pub now: Instant,
}

/// What a reply says of our IA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Given(Lease),
    /// The address that is held is not to be used any more, and there is no other.
    Withdrawn,
    Refused(Refusal),
    Unusable(Ignored),
}

impl Answer {
    pub fn read(reply: &Reply<'_>, asked: &Asked<'_>) -> Self {
        let ia = ia_na(reply.options, asked.identity.iaid);
        let inner = ia.as_ref().and_then(|(_, options)| options.refusal());
        if let Some(refusal) = reply.options.refusal().or(inner) {
            return Self::Refused(refusal);
        }
        let Some((ia, options)) = ia.filter(|(ia, _)| !(ia.t1 > ia.t2 && ia.t2 > 0)) else {
            return Self::Unusable(Ignored::NoAddress);
        };
        let addresses: Vec<IAAddr> = options.all(OptionCode::IAAddr).filter_map(address).collect();
        let is_withdrawn = |address: &IAAddr| address.valid_life == 0 && Some(address.addr) == asked.current;
        match choose(&addresses, asked.current) {
            Some(address) => {
                let lease = lease(reply, &ia, address, asked.at);
                if lease.is_over(asked.now) { Self::Unusable(Ignored::Over) } else { Self::Given(lease) }
            }
            None if addresses.iter().any(is_withdrawn) => Self::Withdrawn,
            None => Self::Unusable(Ignored::NoAddress),
        }
    }
}

/// The IA that is ours, and the options in it.
fn ia_na<'a>(options: Options<'a>, iaid: u32) -> Option<(IANA, Options<'a>)> {
    let decode = |value: &'a [u8]| {
        let (fixed, inner) = value.split_at_checked(IA_NA)?;
        Some((IANA::decode(&mut Decoder::new(fixed)).ok()?, Options(inner)))
    };
    options.all(OptionCode::IANA).filter_map(decode).find(|(ia, _)| ia.id == iaid)
}

/// An address that a host can have, with times that do not contradict each other.
fn address(value: &[u8]) -> Option<IAAddr> {
    let (fixed, inner) = value.split_at_checked(IA_ADDR)?;
    let address = IAAddr::decode(&mut Decoder::new(fixed)).ok()?;
    let is_sound = is_host(address.addr) && address.preferred_life <= address.valid_life;
    (is_sound && Options(inner).refusal().is_none()).then_some(address)
}

/// The one that is held, unless only another is for new connections: a LAN is renumbered that way.
fn choose(addresses: &[IAAddr], current: Option<Ipv6Addr>) -> Option<&IAAddr> {
    let rank = |address: &&IAAddr| (address.preferred_life > 0, Some(address.addr) == current);
    // Of equals the last is taken, and is to be the first.
    addresses.iter().rev().filter(|address| address.valid_life > 0).max_by_key(rank)
}

fn lease(reply: &Reply<'_>, ia: &IANA, address: &IAAddr, obtained: Instant) -> Lease {
    let (preferred, valid) = (lifetime(address.preferred_life), lifetime(address.valid_life));
    let (t1, t2) = times(ia, preferred, valid);
    let finite = |time: Duration| (time != FOR_EVER).then_some(time);
    Lease {
        address: address.addr,
        preferred: finite(preferred),
        valid: finite(valid),
        obtained,
        t1: finite(t1),
        t2: finite(t2),
        server: reply.server.to_vec(),
        information: Information::of(reply.options),
    }
}

/// T1 and T2 as the server has them, or as RFC 8415, section 21.4, has them where it leaves them to us or where they come
/// after the end.
fn times(ia: &IANA, preferred: Duration, valid: Duration) -> (Duration, Duration) {
    let basis = if preferred.is_zero() { valid } else { preferred };
    let share = |tenths| if basis == FOR_EVER { FOR_EVER } else { basis / 10 * tenths };
    let told = |seconds| Some(lifetime(seconds)).filter(|time| !time.is_zero());
    // A server that says for ever does not want to be asked.
    let is_reached = |time: &Duration| *time < valid || *time == FOR_EVER;
    let t2 = told(ia.t2).filter(is_reached);
    let t1 = told(ia.t1).filter(is_reached).unwrap_or_else(|| share(5).min(t2.unwrap_or(FOR_EVER)));
    let t1 = t1.max(SHORTEST_CYCLE);
    (t1, t2.unwrap_or_else(|| share(8)).max(t1))
}

fn lifetime(seconds: u32) -> Duration {
    if seconds == INFINITY { FOR_EVER } else { Duration::from_secs(seconds.into()) }
}

/// Whether one host can have the address for more than the link.
fn is_host(address: Ipv6Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some())
}
