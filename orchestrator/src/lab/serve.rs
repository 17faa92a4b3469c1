//! The DHCP server of a practice LAN as a process: a socket, a clock, and `dhcp::Server` between them.
//! It is this program again, without a terminal, and ends when its namespace loses its name.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dhcproto::{Encodable, v4::SERVER_PORT};
use nix::{
    sys::socket::{setsockopt, sockopt::BindToDevice},
    unistd::setsid,
};

use super::{
    Lab,
    dhcp::{LeaseTime, Reply, Server},
    error::LabError,
    lan::BRIDGE,
    links::Change,
    name::Name,
    netns,
};
use crate::netns::{Id, Netns};

/// How soon the server ends if somebody takes away the name of its namespace (`ip netns del`).
const LOOK: Duration = Duration::from_secs(10);
/// A BOOTP message is this long at least, and some clients insist (RFC 1542 2.1).
const SHORTEST: usize = 300;
/// More than an Ethernet frame holds.
const LONGEST: usize = 2048;

/// Starts the server in the namespace, unless somebody answers on port 67 already. Its socket is open before this
/// returns: a client that asks at once is heard.
pub fn start(namespace: &Netns, lab: &Lab, lease_time: LeaseTime) -> Result<Change, LabError> {
    let started = namespace.within(|| match open() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(Change::Found),
        socket => spawn(socket?, lab, lease_time).map(|()| Change::Made),
    });
    started.map_err(LabError::io("start the DHCP server"))
}

/// Serves on the socket that is standard input, for as long as the namespace has its name.
pub fn serve(lab: &Lab, lease_time: LeaseTime) -> Result<(), LabError> {
    let failed = LabError::io("serve DHCP");
    setsid().map_err(|errno| failed(errno.into()))?;
    let socket: UdpSocket = io::stdin().as_fd().try_clone_to_owned().map_err(&failed)?.into();
    socket.set_read_timeout(Some(LOOK)).map_err(&failed)?;
    let mut server = Server::new(lab.subnet, lease_time);
    let since_start = stopwatch();
    while is_named(&lab.name).map_err(&failed)? {
        receive(&socket, |octets| server.answer(octets, since_start())).map_err(&failed)?;
    }
    Ok(())
}

/// The command line that becomes [`serve`].
pub fn arguments(lab: &Lab, lease_time: LeaseTime) -> [String; 8] {
    let (name, subnet, lease_time) = (lab.name.to_string(), lab.subnet.to_string(), lease_time.to_string());
    let [lab, serve, of, on, lasting] =
        ["lab", "serve", "--name", "--subnet", "--lease-time"].map(str::to_owned);
    [lab, serve, of, name, on, subnet, lasting, lease_time]
}

/// Bound to the bridge, for a broadcast has no route to tell it where to go.
fn open() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVER_PORT))?;
    setsockopt(&socket, BindToDevice, &BRIDGE.into())?;
    socket.set_broadcast(true)?;
    Ok(socket)
}

/// The server outlives this command, and init reaps it.
fn spawn(socket: UdpSocket, lab: &Lab, lease_time: LeaseTime) -> io::Result<()> {
    Command::new("/proc/self/exe")
        .arg0("landfall")
        .args(arguments(lab, lease_time))
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}

fn is_named(name: &Name) -> io::Result<bool> {
    let named = netns::open(&name.namespace())?.map(|namespace| namespace.id()).transpose()?;
    Ok(named == Some(Id::own()?))
}

fn receive(socket: &UdpSocket, answer: impl FnOnce(&[u8]) -> Option<Reply>) -> io::Result<()> {
    let mut octets = [0; LONGEST];
    match socket.recv(&mut octets) {
        Ok(length) => {
            if let Some(reply) = answer(&octets[..length]) {
                send(socket, &reply);
            }
            Ok(())
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The time since now. It stands still while the host is suspended: a lease then lasts longer, which harms nobody.
#[expect(
    clippy::disallowed_methods,
    reason = "the server's one clock; what it decides is a function of the time"
)]
fn stopwatch() -> impl Fn() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}

/// A reply that is lost is asked for again.
fn send(socket: &UdpSocket, reply: &Reply) {
    let Ok(mut octets) = reply.message.to_vec() else { return };
    octets.resize(octets.len().max(SHORTEST), 0);
    if let Err(error) = socket.send_to(&octets, SocketAddr::V4(reply.to)) {
        tracing::debug!(to = %reply.to, %error, "reply not sent");
    }
}
