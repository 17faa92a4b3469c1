//! All the I/O of a DHCP client: receive, send. Decides nothing.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsFd as _,
};

use landfall_api::{InterfaceName, MacAddr};
use socket2::{Domain, Protocol, SockFilter, Type};
use thiserror::Error;
use tracing::debug;

use super::{
    arp::{self, Query},
    bpf,
    client::{Event, Listening},
    frame::{self, CLIENT_PORT, Checksum, FrameError, SERVER_PORT},
    message::Reply,
    packet_socket::{self, Protocol as Receives},
};
use crate::polled::Polled;

/// The longest frame: a server may not send a longer message than we said we take, but who knows.
const LONGEST_FRAME: usize = 1 << 16;

/// ARP is 42 octets; what follows is padding.
const LONGEST_CLAIM: usize = 64;

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
    arp: Polled<socket2::Socket>,
    listening: Listening,
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
        let refused = |error| SocketError::Packet(name.clone(), error);
        let packet = packet(Receives::Ipv4, &bpf::replies_for(mac), index).map_err(refused)?;
        let arp = packet_for_arp(mac, index).map_err(refused)?;
        let udp = udp(name).map_err(|error| SocketError::Port(name.clone(), error))?;
        let listening = Listening::default();
        Ok(Self { mac, packet, arp, listening, udp, buffer: vec![0; LONGEST_FRAME] })
    }

    /// Waits for the next thing to hear. Cancel-safe.
    ///
    /// # Errors
    /// If the interface is gone or down.
    pub async fn receive(&mut self) -> io::Result<Event> {
        let mut claim = [0; LONGEST_CLAIM];
        loop {
            let buffer = &mut self.buffer;
            let heard = tokio::select! {
                received = self.packet.read(|socket| packet_socket::receive(socket.as_fd(), buffer)) => {
                    let (length, checksum) = received?;
                    message(&self.buffer[..length], checksum, self.mac)
                }
                received = self.arp.read(|socket| packet_socket::receive(socket.as_fd(), &mut claim)) => {
                    arp::decode(&claim[..received?.0]).map(Event::Heard)
                }
            };
            match heard {
                Ok(event) => return Ok(event),
                Err(why) => debug!(%why, "ignored a frame"),
            }
        }
    }

    /// Listens to that by ARP from now on, and to nothing else.
    ///
    /// # Errors
    /// If the kernel refuses the filter.
    pub fn listen(&mut self, listening: Listening) -> io::Result<()> {
        if self.listening != listening {
            self.arp.get().attach_filter(&bpf::claims(&listening, self.mac))?;
            self.listening = listening;
        }
        Ok(())
    }

    /// Says something by ARP, or loses it.
    pub fn ask(&self, query: Query) {
        if let Err(error) = self.arp.get().send(&query.encode(self.mac)) {
            debug!(%error, ?query, "ARP could not be sent");
        }
    }

    /// Sends a message, or loses it: the client says it again anyway.
    pub fn send(&self, transmission: &Transmission) {
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
        if let Err(error) = sent {
            debug!(%error, delivery = ?transmission.delivery, "a message could not be sent");
        }
    }
}

/// What a frame says, if it is for us.
fn message(frame: &[u8], checksum: Checksum, mac: MacAddr) -> Result<Event, FrameError> {
    let (message, from) = frame::decode(frame, checksum)?;
    Ok(match Reply::decode(message, mac) {
        Ok(reply) => Event::Received(reply, from),
        Err(why) => Event::Garbage(why),
    })
}

/// Opened for no protocol and filtered before it is bound, it never holds a frame that the filter would have dropped; and
/// binding then costs no grace period of the kernel.
fn packet(receives: Receives, filter: &[SockFilter], index: u32) -> io::Result<Polled<socket2::Socket>> {
    let socket = socket2::Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.attach_filter(filter)?;
    packet_socket::enable_auxdata(socket.as_fd())?;
    packet_socket::bind(socket.as_fd(), receives, index)?;
    socket.set_nonblocking(true)?;
    Polled::new(socket)
}

fn packet_for_arp(mac: MacAddr, index: u32) -> io::Result<Polled<socket2::Socket>> {
    packet(Receives::Arp, &bpf::claims(&Listening::default(), mac), index)
}

fn udp(name: &InterfaceName) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.attach_filter(&bpf::nothing())?;
    socket.bind_device(Some(name.as_str().as_bytes()))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
