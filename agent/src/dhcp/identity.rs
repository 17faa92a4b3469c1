//! Who the client is, and what it says of itself in each message.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, OptionCode, UnknownOption};
use landfall_api::{ClientId, Dhcp, DnsUpdate, Fqdn, MacAddr, Octets, Server};

use super::message::{ETHERNET, Reply};

/// What is asked for. Classless routes come before the options that they replace (RFC 3442 demands it).
const PARAMETERS: [OptionCode; 11] = [
    OptionCode::SubnetMask,
    OptionCode::ClasslessStaticRoute,
    OptionCode::Router,
    OptionCode::DomainNameServer,
    OptionCode::DomainName,
    OptionCode::InterfaceMtu,
    OptionCode::BroadcastAddr,
    OptionCode::AddressLeaseTime,
    OptionCode::ServerIdentifier,
    OptionCode::Renewal,
    OptionCode::Rebinding,
];

/// RFC 8925. dhcproto's name for it has the wrong code.
pub(super) const IPV6_ONLY: OptionCode = OptionCode::Unknown(108);

/// What every client must take (RFC 2131, section 2).
const SMALLEST_MESSAGE: u16 = 576;

/// RFC 4361, section 6.1: the identifier is an IAID and a DUID; RFC 8415, section 11.4: a DUID of a link-layer address.
const DUID_TYPE: u8 = 255;
const DUID_LL: [u8; 2] = [0, 3];

/// RFC 4702, section 2.1: the name is in the form of the DNS; who updates what.
const FQDN_ENCODED: u8 = 0b0100;
const FQDN_SERVER: u8 = 0b0001;
const FQDN_NOBODY: u8 = 0b1000;

/// Who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The uplink's MAC address.
    pub mac: MacAddr,
    /// The largest message that can be taken (option 57), in octets: the uplink's MTU.
    pub mtu: u16,
    /// What the spec says.
    pub settings: Dhcp,
    /// The MAC addresses of other interfaces here: what they say is no conflict, should they be on the same LAN.
    pub other_macs: Vec<MacAddr>,
    /// The addresses that are in use here already, and those that the forwards lead to.
    pub taken: Vec<Ipv4Addr>,
}

impl Identity {
    /// The client identifier to begin with (option 61), if any.
    pub(super) fn client_id(&self) -> Option<Octets> {
        let [a, b, c, d, e, f] = self.mac.0;
        let octets = match &self.settings.client_id {
            ClientId::Default | ClientId::Mac => vec![ETHERNET, a, b, c, d, e, f],
            ClientId::Duid => {
                [&[DUID_TYPE, c, d, e, f], &DUID_LL[..], &[0, ETHERNET, a, b, c, d, e, f]].concat()
            }
            ClientId::None => return None,
            ClientId::Octets(octets) => return Some(octets.clone()),
        };
        Some(octets.try_into().expect("an identifier is not empty"))
    }

    /// The other identifier that may be tried where nobody answers to `client_id`: some routers drop what has any.
    pub(super) fn other_client_id(&self, client_id: Option<&Octets>) -> Option<Octets> {
        match (&self.settings.client_id, client_id) {
            (ClientId::Default, Some(_)) => None,
            (_, same) => same.cloned().or_else(|| self.client_id()),
        }
    }

    /// Whether a lease that was got with this identifier can be ours.
    pub(super) fn may_have(&self, client_id: Option<&Octets>) -> bool {
        self.client_id().as_ref() == client_id
            || self.settings.client_id == ClientId::Default && client_id.is_none()
    }

    /// Whether the spec lets us listen to who sent a reply.
    pub(super) fn allows(&self, reply: &Reply, from: MacAddr) -> bool {
        let servers = &self.settings.servers;
        servers.is_empty()
            || servers.iter().any(|server| match server {
                Server::Identifier(address) => reply.server() == Some(*address),
                Server::Mac(mac) => from == *mac,
            })
    }

    /// Options 55, 57 and those of the spec, the same in every message that asks for parameters (RFC 2131, section 3.5).
    pub(super) fn parameters(&self) -> Vec<DhcpOption> {
        let settings = &self.settings;
        let mut wanted = PARAMETERS.to_vec();
        wanted.extend(settings.ipv6_only.then_some(IPV6_ONLY));
        let asked = settings.ask.iter().map(|code| OptionCode::from(code.number()));
        wanted.extend(asked.filter(|code| !PARAMETERS.contains(code)));
        let mut options = vec![
            DhcpOption::ParameterRequestList(wanted),
            DhcpOption::MaxMessageSize(self.mtu.max(SMALLEST_MESSAGE)),
        ];
        options.extend(settings.hostname.as_ref().map(|name| DhcpOption::Hostname(name.to_string())));
        options.extend(settings.fqdn.as_ref().map(fqdn));
        let class = settings.vendor_class.as_ref();
        options.extend(class.map(|class| DhcpOption::ClassIdentifier(class.clone().into_bytes())));
        options.extend(settings.send.iter().map(|(code, value)| raw(code.number(), value.as_slice())));
        options
    }
}

/// An option of these octets.
fn raw(code: u8, value: &[u8]) -> DhcpOption {
    DhcpOption::Unknown(UnknownOption::new(code.into(), value.to_vec()))
}

/// Option 81. A name without a dot is a partial one, which has no end (RFC 4702, section 2.3.1).
fn fqdn(fqdn: &Fqdn) -> DhcpOption {
    let who = match fqdn.update {
        DnsUpdate::Server => FQDN_SERVER,
        DnsUpdate::Client => 0,
        DnsUpdate::None => FQDN_NOBODY,
    };
    let name = fqdn.name.as_str();
    let mut value = vec![FQDN_ENCODED | who, 0, 0];
    for label in name.split('.') {
        value.push(u8::try_from(label.len()).expect("a label has up to 63 octets"));
        value.extend(label.bytes());
    }
    value.extend(name.contains('.').then_some(0));
    raw(OptionCode::ClientFQDN.into(), &value)
}
