//! DHCP for IPv4 (RFC 2131), from the client's side.
//!
//! `client` decides, `socket` acts, the others are their vocabulary. Nothing in here knows the kernel's links.

mod acquire;
mod bpf;
mod client;
mod frame;
mod hold;
mod lease;
mod message;
mod options;
mod packet_socket;
mod retransmit;
mod search;
mod socket;

pub use client::{Action, Client, Context, Event, Identity};
pub use frame::{Checksum, FrameError, decode as decode_frame, encode as encode_frame};
pub use lease::{Lease, LeaseTime, Unusable};
pub use message::{Ignored, Kind, Reply, ReplyBy, Request};
pub use options::Options;
pub use socket::{Delivery, Received, Socket, SocketError, Transmission};
