//! Who the client is, and what it says of itself in its messages.

use std::net::Ipv6Addr;

use dhcproto::v6::{DhcpOption, IAAddr, IANA, OptionCode, UnknownOption};
use landfall_api::{HostName, MacAddr};

/// RFC 8415, section 11.4: a DUID of a link-layer address, of Ethernet.
const DUID_LL: [u8; 4] = [0, 3, 0, 1];

/// RFC 4704, section 4.1: the server is to write the address record.
const FQDN_SERVER: u8 = 0b0001;

/// Who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The DUID as it is on the wire, up to 130 octets.
    pub duid: Vec<u8>,
    /// Names the one IA that is asked for among those of this DUID.
    pub iaid: u32,
    /// The name to be known by.
    pub hostname: Option<HostName>,
}

impl Identity {
    /// That of an uplink with this MAC address, the same after each start.
    pub fn of(mac: MacAddr, hostname: Option<HostName>) -> Self {
        let [_, _, c, d, e, f] = mac.0;
        let duid = [&DUID_LL[..], &mac.0].concat();
        Self { duid, iaid: u32::from_be_bytes([c, d, e, f]), hostname }
    }

    /// The IA with the address that is wanted, extended or given up. Its times are the server's business.
    pub(super) fn ia_na(&self, address: Option<Ipv6Addr>) -> DhcpOption {
        let (preferred_life, valid_life) = (0, 0);
        let address =
            address.map(|addr| IAAddr { addr, preferred_life, valid_life, opts: [].into_iter().collect() });
        let opts = address.map(DhcpOption::IAAddr).into_iter().collect();
        DhcpOption::IANA(IANA { id: self.iaid, t1: 0, t2: 0, opts })
    }

    /// Option 39. A name without a dot is a partial one, which has no end (RFC 4704, section 4.2).
    pub(super) fn fqdn(&self) -> Option<DhcpOption> {
        let name = self.hostname.as_ref()?.as_str();
        let mut value = vec![FQDN_SERVER];
        for label in name.split('.') {
            value.push(u8::try_from(label.len()).expect("a label has up to 63 octets"));
            value.extend(label.bytes());
        }
        value.extend(name.contains('.').then_some(0));
        Some(DhcpOption::Unknown(UnknownOption::new(OptionCode::ClientFqdn, value)))
    }
}
