//! What a machine of the LAN does with a service: fetch a page, send a datagram.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    time::Duration,
};

use socket2::SockRef;

use crate::{
    netns::Netns,
    run::{path, slowness, wait_until, wait_until_bound},
};

/// Longer than an answer takes on a loaded machine: only a test that fails waits so long.
const ANSWER: Duration = Duration::from_secs(20);

/// How long an answer is waited for that must not come.
const SILENCE: Duration = Duration::from_millis(700);

/// Starts `landfall-web` in a namespace, and waits until it serves. `arguments`: `--tcp 80 --udp 53`.
///
/// # Panics
/// If it does not serve.
pub fn serve(namespace: &Netns, arguments: &str) {
    let web = path("LANDFALL_WEB");
    let mut command = namespace.command(web.to_str().expect("a plain path"));
    // Its namespace ends it.
    drop(command.args(arguments.split_whitespace()).spawn().expect("ip is there"));
    let ports = arguments.split_whitespace().filter(|word| word.parse::<u16>().is_ok()).count();
    wait_until("the server serves", || namespace.run(&["ss", "-Htuln"]).lines().count() >= ports);
}

/// Connects from a namespace; the connection stays usable outside.
///
/// # Errors
/// If nobody answers.
pub fn connect(from: &Netns, to: impl Into<SocketAddr>) -> io::Result<TcpStream> {
    let stream = connect_within(ANSWER, from, to.into())?;
    stream.set_read_timeout(Some(ANSWER * slowness()))?;
    Ok(stream)
}

fn connect_within(limit: Duration, from: &Netns, to: SocketAddr) -> io::Result<TcpStream> {
    from.within(|| TcpStream::connect_timeout(&to, limit * slowness()))
}

/// Whether nobody lets a namespace connect.
pub fn is_closed(from: &Netns, to: impl Into<SocketAddr>) -> bool {
    connect_within(SILENCE, from, to.into()).is_err()
}

/// Whether an open connection gets no answer any more.
///
/// # Panics
/// If the socket takes no limit.
pub fn is_cut(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE * slowness())).expect("a time");
    ask(stream).is_err()
}

/// Whether nobody answers a datagram from a namespace.
pub fn is_silent(from: &Netns, to: impl Into<SocketAddr>) -> bool {
    is_silent_to(from, 0, to)
}

/// The same from a port of one's choice.
pub fn is_silent_to(from: &Netns, port: u16, to: impl Into<SocketAddr>) -> bool {
    echo_within(SILENCE, from, port, to.into(), "question").is_err()
}

/// Whether a datagram from a namespace gets to a socket of this process's.
///
/// # Panics
/// If it cannot be sent.
pub fn gets_to(from: &Netns, socket: &UdpSocket) -> bool {
    gets_to_within(ANSWER, from, socket)
}

/// Whether it does not.
///
/// # Panics
/// If it cannot be sent.
pub fn is_kept_from(from: &Netns, socket: &UdpSocket) -> bool {
    !gets_to_within(SILENCE, from, socket)
}

fn gets_to_within(limit: Duration, from: &Netns, socket: &UdpSocket) -> bool {
    let to = socket.local_addr().expect("it is bound");
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let sent = from.within(|| UdpSocket::bind((any, 0)).and_then(|socket| socket.send_to(b"?", to)));
    sent.expect("it is sent");
    socket.set_read_timeout(Some(limit * slowness())).expect("a time");
    socket.recv(&mut [0; 1]).is_ok()
}

/// Asks for a page on an open connection, which stays open.
///
/// # Errors
/// If none comes.
pub fn ask(stream: &mut TcpStream) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer)?;
    if length == 0 {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

/// Fetches a page from a namespace.
///
/// # Errors
/// If none comes.
pub fn fetch(from: &Netns, to: impl Into<SocketAddr>) -> io::Result<String> {
    ask(&mut connect(from, to)?)
}

/// Whom the server of a page takes a client for.
///
/// # Panics
/// If it does not answer.
pub fn seen(client: &Netns, to: impl Into<SocketAddr>) -> String {
    seen_in(&fetch(client, to).expect("an answer"))
}

/// Whom the server of datagrams takes a client for.
///
/// # Panics
/// If it does not answer.
pub fn seen_by_udp(client: &Netns, to: impl Into<SocketAddr>) -> String {
    seen_in(&echo(client, to, "who am i").expect("an answer"))
}

/// Whom a page is for, as it says.
///
/// # Panics
/// If it does not say so.
pub fn seen_in(page: &str) -> String {
    let (_, seen) = page.split_once("you are ").expect("a greeting");
    seen.split(' ').next().expect("an address").to_owned()
}

/// Fetches a page from this thread's own namespace, over a connection of its own, as often and as fast as a benchmark likes.
///
/// # Errors
/// If none comes.
pub fn page(to: SocketAddrV4) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    // No connection waits for late packets afterwards: there are not enough ports for that.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    ask(&mut stream).map(drop)
}

/// Sends a datagram from a namespace and gives the answer.
///
/// # Errors
/// If none comes.
pub fn echo(from: &Netns, to: impl Into<SocketAddr>, text: &str) -> io::Result<String> {
    echo_from(from, 0, to, text)
}

/// The same from a port of one's choice.
///
/// # Errors
/// If no answer comes.
pub fn echo_from(from: &Netns, port: u16, to: impl Into<SocketAddr>, text: &str) -> io::Result<String> {
    echo_within(ANSWER, from, port, to.into(), text)
}

fn echo_within(limit: Duration, from: &Netns, port: u16, to: SocketAddr, text: &str) -> io::Result<String> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = wait_until_bound(|| from.within(|| UdpSocket::bind((any, port))));
    socket.set_read_timeout(Some(limit * slowness()))?;
    socket.send_to(text.as_bytes(), to)?;
    let mut answer = [0; 1500];
    let (length, sender) = socket.recv_from(&mut answer)?;
    assert_eq!(sender, to, "the answer came from another address");
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
