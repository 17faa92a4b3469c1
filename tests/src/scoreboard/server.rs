//! The server of a case: a packet socket on its end of the wire, which hears everything and says what the script says.

use std::{
    io::Read as _,
    net::Ipv4Addr,
    os::fd::AsRawFd as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{LinkAddr, MsgFlags, sendto},
    unistd::gettid,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    case::Case,
    heard::{Arp, Heard, Kind, is_port_unreachable},
    reply::{NEIGHBOUR, Outgoing, arp_reply, host, server_mac},
};
use crate::{
    netns::Netns,
    run::{now, output},
};

/// The server's end of the wire.
pub const WIRE: &str = "wire0";

/// How long it listens before it looks at the time again.
const PAUSE: Duration = Duration::from_millis(20);

/// `ETH_P_ALL`, as the socket call wants it.
const EVERYTHING: i32 = 0x0300;

/// What was on the wire.
#[derive(Debug, Default)]
pub struct Wire {
    /// The client's DHCP messages.
    pub heard: Vec<Heard>,
    /// The client's ARP packets.
    pub arps: Vec<Arp>,
    /// How many port unreachables the client sent.
    pub unreachables: usize,
}

/// A server at work.
pub struct Server<'a> {
    case: &'a Case,
    socket: Socket,
    link: LinkAddr,
    started: Instant,
    due: Vec<(Instant, Vec<u8>)>,
}

impl<'a> Server<'a> {
    /// A server for `case` in a namespace that has the wire.
    ///
    /// # Panics
    /// If there is no packet socket to be had.
    pub fn new(case: &'a Case, namespace: &Netns, started: Instant) -> Self {
        let (socket, link) = namespace.within(|| {
            let protocol = Some(Protocol::from(EVERYTHING));
            let socket = Socket::new(Domain::PACKET, Type::RAW, protocol).expect("root may have one");
            let mut links = getifaddrs()
                .expect("the kernel lists its interfaces")
                .filter(|link| link.interface_name == WIRE);
            let link =
                links.find_map(|link| link.address?.as_link_addr().copied()).expect("the wire is there");
            (socket, link)
        });
        socket.set_read_timeout(Some(PAUSE)).expect("a time");
        Self { case, socket, link, started, due: Vec::new() }
    }

    /// Serves until `is_over`. It stands for machines that do nothing else, and answers as they would, however loaded this one is: a
    /// neighbour that answers a probe too late is no conflict.
    pub fn serve(mut self, wire: &Mutex<Wire>, is_over: &AtomicBool) {
        // Where the kernel refuses that, it answers as soon as it can.
        output(&["chrt", "--fifo", "--pid", "1", &gettid().to_string()]);
        let mut buffer = [0; 4096];
        while !is_over.load(Ordering::Relaxed) {
            if let Ok(length) = self.socket.read(&mut buffer) {
                self.hear(&buffer[..length], &mut lock(wire));
            }
            self.say_what_is_due();
        }
    }

    fn hear(&mut self, frame: &[u8], wire: &mut Wire) {
        let (now, at) = (now(), now().duration_since(self.started));
        let mut said = Vec::new();
        if let Some(heard) = Heard::read(frame, at) {
            let heard = wire.name(heard);
            let before = wire.heard.iter().filter(|other| other.kind == heard.kind).count();
            said = (self.case.script)(&heard, before);
            wire.heard.push(heard);
        } else if let Some(arp) = Arp::read(frame, at) {
            said = (self.case.arp_script)(
                &arp,
                wire.arps
                    .iter()
                    .filter(|other| (other.sender, other.target) == (arp.sender, arp.target))
                    .count(),
            );
            said.extend(self.resolve(&arp));
            wire.arps.push(arp);
        } else if is_port_unreachable(frame) {
            wire.unreachables += 1;
        }
        self.due.extend(said.into_iter().map(|(after, frame)| (now + after, frame)));
        self.due.sort_by_key(|(at, _)| *at);
    }

    /// The servers answer for their addresses, and the neighbour for those that it has.
    fn resolve(&self, arp: &Arp) -> Option<Outgoing> {
        let is_asked =
            |address: &Ipv4Addr| arp.operation == 1 && arp.target == *address && arp.sender != *address;
        let server = (1..=2).find(|server| is_asked(&host(*server))).map(server_mac);
        let neighbour = self.case.taken.iter().any(is_asked).then_some(NEIGHBOUR);
        server.or(neighbour).map(|mac| (Duration::ZERO, arp_reply(arp, mac)))
    }

    fn say_what_is_due(&mut self) {
        let is_late = self.due.partition_point(|(at, _)| *at <= now());
        for (_, frame) in self.due.drain(..is_late) {
            // A client that took its interface down loses what is said meanwhile, as on any LAN.
            let _ = sendto(self.socket.as_raw_fd(), &frame, &self.link, MsgFlags::empty());
        }
    }
}

impl Wire {
    /// Without option 54 only the transaction tells an answered OFFER from INIT-REBOOT.
    fn name(&self, heard: Heard) -> Heard {
        let goes_on = self.of(Kind::Discover).any(|discover| discover.xid() == heard.xid());
        if heard.kind == Kind::Reboot && goes_on { Heard { kind: Kind::Select, ..heard } } else { heard }
    }

    /// The messages of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Heard> {
        self.heard.iter().filter(move |heard| heard.kind == kind)
    }
}

/// The wire, also after a judge has panicked.
pub fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}
