//! What a spec says of DHCP: what to tell the servers, what to believe of them, and what to do without any.

mod values;

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::values::{ClientId, Octets, OptionCode, Server};
use crate::HostName;

/// What fits into one option (RFC 2132, section 2).
const LONGEST_OPTION: usize = 255;

/// How many octets of a message of 576 (RFC 2131, section 2) are left for what a spec wants to say.
const ROOM: usize = 256;

/// Options that the client itself speaks for.
const RESERVED: [u8; 13] = [12, 50, 51, 52, 53, 54, 55, 57, 60, 61, 80, 81, 82];

/// How to lease an address. Each default is what suits nearly every LAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dhcp {
    /// The host name to ask for (RFC 2132, section 3.14).
    #[serde(skip_serializing_if = "is_default")]
    pub hostname: Option<HostName>,
    /// The full name to ask for, instead of `hostname` (RFC 4702).
    #[serde(skip_serializing_if = "is_default")]
    pub fqdn: Option<Fqdn>,
    /// The client identifier (RFC 2132, section 9.14).
    #[serde(skip_serializing_if = "is_default")]
    pub client_id: ClientId,
    /// The vendor class identifier (RFC 2132, section 9.13), up to 255 octets.
    #[serde(skip_serializing_if = "is_default")]
    pub vendor_class: Option<String>,
    /// The address to ask for as long as there is none to come back to.
    #[serde(skip_serializing_if = "is_default")]
    pub request: Option<Ipv4Addr>,
    /// The servers to listen to; all if empty.
    #[serde(skip_serializing_if = "is_default")]
    pub servers: Vec<Server>,
    /// Further options to send, by code.
    #[serde(skip_serializing_if = "is_default")]
    pub send: BTreeMap<OptionCode, Octets>,
    /// Further options to ask for; what comes of them stands in the reports.
    #[serde(skip_serializing_if = "is_default")]
    pub ask: Vec<OptionCode>,
    /// How to find out whether somebody else uses the address (RFC 5227).
    #[serde(skip_serializing_if = "is_default")]
    pub conflict_detection: ConflictDetection,
    /// Whether to take a lease in two messages where a server can (RFC 4039).
    #[serde(skip_serializing_if = "is_true")]
    pub rapid_commit: bool,
    /// When to ask for replies by broadcast.
    #[serde(skip_serializing_if = "is_default")]
    pub broadcast: Broadcast,
    /// Whether to believe a server's MTU.
    #[serde(skip_serializing_if = "is_default")]
    pub mtu: Mtu,
    /// Whether to stay without an address where a server prefers that (RFC 8925).
    #[serde(skip_serializing_if = "is_default")]
    pub ipv6_only: bool,
    /// How long a lease lasts whose server does not say, in seconds; such an offer is refused without it.
    #[serde(skip_serializing_if = "is_default")]
    pub assume_lease_time: Option<u32>,
    /// The first message waits for a random part of this time, in milliseconds: for herds that start together.
    #[serde(skip_serializing_if = "is_default")]
    pub start_jitter: u32,
    /// After how long without an address `no_server` is done, in seconds.
    #[serde(skip_serializing_if = "is_usual_timeout")]
    pub timeout: u32,
    /// What to do when no server answers.
    #[serde(skip_serializing_if = "is_default")]
    pub no_server: NoServer,
}

/// RFC 2131 has no such time; a minute is six DISCOVERs.
const USUAL_TIMEOUT: u32 = 60;

impl Default for Dhcp {
    fn default() -> Self {
        Self {
            hostname: None,
            fqdn: None,
            client_id: ClientId::Default,
            vendor_class: None,
            request: None,
            servers: Vec::new(),
            send: BTreeMap::new(),
            ask: Vec::new(),
            conflict_detection: ConflictDetection::Fast,
            rapid_commit: true,
            broadcast: Broadcast::Auto,
            mtu: Mtu::Ignore,
            ipv6_only: false,
            assume_lease_time: None,
            start_jitter: 0,
            timeout: USUAL_TIMEOUT,
            no_server: NoServer::Wait,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_usual_timeout(seconds: &u32) -> bool {
    *seconds == USUAL_TIMEOUT
}

/// A full host name and who is to write it into the DNS (RFC 4702).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fqdn {
    /// The name.
    pub name: HostName,
    /// Who updates the address record.
    #[serde(default, skip_serializing_if = "is_default")]
    pub update: DnsUpdate,
}

/// Who writes a client's address record (RFC 4702, section 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsUpdate {
    /// The server.
    #[default]
    Server,
    /// Somebody on our side.
    Client,
    /// Nobody.
    None,
}

/// How thoroughly to look whether somebody else uses an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConflictDetection {
    /// Three probes within 0.4 s, beside the exchange with the server, and a watch afterwards.
    #[default]
    Fast,
    /// With the times of RFC 5227, section 1.1: 4 to 7 s.
    Rfc5227,
    /// Not at all.
    Off,
}

/// When replies are to come by broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Broadcast {
    /// Once two messages went unanswered.
    #[default]
    Auto,
    /// From the first message on.
    Always,
}

/// Whether a server may set the uplink's MTU (option 26).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mtu {
    /// The uplink keeps that of its parent.
    #[default]
    Ignore,
    /// Within 576 and that of its parent.
    Accept,
}

/// What to do without a server. The search goes on in any case but `Fail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoServer {
    /// Go on.
    #[default]
    Wait,
    /// End with an error.
    Fail,
    /// Use a link-local address meanwhile (RFC 3927).
    LinkLocal,
}

/// Why something about DHCP cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DhcpError {
    /// Not an option's code.
    #[error("{0} is no option code: 1 to 254")]
    Code(u8),
    /// Not octets.
    #[error("'{0}' is no value: 1 to 255 octets in hexadecimal, as in 01:0a:ff")]
    Octets(String),
    /// Not an identifier.
    #[error(
        "'{0}' is no client identifier: default, mac, duid, none, or at least two octets in hexadecimal, as in 00:77:65:62"
    )]
    ClientId(String),
    /// Not a server.
    #[error("'{0}' is no server: its address (option 54), or the MAC address that its frames come from")]
    Server(String),
    /// Two options that RFC 4702 wants one of.
    #[error("hostname and fqdn exclude each other; give the one that your server knows")]
    TwoNames,
    /// An option that has a key of its own, or belongs to the protocol.
    #[error("option {0} cannot be set by `send`: the client itself speaks for it")]
    Reserved(u8),
    /// More than one option holds.
    #[error("vendor_class has {0} octets; one option holds 1 to {LONGEST_OPTION}")]
    VendorClass(usize),
    /// More than a message holds.
    #[error("the names and options to send take {0} octets; a DHCP message has room for {ROOM}")]
    TooMuch(usize),
    /// Nobody can have the address.
    #[error("{0} cannot be requested: no host can have it")]
    Request(Ipv4Addr),
    /// A lease of no time.
    #[error("assume_lease_time must be at least 60 seconds, not {0}")]
    LeaseTime(u32),
    /// No time at all.
    #[error("timeout must be at least 1 second")]
    Timeout,
}

impl Dhcp {
    /// Whether it can be meant: what each key alone cannot say.
    ///
    /// # Errors
    /// The first thing that cannot.
    pub fn check(&self) -> Result<(), DhcpError> {
        if self.hostname.is_some() && self.fqdn.is_some() {
            return Err(DhcpError::TwoNames);
        }
        if let Some(code) = self.send.keys().find(|code| RESERVED.contains(&code.number())) {
            return Err(DhcpError::Reserved(code.number()));
        }
        let vendor_class = self.vendor_class.as_ref().map(String::len);
        if let Some(length) = vendor_class.filter(|length| !(1..=LONGEST_OPTION).contains(length)) {
            return Err(DhcpError::VendorClass(length));
        }
        let octets = self.octets();
        if octets > ROOM {
            return Err(DhcpError::TooMuch(octets));
        }
        if let Some(address) = self.request.filter(|address| !is_host(*address)) {
            return Err(DhcpError::Request(address));
        }
        if let Some(seconds) = self.assume_lease_time.filter(|seconds| *seconds < 60) {
            return Err(DhcpError::LeaseTime(seconds));
        }
        if self.timeout == 0 { Err(DhcpError::Timeout) } else { Ok(()) }
    }

    /// What the options that it adds to each message take, with code and length of each.
    fn octets(&self) -> usize {
        let name = self.hostname.as_ref().map(|name| name.as_str().len());
        let fqdn = self.fqdn.as_ref().map(|fqdn| fqdn.name.as_str().len() + 5);
        let class = self.vendor_class.as_ref().map(String::len);
        let id = match &self.client_id {
            ClientId::Octets(octets) => Some(octets.as_slice().len()),
            ClientId::Default | ClientId::Mac | ClientId::Duid | ClientId::None => None,
        };
        let sent = self.send.values().map(|value| value.as_slice().len());
        [name, fqdn, class, id].into_iter().flatten().chain(sent).map(|length| length + 2).sum::<usize>()
            + self.ask.len()
    }
}

/// Whether one host can have the address, alone and for good.
fn is_host(address: Ipv4Addr) -> bool {
    let is_reserved = address.octets()[0] == 0 || address.octets()[0] >= 240;
    !(is_reserved || address.is_loopback() || address.is_multicast() || address.is_link_local())
}
