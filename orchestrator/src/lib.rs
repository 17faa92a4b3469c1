//! Gives a Docker container its own address on the LAN.
//!
//! `ARCHITECTURE.md` says which module decides and which one acts.

pub mod lab;
