//! The DHCP client in virtual time, from its public face. Test names begin with the case that they prove.

mod bench;
mod decoder;
mod offers;
mod renewal;
mod requests;
mod search;
mod times;
