//! DHCP for IPv6 (RFC 8415), from the client's side: one address, or only what there is to know without one.
//!
//! `client` decides, the others are its vocabulary; nothing in here acts. What the routers say, and whether somebody else
//! has an address, comes in as events.

mod client;
mod hold;
mod identity;
mod inform;
mod lease;
mod message;
mod options;
mod request;
mod retransmit;
mod solicit;
mod state;
#[cfg(test)]
mod tests;

pub use client::{Action, Client, Event, Want};
pub use identity::Identity;
pub use lease::{Information, Lease};
pub use message::Ignored;
