//! The contract between `landfall` and `landfall-agent`: the spec that goes in, the reports that come out.
//!
//! Types and parsing only; neither side's behaviour, and no I/O.

mod access;
mod dhcp;
mod family;
mod forward;
mod mac;
mod name;
mod namespace;
mod port;
mod report;
mod spec;

pub use access::{Rate, RateError, Source, SourceError, Unit};
pub use dhcp::{
    Broadcast, ClientId, ConflictDetection, Dhcp, DhcpError, DnsUpdate, Fqdn, Mtu, NoServer, Octets,
    OptionCode, Server,
};
pub use family::Family;
pub use forward::{Destination, Forward, ForwardError};
pub use mac::{MacAddr, MacAddrError};
pub use name::{HostName, InterfaceName, NameError};
pub use namespace::{COMPANION, HERE, HERE6, Namespace, ROUTE_PROTOCOL, SHARED_TABLE};
pub use port::{PortRange, PortRangeError, Protocol, ProtocolError};
pub use report::{Event, Ipv6, Ipv6Address, Ipv6Search, Lease, LostReason, Origin, Report, Search, Seen};
pub use spec::{Address, Spec, SpecError};
