//! All the I/O of a DHCP client: receive, send. Decides nothing.

use std::{
    future, io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsFd as _,
    thread::{self, JoinHandle},
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
    index: u32,
    mac: MacAddr,
    /// Hears servers. Not there while none is asked: for a socket that may want them the kernel copies all packets that come over
    /// the interface.
    ear: Option<Polled<socket2::Socket>>,
    closing: Closing,
    /// Speaks to servers.
    mouth: socket2::Socket,
    arp: Polled<socket2::Socket>,
    listening: Listening,
    /// Keeps the kernel from answering servers with `port unreachable`, and sends what the kernel is to route; what it
    /// receives is dropped, because the ear receives it too.
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
        let mouth = packet(Receives::Nothing, &bpf::nothing(), index).map_err(refused)?;
        let listening = Listening::default();
        let arp = ear(Receives::Arp, &bpf::claims(&listening, mac), index).map_err(refused)?;
        let udp = udp(name).map_err(|error| SocketError::Port(name.clone(), error))?;
        let (ear, closing, buffer) = (None, Closing(None), vec![0; LONGEST_FRAME]);
        Ok(Self { index, mac, ear, closing, mouth, arp, listening, udp, buffer })
    }

    /// Waits for the next thing to hear. Cancel-safe.
    ///
    /// # Errors
    /// If the interface is gone or down.
    pub async fn receive(&mut self) -> io::Result<Event> {
        let mut claim = [0; LONGEST_CLAIM];
        loop {
            let (ear, buffer) = (&self.ear, &mut self.buffer);
            let server = async {
                match ear {
                    Some(ear) => ear.read(|socket| packet_socket::receive(socket.as_fd(), buffer)).await,
                    None => future::pending().await,
                }
            };
            let heard = tokio::select! {
                received = server => {
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

    /// Listens to that from now on, and to nothing else.
    ///
    /// # Errors
    /// If the kernel refuses the filter or a socket; of what it refuses nothing is heard until this is called again.
    pub fn listen(&mut self, listening: Listening) -> io::Result<()> {
        if self.listening != listening {
            self.arp.get().attach_filter(&bpf::claims(&listening, self.mac))?;
            self.listening = listening;
        }
        match (self.listening.servers, self.ear.take()) {
            (true, None) => self.ear = Some(ear(Receives::Ipv4, &bpf::replies_for(self.mac), self.index)?),
            (true, open) => self.ear = open,
            (false, Some(open)) => self.closing = Closing::start(open),
            (false, None) => {}
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
                self.mouth.send(&frame::encode((self.mac, source), everybody, message))
            }
            Delivery::Frame { source, to, mac } => {
                self.mouth.send(&frame::encode((self.mac, source), (mac, to), message))
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
fn packet(receives: Receives, filter: &[SockFilter], index: u32) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.attach_filter(filter)?;
    packet_socket::enable_auxdata(socket.as_fd())?;
    packet_socket::bind(socket.as_fd(), receives, index)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn ear(receives: Receives, filter: &[SockFilter], index: u32) -> io::Result<Polled<socket2::Socket>> {
    Polled::new(packet(receives, filter, index)?)
}

/// An ear that is being closed, in a thread of its own: the kernel waits for a grace period meanwhile.
struct Closing(Option<JoinHandle<()>>);

impl Closing {
    fn start(ear: Polled<socket2::Socket>) -> Self {
        let ear = ear.into_inner();
        let closing = thread::Builder::new().stack_size(1 << 16).spawn(move || drop(ear));
        Self(closing.inspect_err(|error| debug!(%error, "no thread to close a socket in")).ok())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            drop(thread.join());
        }
    }
}

fn udp(name: &InterfaceName) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.attach_filter(&bpf::nothing())?;
    socket.bind_device(Some(name.as_str().as_bytes()))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
