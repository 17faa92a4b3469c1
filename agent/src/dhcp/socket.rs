//! All the I/O of a DHCP client: receive, send. Decides nothing.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsFd as _,
};

use landfall_api::{InterfaceName, MacAddr};
use socket2::{Domain, Protocol, Type};
use thiserror::Error;
use tracing::debug;

use super::{
    bpf,
    frame::{self, CLIENT_PORT, SERVER_PORT},
    message::Reply,
    packet_socket,
};
use crate::polled::Polled;

/// The longest frame: a server may not send a longer message than we said we take, but who knows.
const LONGEST_FRAME: usize = 1 << 16;

/// A message to send, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// How.
    pub delivery: Delivery,
    /// The DHCP message.
    pub message: Vec<u8>,
}

/// The ways to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To everybody on the link.
    Broadcast {
        /// Our address; 0.0.0.0 if we have none.
        source: Ipv4Addr,
    },
    /// To a server, through the kernel's routes and ARP, from the address that the interface has.
    Unicast {
        /// The server.
        to: Ipv4Addr,
    },
    /// To a server, by the MAC address that its last message came from.
    Frame {
        /// Our address.
        source: Ipv4Addr,
        /// The server.
        to: Ipv4Addr,
        /// Where its frames come from.
        mac: MacAddr,
    },
}

/// A server's message, and the MAC address it came from.
pub type Received = (Reply, MacAddr);

/// Why the client cannot talk.
#[derive(Debug, Error)]
pub enum SocketError {
    /// No packet socket.
    #[error("cannot open a packet socket on {0}; the agent needs NET_RAW")]
    Packet(InterfaceName, #[source] io::Error),
    /// No UDP socket on port 68.
    #[error(
        "cannot listen on UDP port 68 of {0}; another DHCP client may run there, or the agent needs NET_BIND_SERVICE \
         or the sysctl net.ipv4.ip_unprivileged_port_start=0"
    )]
    Port(InterfaceName, #[source] io::Error),
}

/// A DHCP client's ear and mouth on one interface.
pub struct Socket {
    mac: MacAddr,
    packet: Polled<socket2::Socket>,
    /// Keeps the kernel from answering servers with `port unreachable`, and sends what the kernel is to route; what it
    /// receives is dropped, because the packet socket receives it too.
    udp: socket2::Socket,
    buffer: Vec<u8>,
}

impl Socket {
    /// Listens and speaks on the interface with that name, index and MAC address.
    ///
    /// # Errors
    /// If a capability is missing, or the port is taken.
    pub fn open(name: &InterfaceName, index: u32, mac: MacAddr) -> Result<Self, SocketError> {
        let packet = packet(index, mac).map_err(|error| SocketError::Packet(name.clone(), error))?;
        let udp = udp(name).map_err(|error| SocketError::Port(name.clone(), error))?;
        Ok(Self { mac, packet, udp, buffer: vec![0; LONGEST_FRAME] })
    }

    /// Waits for the next message for us. Cancel-safe.
    ///
    /// # Errors
    /// If the interface is gone or down.
    pub async fn receive(&mut self) -> io::Result<Received> {
        loop {
            let buffer = &mut self.buffer;
            let (length, checksum) =
                self.packet.read(|socket| packet_socket::receive(socket.as_fd(), buffer)).await?;
            match frame::decode(&self.buffer[..length], checksum) {
                Ok((message, from)) => match Reply::decode(message, self.mac) {
                    Ok(reply) => return Ok((reply, from)),
                    Err(why) => debug!(%why, %from, "ignored a message"),
                },
                Err(why) => debug!(%why, "ignored a frame"),
            }
        }
    }

    /// Sends a message, or loses it: the client says it again anyway.
    ///
    /// # Errors
    /// What the kernel says; worth a line in the log.
    pub fn send(&self, transmission: &Transmission) -> io::Result<()> {
        let message = &transmission.message;
        let sent = match transmission.delivery {
            Delivery::Broadcast { source } => {
                let everybody = (MacAddr::BROADCAST, Ipv4Addr::BROADCAST);
                self.packet.get().send(&frame::encode((self.mac, source), everybody, message))
            }
            Delivery::Frame { source, to, mac } => {
                self.packet.get().send(&frame::encode((self.mac, source), (mac, to), message))
            }
            Delivery::Unicast { to } => self.udp.send_to(message, &SocketAddrV4::new(to, SERVER_PORT).into()),
        };
        sent.map(drop)
    }
}

/// Opened for no protocol and filtered before it is bound, it never holds a frame that the filter would have dropped; and
/// binding then costs no grace period of the kernel.
fn packet(index: u32, mac: MacAddr) -> io::Result<Polled<socket2::Socket>> {
    let socket = socket2::Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.attach_filter(&bpf::replies_for(mac))?;
    packet_socket::enable_auxdata(socket.as_fd())?;
    packet_socket::bind(socket.as_fd(), index)?;
    socket.set_nonblocking(true)?;
    Polled::new(socket)
}

fn udp(name: &InterfaceName) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.attach_filter(&bpf::nothing())?;
    socket.bind_device(Some(name.as_str().as_bytes()))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
