//! A tap: hears and says whole Ethernet frames on an interface.

use std::{io::Read as _, net::Ipv4Addr, os::fd::AsRawFd as _, time::Duration};

use etherparse::{PacketBuilder, VlanId};
use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{LinkAddr, MsgFlags, sendto},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    lan::ROUTER,
    netns::Netns,
    run::{LIMIT, now, slowness},
};

/// `ETH_P_ALL`, as the socket call wants it.
const EVERYTHING: i32 = 0x0300;

/// A packet socket, which hears what its namespace sends as well.
#[derive(Debug)]
pub struct Tap {
    socket: Socket,
    link: LinkAddr,
}

impl Tap {
    /// A tap in `namespace`, which hears all of its interfaces and speaks on one.
    ///
    /// # Panics
    /// If the interface is not there.
    pub fn on(namespace: &Netns, interface: &str) -> Self {
        namespace.within(|| {
            let protocol = Some(Protocol::from(EVERYTHING));
            let socket = Socket::new(Domain::PACKET, Type::RAW, protocol).expect("root may have one");
            socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time");
            let mut links = getifaddrs().expect("the kernel lists its interfaces");
            let link = links.find_map(|link| {
                link.address.filter(|_| link.interface_name == interface)?.as_link_addr().copied()
            });
            Self { socket, link: link.expect("the interface is there") }
        })
    }

    /// Reads on until `pick` takes a frame.
    ///
    /// # Panics
    /// If it takes none in time.
    pub fn expect<T>(&self, what: &str, mut pick: impl FnMut(&[u8]) -> Option<T>) -> T {
        let since = now();
        loop {
            let frame = self.next();
            if let Some(picked) = frame.and_then(|frame| pick(&frame)) {
                return picked;
            }
            assert!(now().duration_since(since) < LIMIT * slowness(), "no frame in time: {what}");
        }
    }

    /// Everything that came, up to the first pause.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Says something.
    ///
    /// # Panics
    /// If the interface does not take it.
    pub fn send(&self, frame: &[u8]) {
        sendto(self.socket.as_raw_fd(), frame, &self.link, MsgFlags::empty()).expect("the interface is up");
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        let length = (&self.socket).read(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }
}

/// The DHCP message of a client in a frame without VLAN tag, from `op` on.
pub fn from_client(frame: &[u8]) -> Option<&[u8]> {
    let is_udp = frame.get(12..14)? == [8, 0] && *frame.get(23)? == 17;
    let is_to_server = frame.get(34..38)? == [0, 68, 0, 67];
    frame.get(42..).filter(|message| is_udp && is_to_server && message.len() > 240)
}

/// Whether a frame without VLAN tag is a server's message to a client.
pub fn from_server(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0])
        && frame.get(23) == Some(&17)
        && frame.get(34..38) == Some(&[0, 67, 0, 68])
}

/// The frame that brings a server's message to the client that asked, with a VLAN tag if it is to have one.
///
/// # Panics
/// If what it asked is no DHCP message.
pub fn to_client(asked: &[u8], message: &[u8], tag: Option<VlanId>) -> Vec<u8> {
    let mac: [u8; 6] = asked[28..34].try_into().expect("six octets");
    let frame = PacketBuilder::ethernet2([2, 0, 0, 0, 0x99, 1], mac);
    let (from, to) = (ROUTER.parse::<Ipv4Addr>().expect("an address").octets(), [255; 4]);
    let mut octets = Vec::new();
    let written = match tag {
        Some(vlan) => frame.single_vlan(vlan).ipv4(from, to, 64).udp(67, 68).write(&mut octets, message),
        None => frame.ipv4(from, to, 64).udp(67, 68).write(&mut octets, message),
    };
    written.expect("room for it");
    octets
}
