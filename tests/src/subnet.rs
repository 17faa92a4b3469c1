//! Subnets of a test alone, for what the whole host sees: its own addresses and routes, and networks of its engine.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
};

use crate::run::run;

/// The number of a subnet, which nobody else in this network namespace has until this is dropped.
#[derive(Debug)]
pub struct Subnet {
    number: u8,
    _claim: Option<UnixListener>,
}

impl Subnet {
    /// The one that all LANs have of which the host sees nothing.
    pub const fn common() -> Self {
        Self { number: 0, _claim: None }
    }

    /// One of our own.
    ///
    /// # Panics
    /// If all are taken.
    pub fn claim() -> Self {
        let first = u8::try_from(std::process::id() % 255).expect("it is less than 255");
        let mut numbers = (1..=u8::MAX).cycle().skip(first.into()).take(255);
        numbers.find_map(Self::claimed).expect("fewer than 255 tests at once")
    }

    /// A name of this kind belongs to the network namespace, and to one process in it at most, which loses it when it ends.
    fn claimed(number: u8) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("landfall-test-subnet-{number}"));
        let claim = UnixListener::bind_addr(&name.expect("a short name")).ok()?;
        let subnet = Self { number, _claim: Some(claim) };
        // A test that was killed has left its interfaces, or the host has such a network.
        let taken = |net: String| !run(&["ip", "-o", "addr", "show", "to", &net]).is_empty();
        let is_taken = taken(format!("{}/24", subnet.at(0))) || taken(subnet.of_containers());
        (!is_taken).then_some(subnet)
    }

    /// An address of a LAN.
    pub const fn at(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.number, host)
    }

    /// An address of a LAN, in IPv6.
    pub fn at6(&self, host: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x99, self.number.into(), 0, 0, 0, host)
    }

    /// The subnet of a network of containers.
    pub fn of_containers(&self) -> String {
        format!("10.97.{}.0/24", self.number)
    }

    /// The same in IPv6.
    pub fn of_containers6(&self) -> String {
        format!("fd00:5ca1:ab1e:{:x}::/64", self.number)
    }
}
