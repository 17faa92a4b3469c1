//! A DHCP server that does what a test tells it, and keeps what it heard.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use dhcproto::{
    Decodable as _, Decoder, Encodable as _, Encoder,
    v4::{DhcpOption, Message, MessageType, Opcode, OptionCode},
};
use socket2::{Domain, Socket, Type};

use crate::{
    lan::{Lan, ROUTER},
    run::wait_until_bound,
};

/// What the server says to a message: nothing, or a kind of reply and how long its lease lasts, in seconds.
pub type Answer = Option<(MessageType, u32)>;

/// A message that came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it says.
    pub kind: MessageType,
    /// The address that the client says it has.
    pub ciaddr: Ipv4Addr,
    /// Where it came from.
    pub from: Ipv4Addr,
    /// Whether it names an address (option 50) or a server (option 54), which a renewal must not.
    pub names_address_or_server: bool,
}

/// A server on a LAN's router.
pub struct Scripted {
    heard: Arc<Mutex<Vec<Heard>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The address that it gives.
pub const GIVEN: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 150);

impl Scripted {
    /// A server that answers as `script` says; the number is how many messages of that kind came before.
    pub fn start(lan: &Lan, script: impl Fn(MessageType, usize) -> Answer + Send + 'static) -> Self {
        Self::answering(lan, move |heard, before| script(heard.kind, before))
    }

    /// The same, where it matters who asks. On a loaded machine a client may ask again before it is answered: where a script tells a
    /// renewal by its number, luck decides.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn answering(lan: &Lan, script: impl Fn(&Heard, usize) -> Answer + Send + 'static) -> Self {
        let socket = lan.router.within(|| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
            socket.set_broadcast(true).and_then(|()| socket.bind_device(Some(b"br0"))).expect("br0 is there");
            let port = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67);
            wait_until_bound(|| socket.bind(&port.into()));
            UdpSocket::from(socket)
        });
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time");
        let (heard, is_over) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::<AtomicBool>::default());
        let (listens, stops) = (Arc::clone(&heard), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stops.load(Ordering::Relaxed) {
                let Ok((length, SocketAddr::V4(from))) = socket.recv_from(&mut buffer) else { continue };
                let Ok(message) = Message::decode(&mut Decoder::new(&buffer[..length])) else { continue };
                let Some(kind) = message.opts().msg_type() else { continue };
                let heard = Heard {
                    kind,
                    ciaddr: message.ciaddr(),
                    from: *from.ip(),
                    names_address_or_server: [OptionCode::RequestedIpAddress, OptionCode::ServerIdentifier]
                        .iter()
                        .any(|code| message.opts().contains(*code)),
                };
                let before = {
                    let mut all = lock(&listens);
                    all.push(heard.clone());
                    all.iter().filter(|other| other.kind == kind).count() - 1
                };
                if let Some((answer, seconds)) = script(&heard, before) {
                    let to = if message.ciaddr().is_unspecified() {
                        Ipv4Addr::BROADCAST
                    } else {
                        message.ciaddr()
                    };
                    drop(socket.send_to(&reply(&message, answer, seconds), SocketAddrV4::new(to, 68)));
                }
            }
        });
        Self { heard, is_over, thread: Some(thread) }
    }

    /// What came so far.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }
}

impl Heard {
    /// Whether it is about a lease in use.
    pub fn is_extension(&self) -> bool {
        !self.ciaddr.is_unspecified()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn lock(heard: &Mutex<Vec<Heard>>) -> MutexGuard<'_, Vec<Heard>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reply(to: &Message, kind: MessageType, seconds: u32) -> Vec<u8> {
    let server: Ipv4Addr = ROUTER.parse().expect("an address");
    let mut message =
        Message::new_with_id(to.xid(), to.ciaddr(), GIVEN, server, Ipv4Addr::UNSPECIFIED, to.chaddr());
    message.set_opcode(Opcode::BootReply);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(server));
    if kind == MessageType::Nak {
        options.insert(DhcpOption::Message("wrong network".into()));
    } else {
        options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)));
        options.insert(DhcpOption::Router(vec![server]));
        options.insert(DhcpOption::AddressLeaseTime(seconds));
    }
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).expect("a short message");
    bytes
}

/// What a server would reply to a client's message, with this message type and a lease of two minutes.
///
/// # Panics
/// If the message cannot be read.
pub fn reply_to(message: &[u8], kind: u8) -> Vec<u8> {
    let message = Message::decode(&mut Decoder::new(message)).expect("a client's message");
    reply(&message, MessageType::from(kind), 120)
}
