//! The DHCP client in virtual time, from its public face. Test names begin with the case that they prove.

mod bench;
mod conflicts;
mod decoder;
mod faults;
mod loss;
mod offers;
mod patience;
mod rapid;
mod reboot;
mod renewal;
mod requests;
mod search;
mod servers;
mod settings;
mod simulation;
mod times;
mod watch;
mod world;
