//! The target of demo and tests: a web page on TCP ports and an echo on UDP ports; without ports it only waits.
//! Says who it is and whom it saw, which is what a test of address translation asks.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context, Result};
use clap::Parser;

/// Serve a page that says who serves it and who asked.
#[derive(Parser)]
struct Cli {
    /// A TCP port to serve the page on
    #[arg(long)]
    tcp: Vec<u16>,
    /// A UDP port to echo datagrams on
    #[arg(long)]
    udp: Vec<u16>,
    /// A UDP port to answer each client on from a socket that is connected to it
    #[arg(long)]
    udp_connected: Vec<u16>,
    /// Who says hello, if not the host
    #[arg(long)]
    host: Option<String>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let host = match cli.host {
        Some(host) => host,
        None => std::fs::read_to_string("/proc/sys/kernel/hostname").context("read the host name")?,
    };
    let pages = bind(&cli.tcp, TcpListener::bind::<SocketAddr>)?;
    let echoes = bind(&cli.udp, UdpSocket::bind::<SocketAddr>)?;
    let connecting = bind(&cli.udp_connected, shared)?;
    thread::scope(|scope| {
        for listener in &pages {
            scope.spawn(|| serve_pages(listener, host.trim()));
        }
        for socket in &echoes {
            scope.spawn(|| echo(socket));
        }
        for socket in &connecting {
            scope.spawn(|| connect_and_answer(socket));
        }
        // It ends by a signal, as a server does.
        loop {
            thread::park();
        }
    })
}

/// Binds to `[::]`, which serves IPv4 too, or where there is no IPv6 to `0.0.0.0`.
fn bind<T>(ports: &[u16], bind: impl Fn(SocketAddr) -> io::Result<T>) -> Result<Vec<T>> {
    let both =
        |port: u16| bind((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|_| bind(([0, 0, 0, 0], port).into()));
    ports.iter().map(|&port| both(port).with_context(|| format!("listen on port {port}"))).collect()
}

fn serve_pages(listener: &TcpListener, host: &str) {
    thread::scope(|scope| {
        for connection in listener.incoming().flatten() {
            scope.spawn(move || answer(connection, host));
        }
    });
}

/// Answers each request of a connection until the client ends it. A path that is a number is the size of the page.
fn answer(mut connection: TcpStream, host: &str) -> io::Result<()> {
    let client = connection.peer_addr()?;
    let mut page = format!("hello from {host}\n{}", greeting(client));
    for line in BufReader::new(connection.try_clone()?).lines() {
        let line = line?;
        if let Some(size) = line.strip_prefix("GET /").and_then(|rest| rest.split(' ').next()?.parse().ok()) {
            page = "x".repeat(size);
        }
        if line.is_empty() {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                page.len()
            );
            connection.write_all((head + &page).as_bytes())?;
        }
    }
    Ok(())
}

fn greeting(client: SocketAddr) -> String {
    format!("you are {} port {}\n", client.ip().to_canonical(), client.port())
}

/// Sends each datagram back; one that asks "who am i" is told.
fn echo(socket: &UdpSocket) {
    let mut datagram = vec![0; 65_535];
    loop {
        // A port unreachable from an earlier client is reported here and concerns no other.
        if let Ok((length, client)) = socket.recv_from(&mut datagram) {
            let greeting = greeting(client);
            let asks = &datagram[..length] == b"who am i";
            let _ = socket.send_to(if asks { greeting.as_bytes() } else { &datagram[..length] }, client);
        }
    }
}

/// Tells each client who it is, from a socket of its own.
fn connect_and_answer(socket: &UdpSocket) {
    let mut datagram = vec![0; 65_535];
    loop {
        if let Ok((_, client)) = socket.recv_from(&mut datagram) {
            let answer = || {
                let own = shared(socket.local_addr()?)?;
                own.connect(client)?;
                own.send(greeting(client).as_bytes())
            };
            let _: io::Result<usize> = answer();
        }
    }
}

/// A socket whose port others may have, too.
fn shared(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
