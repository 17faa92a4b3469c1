//! All the I/O of an IPv6 host: what routers say by ICMPv6, what DHCPv6 servers say by UDP. Decides nothing.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::AsRawFd as _,
};

use landfall_api::{InterfaceName, MacAddr};
use libc::{BPF_ABS, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, SKF_NET_OFF};
use nix::sys::socket::{SockaddrIn6, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Type};
use thiserror::Error;
use tokio::net::UdpSocket;
use tracing::debug;

use super::{
    host::Event,
    router::{Advertisement, ROUTER_ADVERTISEMENT, solicitation},
};
use crate::polled::Polled;

/// The longest datagram, and the longest advertisement: routers send several rather than one in fragments (RFC 6980).
const LONGEST: usize = 1 << 16;
const LONGEST_MESSAGE: usize = 9000;

/// What has passed a router has a smaller hop limit (RFC 4861, section 6.1.2).
const NEVER_ROUTED: u32 = 255;
/// Where the hop limit is in the IPv6 header.
const HOP_LIMIT: i32 = 7;

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;

/// Why an IPv6 host cannot talk.
#[derive(Debug, Error)]
pub enum Ipv6SocketError {
    /// No raw socket.
    #[error("cannot listen to the IPv6 routers on {0}; the agent needs NET_RAW")]
    Raw(InterfaceName, #[source] io::Error),
    /// No UDP socket on port 546.
    #[error(
        "cannot listen on UDP port 546 of {0}; another DHCPv6 client may run there, or the agent needs NET_BIND_SERVICE \\
         or the sysctl net.ipv4.ip_unprivileged_port_start=0"
    )]
    Port(InterfaceName, #[source] io::Error),
}

/// A host's ear and mouth on one interface.
pub struct Socket {
    index: u32,
    mac: MacAddr,
    icmp: Polled<socket2::Socket>,
    udp: UdpSocket,
    buffer: Vec<u8>,
}

/// What was heard, until it is read.
pub enum Heard {
    /// From a router.
    Advertisement(Ipv6Addr, Advertisement),
    /// From a DHCPv6 server, of that many octets.
    Dhcp(usize),
}

impl Socket {
    /// Listens and speaks on the interface with that name, index and MAC address, from its link-local address.
    ///
    /// # Errors
    /// If a capability is missing, or the port is taken.
    pub fn open(
        name: &InterfaceName,
        index: u32,
        mac: MacAddr,
        link_local: Ipv6Addr,
    ) -> Result<Self, Ipv6SocketError> {
        let icmp = icmp(name).map_err(|error| Ipv6SocketError::Raw(name.clone(), error))?;
        let udp = udp(name, index, link_local).map_err(|error| Ipv6SocketError::Port(name.clone(), error))?;
        Ok(Self { index, mac, icmp, udp, buffer: vec![0; LONGEST] })
    }

    /// Waits for the next thing to hear. Cancel-safe.
    ///
    /// # Errors
    /// If the interface is gone or down.
    pub async fn receive(&mut self) -> io::Result<Heard> {
        let mut message = [0; LONGEST_MESSAGE];
        loop {
            let (length, from) = tokio::select! {
                received = self.icmp.read(|socket| receive_from(socket, &mut message)) => received?,
                received = self.udp.recv(&mut self.buffer) => return Ok(Heard::Dhcp(received?)),
            };
            match Advertisement::decode(&message[..length], from) {
                Ok(said) => return Ok(Heard::Advertisement(from, said)),
                Err(why) => debug!(%why, %from, "ignored a message"),
            }
        }
    }

    /// What was heard.
    pub fn event(&self, heard: Heard) -> Event<'_> {
        match heard {
            Heard::Advertisement(from, said) => Event::Advertised(from, said),
            Heard::Dhcp(length) => Event::Dhcp(&self.buffer[..length]),
        }
    }

    /// Asks the routers, or loses it.
    ///
    /// # Errors
    /// What the kernel says; worth a line in the log.
    pub fn solicit(&self) -> io::Result<()> {
        let to = SocketAddrV6::new(ALL_ROUTERS, 0, 0, self.index);
        self.icmp.get().send_to(&solicitation(self.mac), &to.into()).map(drop)
    }

    /// Sends a DHCPv6 message to the servers, or loses it.
    ///
    /// # Errors
    /// What the kernel says; worth a line in the log.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        let to = SocketAddrV6::new(ALL_DHCP_SERVERS, SERVER_PORT, 0, self.index);
        self.udp.try_send_to(message, SocketAddr::V6(to)).map(drop)
    }
}

fn receive_from(socket: &socket2::Socket, buffer: &mut [u8]) -> io::Result<(usize, Ipv6Addr)> {
    let (length, from) = recvfrom::<SockaddrIn6>(socket.as_raw_fd(), buffer)?;
    Ok((length, from.map_or(Ipv6Addr::UNSPECIFIED, |from| from.ip())))
}

/// Filtered before it is bound, it holds nothing but advertisements from this link: no ping ever wakes the agent.
fn icmp(name: &InterfaceName) -> io::Result<Polled<socket2::Socket>> {
    let socket = socket2::Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.attach_filter(&advertisements())?;
    socket.bind_device(Some(name.as_str().as_bytes()))?;
    socket.set_multicast_hops_v6(NEVER_ROUTED)?;
    socket.set_nonblocking(true)?;
    Polled::new(socket)
}

fn udp(name: &InterfaceName, index: u32, link_local: Ipv6Addr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    socket.set_only_v6(true)?;
    socket.bind_device(Some(name.as_str().as_bytes()))?;
    socket.bind(&SocketAddrV6::new(link_local, CLIENT_PORT, 0, index).into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Lets Router Advertisements pass that no router has passed on. What a raw socket filters begins with the ICMPv6 header.
fn advertisements() -> [SockFilter; 6] {
    let code = |code: u32| u16::try_from(code).expect("instructions have 16 bits");
    let statement = |instruction: u32, value: u32| SockFilter::new(code(instruction), 0, 0, value);
    let unless = |value: u32, skip: u8| SockFilter::new(code(BPF_JMP | BPF_JEQ | BPF_K), 0, skip, value);
    [
        statement(BPF_LD | BPF_B | BPF_ABS, 0),
        unless(ROUTER_ADVERTISEMENT.into(), 3),
        statement(BPF_LD | BPF_B | BPF_ABS, (SKF_NET_OFF + HOP_LIMIT).cast_unsigned()),
        unless(NEVER_ROUTED, 1),
        statement(BPF_RET | BPF_K, 0xffff),
        statement(BPF_RET | BPF_K, 0),
    ]
}
