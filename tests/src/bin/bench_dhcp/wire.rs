//! What DHCP says on a server's interface while a herd is at it, heard by a packet socket and counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    os::fd::AsRawFd as _,
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use landfall_tests::{netns::Netns, run::now};
use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{bind, setsockopt, sockopt::RcvBufForce},
};
use socket2::{Domain, Protocol, Socket, Type};

/// `ETH_P_ALL`, as the socket call wants it.
const EVERYTHING: i32 = 0x0300;
/// Room for what comes while the reader waits for its turn on a busy machine, in octets.
const BUFFER: usize = 64 << 20;
/// The type of a message (option 53), which all clients and servers put first.
const TYPE: [u8; 2] = [53, 1];
const ACK: u8 = 5;

/// A wire that is being listened to.
pub struct Wire {
    stop: Sender<()>,
    thread: JoinHandle<Traffic>,
    acks: Receiver<Duration>,
}

/// What went over it.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Messages of clients and of servers.
    pub messages: usize,
    /// Messages of clients in each second since the beginning.
    clients: BTreeMap<u64, usize>,
}

impl Wire {
    /// Listens to `interface` of `namespace`; times are since `begin`.
    ///
    /// # Panics
    /// If the interface is not there.
    pub fn listen(namespace: &Netns, interface: &str, begin: Instant) -> Self {
        let socket = namespace.within(|| {
            let protocol = Some(Protocol::from(EVERYTHING));
            let socket = Socket::new(Domain::PACKET, Type::RAW, protocol).expect("root may have one");
            let mut links = getifaddrs().expect("the kernel lists its interfaces");
            let link = links.find_map(|link| {
                link.address.filter(|_| link.interface_name == interface)?.as_link_addr().copied()
            });
            bind(socket.as_raw_fd(), &link.expect("the interface is there")).expect("it is up");
            setsockopt(&socket, RcvBufForce, &BUFFER).expect("root may");
            socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time");
            socket
        });
        let ((stop, stopped), (acked, acks)) = (channel(), channel());
        let thread = thread::spawn(move || {
            let (mut traffic, mut leased) = (Traffic::default(), BTreeSet::new());
            let mut buffer = [0; 2048];
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                let Ok(length) = (&socket).read(&mut buffer) else { continue };
                let since = now().duration_since(begin);
                let first_ack = traffic.count(&buffer[..length], since).filter(|mac| leased.insert(*mac));
                if first_ack.is_some() && acked.send(since).is_err() {
                    break;
                }
            }
            traffic
        });
        Self { stop, thread, acks }
    }

    /// When each of `clients` had its first ACK, in order.
    ///
    /// # Panics
    /// If one has none within `limit`.
    pub fn acks(&self, clients: usize, limit: Duration) -> Vec<Duration> {
        let until = now() + limit;
        let next = |number| {
            let ack = self.acks.recv_timeout(until.saturating_duration_since(now()));
            ack.unwrap_or_else(|_| panic!("only {number} have a lease"))
        };
        (0..clients).map(next).collect()
    }

    /// Ends it.
    pub fn traffic(self) -> Traffic {
        drop(self.stop);
        self.thread.join().expect("it counts")
    }
}

impl Traffic {
    /// Counts a frame; gives whom it acknowledges an address, if it does.
    fn count(&mut self, frame: &[u8], since: Duration) -> Option<[u8; 6]> {
        let is_udp = frame.get(12..14)? == [8, 0] && *frame.get(23)? == 17;
        let ports = frame.get(34..38).filter(|_| is_udp)?;
        let (from_client, from_server) = (ports == [0, 68, 0, 67], ports == [0, 67, 0, 68]);
        self.messages += usize::from(from_client || from_server);
        if from_client {
            *self.clients.entry(since.as_secs()).or_default() += 1;
        }
        let message = frame.get(42..).filter(|_| from_server)?;
        let is_ack = message.get(240..242)? == TYPE && *message.get(242)? == ACK;
        message.get(28..34)?.try_into().ok().filter(|_| is_ack)
    }

    /// The most messages of clients in one of the seconds from `first` on.
    pub fn busiest_second(&self, first: u64) -> usize {
        self.clients.range(first..).map(|(_, count)| *count).max().unwrap_or(0)
    }
}
