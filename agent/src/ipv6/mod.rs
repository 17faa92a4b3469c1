//! IPv6 from a host's side: what routers announce (RFC 4861, RFC 4862), and what follows from it.
//!
//! `host` decides, `socket` acts; `router` and `slaac` are their vocabulary. DHCPv6 is next door, in `dhcp6`.

mod budget;
mod check;
mod configuration;
mod host;
mod router;
mod slaac;
mod socket;
#[cfg(test)]
mod tests;

pub use configuration::{Address, Configuration, InUse};
pub use host::{Action, Event, Found, Host, Presence};
pub use router::{Advertisement, Malformed, Preference};
pub use socket::{Heard, Ipv6SocketError, Socket};
