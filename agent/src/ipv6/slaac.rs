//! What is known of the link until its time is over (RFC 4862, section 5.5), and the addresses that are made of it. Pure.

use std::{net::Ipv6Addr, time::Duration};

use ipnet::Ipv6Net;
use landfall_api::MacAddr;

use super::router::{Advertisement, Preference, Prefix};
use crate::clock::Instant;

/// An announcement cannot shorten an address's life below this, because anybody can send one (RFC 4862, section 5.5.3).
const TWO_HOURS: Duration = Duration::from_hours(2);

/// Addresses are made of prefixes of this length only: what is behind it comes from the MAC address.
const HALF: u8 = 64;

/// How many of each kind are kept, so that hostile routers cost little.
const MOST: usize = 16;

/// When something ends; none is never.
pub(super) type End = Option<Instant>;

/// What the routers have told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub routers: Vec<Router>,
    /// What is on the link, and until when.
    pub on_link: Vec<(Ipv6Net, End)>,
    /// What addresses are made of.
    pub prefixes: Vec<Known>,
    pub dns: Vec<(Ipv6Addr, End)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Router {
    pub address: Ipv6Addr,
    pub preference: Preference,
    pub managed: bool,
    pub other: bool,
    pub mtu: Option<u32>,
    /// Until when it is asked the way.
    pub default_until: Instant,
    /// Until when its flags count. One that is no way out may still say where addresses come from.
    pub until: Instant,
}

/// A prefix that addresses are made of, and for how long they are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub net: Ipv6Net,
    pub valid: End,
    pub preferred: End,
}

/// How long the flags of a router are believed that is no way out: as long as any router may be silent (RFC 4861, 6.2.1), thrice.
const FLAGS: Duration = Duration::from_mins(90);

impl Told {
    /// Takes what a router says.
    pub fn learn(&mut self, from: Ipv6Addr, said: &Advertisement, now: Instant) {
        let has_flags = said.managed || said.other;
        let router = Router {
            address: from,
            preference: said.preference,
            managed: said.managed,
            other: said.other,
            mtu: said.mtu,
            default_until: now + said.lifetime,
            until: now + if has_flags { said.lifetime.max(FLAGS) } else { said.lifetime },
        };
        keep(&mut self.routers, router, |known| known.address == from, |known| Some(known.until));
        for prefix in &said.prefixes {
            self.learn_prefix(prefix, now);
        }
        for (server, lifetime) in &said.dns {
            let until = lifetime.map(|lifetime| now + lifetime);
            keep(&mut self.dns, (*server, until), |(known, _)| known == server, |(_, end)| *end);
        }
        self.expire(now);
    }

    /// A flag that is not set says nothing: another router may know better (RFC 4861, section 6.3.4; RFC 4862, section 5.5.3).
    fn learn_prefix(&mut self, prefix: &Prefix, now: Instant) {
        let end = |lifetime: Option<Duration>| lifetime.map(|lifetime| now + lifetime);
        let net = prefix.net;
        if prefix.on_link {
            keep(&mut self.on_link, (net, end(prefix.valid)), |(known, _)| *known == net, |(_, end)| *end);
        }
        if !prefix.autonomous || net.prefix_len() != HALF {
            return;
        }
        let known = self.prefixes.iter().find(|known| known.net == net);
        let valid = match known {
            Some(known) => {
                let remaining = known.valid.map(|valid| valid.saturating_duration_since(now));
                believed(prefix.valid, remaining)
            }
            None => prefix.valid,
        };
        let made = Known { net, valid: end(valid), preferred: end(prefix.preferred) };
        keep(&mut self.prefixes, made, |known| known.net == net, |known| known.valid);
    }

    /// Forgets what is over.
    pub fn expire(&mut self, now: Instant) {
        let lasts = |end: End| end.is_none_or(|end| end > now);
        self.routers.retain(|router| router.until > now);
        self.on_link.retain(|(_, end)| lasts(*end));
        self.prefixes.retain(|prefix| lasts(prefix.valid));
        self.dns.retain(|(_, end)| lasts(*end));
    }

    /// When the next thing is over.
    pub fn next_end(&self, now: Instant) -> Option<Instant> {
        let routers = self.routers.iter().flat_map(|router| [router.until, router.default_until]);
        let on_link = self.on_link.iter().filter_map(|(_, end)| *end);
        let prefixes = self.prefixes.iter().flat_map(|prefix| [prefix.valid, prefix.preferred]).flatten();
        let dns = self.dns.iter().filter_map(|(_, end)| *end);
        routers.chain(on_link).chain(prefixes).chain(dns).filter(|end| *end > now).min()
    }

    /// The ways out, the best one first; among equals the one that was there first.
    pub fn defaults(&self, now: Instant) -> Vec<Router> {
        let ways_out = self.routers.iter().filter(|router| router.default_until > now);
        let mut routers: Vec<Router> = ways_out.copied().collect();
        routers.sort_by_key(|router| std::cmp::Reverse(router.preference));
        routers
    }

    /// The addresses that an interface with this MAC address makes of the prefixes, and when each is over.
    pub fn addresses(&self, mac: MacAddr) -> Vec<(Ipv6Net, Known)> {
        let made = |known: &Known| (Ipv6Net::new_assert(address(known.net, mac), HALF), *known);
        self.prefixes.iter().map(made).collect()
    }
}

/// Puts an item in the place of the one that it is about, or behind the others. Where there is no room, the one that ends first
/// makes some.
fn keep<T>(items: &mut Vec<T>, item: T, is_it: impl Fn(&T) -> bool, end: impl Fn(&T) -> End) {
    if let Some(place) = items.iter().position(is_it) {
        items[place] = item;
        return;
    }
    items.push(item);
    if items.len() > MOST {
        let ends = |item: &T| (end(item).is_none(), end(item));
        let first = (0..items.len()).min_by_key(|place| ends(&items[*place]));
        first.map(|place| items.remove(place));
    }
}

/// The address of an interface in a network (RFC 4291, appendix A). The MAC address is a network container's own, and always the
/// same: so is the address.
pub(super) fn address(net: Ipv6Net, mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let identifier = u64::from_be_bytes([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(net.network().to_bits() | u128::from(identifier))
}

/// How long an address is valid that a router announces again, and would be for `remaining` (RFC 4862, section 5.5.3, e).
fn believed(announced: Option<Duration>, remaining: Option<Duration>) -> Option<Duration> {
    match (announced, remaining) {
        (None, _) => None,
        (Some(announced), Some(remaining)) if announced > remaining.min(TWO_HOURS) => Some(announced),
        (Some(_), Some(remaining)) if remaining <= TWO_HOURS => Some(remaining),
        (Some(announced), _) => Some(announced.max(TWO_HOURS)),
    }
}
