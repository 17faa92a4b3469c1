//! Gives a Docker container its own address on the LAN.
//!
//! `ARCHITECTURE.md` says which module decides and which one acts.

pub mod agent_stream;
pub mod cli;
pub mod commands;
pub mod conversation;
pub mod counters;
pub mod dhcp_args;
pub mod diagnosis;
pub mod docker;
pub mod error;
pub mod families;
pub mod identity;
pub mod image;
pub mod lab;
pub mod lock;
pub mod netlink;
pub mod netns;
pub mod network_container;
pub mod nsid;
pub mod others;
pub mod path;
pub mod patience;
pub mod plan;
pub mod ports;
pub mod progress;
pub mod state;
pub mod target;
pub mod uplink;
pub mod view;
