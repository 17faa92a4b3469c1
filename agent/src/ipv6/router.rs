//! The messages between hosts and routers (RFC 4861, section 4): a solicitation to send, an advertisement to read. Pure.

use std::{net::Ipv6Addr, time::Duration};

use ipnet::Ipv6Net;
use landfall_api::MacAddr;
use thiserror::Error;

/// The ICMPv6 types.
const ROUTER_SOLICITATION: u8 = 133;
pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;

/// The options.
const SOURCE_LINK_LAYER: u8 = 1;
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;
const NAME_SERVERS: u8 = 25;

/// The flags of an advertisement, and of a prefix.
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// No link that IPv6 passes has a smaller one (RFC 8200, section 5).
const SMALLEST_MTU: u32 = 1280;

/// A lifetime without end.
const FOR_EVER: u32 = u32::MAX;

/// How many of each kind are kept of one message, so that a hostile one costs little.
const MOST: usize = 16;

/// What a router says of itself and of the link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// A DHCPv6 server gives addresses (flag M).
    pub managed: bool,
    /// A DHCPv6 server gives other things (flag O).
    pub other: bool,
    /// Which router is the better one.
    pub preference: Preference,
    /// How long it is a router for everything; zero if it is none.
    pub lifetime: Duration,
    /// The link's MTU in octets.
    pub mtu: Option<u32>,
    /// What is on the link, and what addresses are made of.
    pub prefixes: Vec<Prefix>,
    /// Name servers, and how long they are; none is for ever.
    pub dns: Vec<(Ipv6Addr, Option<Duration>)>,
}

/// Which router is the better one (RFC 4191).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    /// Only if there is no other.
    Low,
    /// As good as any.
    #[default]
    Medium,
    /// Before others.
    High,
}

/// A prefix that a router announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Without bits below its length.
    pub net: Ipv6Net,
    /// Whether its addresses are reached without a router.
    pub on_link: bool,
    /// Whether hosts make addresses of it.
    pub autonomous: bool,
    /// How long; none is for ever.
    pub valid: Option<Duration>,
    /// For how much of that it is to be used for new connections.
    pub preferred: Option<Duration>,
}

/// A message is no Router Advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It ends before it should.
    #[error("no Router Advertisement: it is too short")]
    Short,
    /// It is something else.
    #[error("no Router Advertisement: its type or its code says so")]
    Kind,
    /// An option without an end.
    #[error("no Router Advertisement: an option has no length")]
    Option,
    /// Only a router's link-local address is known to others on the link.
    #[error("no Router Advertisement: it does not come from a link-local address")]
    Source,
}

/// A Router Solicitation; the kernel adds its checksum.
pub fn solicitation(mac: MacAddr) -> Vec<u8> {
    let header = [ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    [&header[..], &[SOURCE_LINK_LAYER, 1], &mac.0].concat()
}

impl Advertisement {
    /// Reads an ICMPv6 message whose checksum and hop limit the kernel has checked.
    ///
    /// # Errors
    /// If it is not one that a host may believe (RFC 4861, section 6.1.2).
    pub fn decode(message: &[u8], from: Ipv6Addr) -> Result<Self, Malformed> {
        if !from.is_unicast_link_local() {
            return Err(Malformed::Source);
        }
        let (header, mut options) = message.split_at_checked(16).ok_or(Malformed::Short)?;
        if header[0] != ROUTER_ADVERTISEMENT || header[1] != 0 {
            return Err(Malformed::Kind);
        }
        let mut advertisement = Self {
            managed: header[5] & MANAGED != 0,
            other: header[5] & OTHER != 0,
            preference: preference(header[5]),
            lifetime: Duration::from_secs(u16::from_be_bytes([header[6], header[7]]).into()),
            ..Self::default()
        };
        while let [kind, length, ..] = *options {
            let (option, rest) = options.split_at_checked(usize::from(length) * 8).ok_or(Malformed::Short)?;
            if option.is_empty() {
                return Err(Malformed::Option);
            }
            advertisement.take(kind, option);
            options = rest;
        }
        Ok(advertisement)
    }

    /// An option that is wrong in itself is left out, and the others count.
    fn take(&mut self, kind: u8, option: &[u8]) {
        match kind {
            PREFIX_INFORMATION if self.prefixes.len() < MOST => self.prefixes.extend(prefix(option)),
            MTU => self.mtu = number(option, 4).filter(|mtu| *mtu >= SMALLEST_MTU).or(self.mtu),
            NAME_SERVERS => {
                let lifetime = number(option, 4).map(lifetime).unwrap_or_default();
                let servers = option.get(8..).unwrap_or_default().as_chunks::<16>().0;
                let room = MOST.saturating_sub(self.dns.len());
                self.dns.extend(servers.iter().take(room).map(|server| (Ipv6Addr::from(*server), lifetime)));
            }
            _ => {}
        }
    }
}

/// The reserved value is to be taken for medium.
fn preference(flags: u8) -> Preference {
    match flags >> 3 & 3 {
        1 => Preference::High,
        3 => Preference::Low,
        _ => Preference::Medium,
    }
}

fn prefix(option: &[u8]) -> Option<Prefix> {
    let &[_, _, length, flags, ..] = option else { return None };
    let address: [u8; 16] = option.get(16..32)?.try_into().ok()?;
    let net = Ipv6Net::new(address.into(), length).ok()?.trunc();
    let [valid, preferred] = [4, 8].map(|at| number(option, at).unwrap_or_default());
    let is_usable = !net.addr().is_multicast() && !net.addr().is_unicast_link_local() && preferred <= valid;
    let (on_link, autonomous) = (flags & ON_LINK != 0, flags & AUTONOMOUS != 0);
    let prefix = Prefix { net, on_link, autonomous, valid: lifetime(valid), preferred: lifetime(preferred) };
    is_usable.then_some(prefix)
}

fn number(option: &[u8], at: usize) -> Option<u32> {
    option.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn lifetime(seconds: u32) -> Option<Duration> {
    (seconds != FOR_EVER).then(|| Duration::from_secs(seconds.into()))
}
