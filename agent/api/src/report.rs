//! The reports: what an agent says, one JSON object a line. `docs/report.md` holds the law of their order.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Forward, InterfaceName, MacAddr};

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
    /// The server's identifier (option 54).
    pub server: Ipv4Addr,
    /// In seconds, from the report's time; none if it never ends.
    pub lease_time: Option<u32>,
}

/// Why an address was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// The lease ran out and no server extended it.
    Expired,
    /// The server refused to extend it (DHCPNAK).
    Nak,
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
    /// The server that was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Ipv4Addr>,
    /// What that server said with its refusal (option 56).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
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
