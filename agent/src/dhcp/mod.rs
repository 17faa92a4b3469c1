//! DHCP for IPv4 (RFC 2131), from the client's side.
//!
//! `client` decides, `socket` acts, the others are their vocabulary. Nothing in here knows the kernel's links.

mod arp;
mod bpf;
mod client;
mod conflict;
mod frame;
mod hold;
mod identity;
mod lease;
mod link_local;
mod message;
mod options;
mod packet_socket;
mod reboot;
mod request;
mod retransmit;
pub mod saved;
mod search;
mod select;
mod socket;
mod state;

pub use arp::{Audience, Claim, Query, decode as decode_arp};
pub use client::{Action, Client, Context, Event, Listening};
pub use frame::{Checksum, FrameError, decode as decode_frame, encode as encode_frame};
pub use identity::Identity;
pub use lease::{Asked, Lease, LeaseTime, Unusable};
pub use message::{Ignored, Kind, Reply, ReplyBy, Request};
pub use options::Options;
pub use socket::{Delivery, Socket, SocketError, Transmission};
