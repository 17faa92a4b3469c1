//! The DHCP client in virtual time, from its public face. Test names begin with the case that they prove.

mod bench;
mod decoder;
mod loss;
mod offers;
mod renewal;
mod requests;
mod search;
mod servers;
mod simulation;
mod times;
mod watch;
mod world;
