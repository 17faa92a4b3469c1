//! The harness of the tiers that need a kernel, Docker or a machine.
//!
//! Whatever it makes has a name of its own and is removed when it is dropped, after a failure too, and when a signal ends
//! the test. A thing that it cannot have is a failure that names the remedy, never a skip.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

pub mod agent;
pub mod client;
pub mod docker;
pub mod exposed;
pub mod lan;
pub mod landfall;
pub mod lock;
pub mod mutant;
pub mod netns;
pub mod registry;
pub mod removal;
pub mod run;
pub mod scoreboard;
pub mod scripted;
pub mod servers;
pub mod subnet;
pub mod tap;
pub mod vm;
