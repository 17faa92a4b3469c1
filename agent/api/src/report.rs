//! The reports: what an agent says, one JSON object a line. `docs/report.md` holds the law of their order.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Forward, InterfaceName, MacAddr, Octets, OptionCode};

/// One line of an agent's standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it happened, by the wall clock (RFC 3339, UTC).
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened, named by the key `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The agent runs. Always the first report.
    Started {
        /// The agent's version.
        version: String,
    },
    /// The uplink is there.
    UplinkFound {
        /// What it is called in the network container.
        interface: InterfaceName,
        /// Its MAC address.
        mac: MacAddr,
        /// Its MTU in octets.
        mtu: u32,
    },
    /// The rules that are in force from now on.
    Forwarding {
        /// All of them, in the order of the spec.
        forward: Vec<Forward>,
    },
    /// Nobody has given us an address yet; repeated whenever an answer is overdue.
    Searching(Search),
    /// The uplink has an address.
    Leased {
        /// The lease.
        #[serde(flatten)]
        lease: Lease,
        /// Milliseconds from the agent's start.
        since_start_ms: u64,
    },
    /// The lease lasts longer, or its parameters changed.
    Renewed {
        /// The lease as it is now.
        #[serde(flatten)]
        lease: Lease,
    },
    /// No server answers, and the uplink has given itself an address meanwhile (RFC 3927). `leased` takes its place.
    LinkLocal {
        /// The address and the length of its subnet's prefix.
        address: Ipv4Net,
    },
    /// The uplink has no address any more.
    Lost {
        /// The address it had.
        address: Ipv4Net,
        /// Why.
        reason: LostReason,
    },
    /// The lease was given back to its server, because the agent stops.
    Released {
        /// The address it had.
        address: Ipv4Net,
    },
    /// The IPv6 addresses of the uplink, all of them, whenever they are others than before; none of them any more if it is empty.
    Ipv6(Ipv6),
    /// No IPv6 address is there yet; repeated whenever an answer is overdue.
    SearchingIpv6(Ipv6Search),
    /// One of the places that forwards lead to has gone, and nothing is led there while there are others; or it is back.
    Replica {
        /// It.
        address: Ipv4Addr,
        /// Whether it is there now.
        is_there: bool,
    },
    /// Something is wrong; the agent carries on.
    Warning {
        /// What is wrong, and what it means.
        message: String,
    },
    /// Something is wrong; the agent ends. Always the last report.
    Fatal {
        /// What is wrong, and what to do.
        message: String,
    },
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

/// What a DHCP server gave (RFC 2131).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The address and the length of its subnet's prefix.
    pub address: Ipv4Net,
    /// The LAN's routers, the preferred one first.
    pub routers: Vec<Ipv4Addr>,
    /// The LAN's name servers.
    pub dns: Vec<Ipv4Addr>,
    /// The LAN's domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The server's identifier (option 54), if it has told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Ipv4Addr>,
    /// In seconds, from the report's time; none if it never ends.
    pub lease_time: Option<u32>,
    /// What came of the options that the spec asks for, by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<OptionCode, Octets>,
}

/// What an uplink has of IPv6. Addresses that are still being checked (RFC 4862, section 5.4) are not among it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6 {
    /// Its addresses, without the link-local one; those that a server gave first.
    pub addresses: Vec<Ipv6Address>,
    /// The LAN's routers, by their link-local addresses, the preferred one first.
    pub routers: Vec<Ipv6Addr>,
    /// The LAN's name servers, as the routers and the DHCPv6 server tell.
    pub dns: Vec<Ipv6Addr>,
    /// Milliseconds from the agent's start.
    pub since_start_ms: u64,
}

/// One IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Address {
    /// The address and the length of its subnet's prefix: 128 where a server gave it.
    pub address: Ipv6Net,
    /// Where it comes from.
    pub origin: Origin,
    /// For how many seconds it is good, from the report's time; none if for ever. It is extended without a report.
    pub valid_lifetime: Option<u32>,
}

/// Where an IPv6 address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A router's prefix and the MAC address (RFC 4862).
    Slaac,
    /// A DHCPv6 server (RFC 8415).
    Dhcpv6,
}

/// How the search for an IPv6 address goes, counted since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Search {
    /// Router Solicitations sent.
    pub router_solicitations: u32,
    /// Router Advertisements received.
    pub router_advertisements: u32,
    /// Whether one of them says that a DHCPv6 server gives addresses (flag M).
    pub managed: bool,
    /// DHCPv6 Solicit messages sent.
    pub solicits: u32,
    /// DHCPv6 Advertise messages received.
    pub advertises: u32,
    /// What a DHCPv6 server said with its refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Ipv6Search {
    /// Why there is no address, as far as what was answered tells.
    pub fn cause(&self) -> String {
        let asked = self.router_solicitations;
        match (self.router_advertisements, self.managed, self.advertises, &self.message) {
            (0, ..) if asked == 0 => {
                "its link-local address, from which routers are asked, is not there yet or somebody else's"
                    .into()
            }
            (0, ..) => {
                "no router answers: there is no IPv6 on this LAN, or its router does not announce it".into()
            }
            (_, _, _, Some(message)) => format!("the DHCPv6 server refuses: {message}"),
            (_, true, 0, None) => "the router sends hosts to a DHCPv6 server, and none answers".into(),
            (_, true, _, None) => "a DHCPv6 server answers, and gives no address".into(),
            (_, false, ..) => {
                "the router announces no prefix that hosts may make an address of, and no DHCPv6 server"
                    .into()
            }
        }
    }
}

/// Why an address was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// The lease ran out and no server extended it.
    Expired,
    /// The server refused to extend it (DHCPNAK).
    Nak,
    /// Somebody else uses it (RFC 5227).
    Conflict,
    /// The uplink is gone.
    UplinkGone,
}

/// How the search for an address goes, counted since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// DHCPDISCOVER messages sent.
    pub discovers: u32,
    /// DHCPREQUEST messages sent.
    pub requests: u32,
    /// DHCPOFFER messages received.
    pub offers: u32,
    /// DHCPNAK messages received.
    pub naks: u32,
    /// Addresses declined, because somebody else uses them.
    #[serde(default)]
    pub conflicts: u32,
    /// DHCP replies for us that could not be used.
    #[serde(default)]
    pub ignored: u32,
    /// What was wrong with the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What came over the uplink meanwhile; told once three messages went unanswered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// For how many seconds the server wants us to do without an address (RFC 8925).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_only: Option<u32>,
    /// The server that was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Ipv4Addr>,
    /// What that server said with its refusal (option 56).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the uplink has received, of any kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Frames.
    pub frames: u64,
    /// Those of them that were for a group or for everybody.
    pub multicast: u64,
}

impl Search {
    /// Why there is no address, as far as what came over the uplink tells; none if it does not, or not yet.
    pub fn cause(&self) -> Option<String> {
        if let (1.., 0, Some(why)) = (self.ignored, self.offers, &self.why) {
            let replies = self.ignored;
            return Some(format!("DHCP replies came that cannot be used: {replies}, the last one is {why}"));
        }
        let seen = self.seen.filter(|_| self.offers == 0)?;
        let unicast = seen.frames.saturating_sub(seen.multicast);
        Some(match (seen.frames, unicast) {
            (0, _) => "nothing at all arrives; a switch, hypervisor or access point drops what is for this MAC address, \
                       or the wrong network is at the other end"
                .into(),
            (frames, 0) => format!(
                "only broadcasts arrive ({frames} frames), no DHCP reply; there is no DHCP server on this LAN or VLAN, it \
                 has no address left or does not know this MAC address, or it runs on this very host"
            ),
            (_, unicast) => format!(
                "frames for this MAC address arrive ({unicast}), but no DHCP reply; there is no DHCP server on this LAN \
                 or VLAN, it has no address left, or it does not know this MAC address"
            ),
        })
    }
}

impl Report {
    /// The report as its line, without the end of line.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a report holds numbers and text only")
    }

    /// Reads a line.
    ///
    /// # Errors
    /// If the line is not a report.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}
