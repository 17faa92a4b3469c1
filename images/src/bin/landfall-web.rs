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
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").context("read the host name")?;
    let pages = bind(&cli.tcp, TcpListener::bind::<SocketAddr>)?;
    let echoes = bind(&cli.udp, UdpSocket::bind::<SocketAddr>)?;
    thread::scope(|scope| {
        for listener in &pages {
            scope.spawn(|| serve_pages(listener, host.trim()));
        }
        for socket in &echoes {
            scope.spawn(|| echo(socket));
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

/// Answers each request of a connection until the client ends it.
fn answer(mut connection: TcpStream, host: &str) -> io::Result<()> {
    let client = connection.peer_addr()?;
    let page = format!("hello from {host}\nyou are {} port {}\n", client.ip().to_canonical(), client.port());
    for line in BufReader::new(connection.try_clone()?).lines() {
        if line?.is_empty() {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                page.len()
            );
            connection.write_all((head + &page).as_bytes())?;
        }
    }
    Ok(())
}

fn echo(socket: &UdpSocket) {
    let mut datagram = vec![0; 65_535];
    loop {
        // A port unreachable from an earlier client is reported here and concerns no other.
        if let Ok((length, client)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..length], client);
        }
    }
}
