//! PID 1 of a network container: leases an address for its uplink and forwards ports to a target.
//!
//! `ARCHITECTURE.md` says which module decides and which one acts.

pub mod alarm;
pub mod clock;
pub mod dhcp;
pub mod dhcp6;
pub mod documents;
pub mod input;
pub mod ipv6;
pub mod link;
pub mod nat;
pub mod polled;
pub mod replicas;
pub mod reporter;
pub mod rules;
pub mod run;
pub mod store;
pub mod uplink;
pub mod uplink6;
