//! The scoreboard: many small servers, each of which asks a question of a DHCP client by what it does.
//!
//! Five clients are asked. Their answers are what they put on the wire and into the kernel.

pub mod case;
pub mod cases;
pub mod client;
pub mod heard;
pub mod judge;
pub mod reply;
pub mod run;
pub mod server;
pub mod table;
