//! What a stock kernel can do and the kernels of build machines often cannot. Runs inside a virtual machine: `make vm`.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use landfall_tests::{
    client::{ask, connect, echo_from, fetch, is_cut, is_silent_to, seen, seen_by_udp, seen_in},
    docker::{FORWARDS, SERVICES, Target, WEB, inspect},
    lan::{CLIENT, Lan, ROUTED_CLIENT},
    landfall::{in_vain, landfall},
    netns::Netns,
    run::{output, run, slowness, unique, wait_until, wait_until_bound},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A page of more than the first packets of a connection.
const PAGE: usize = 10_000_000;

/// Its protocol number (RFC 9260).
const SCTP: i32 = 132;

/// The options of a dnsmasq on another interface than the LAN's own.
fn dnsmasq(lan: &mut Lan, interface: &str, range: &str) {
    let leases = format!("--dhcp-leasefile={}", lan.file("leases").display());
    let (on, range) = (format!("--interface={interface}"), format!("--dhcp-range={range}"));
    let fixed = ["--keep-in-foreground", "--port=0", "--bind-interfaces", "--except-interface=lo"];
    let more = ["--conf-file=/dev/null", "--user=root", "--pid-file=", "--no-ping", "--dhcp-authoritative"];
    lan.serve("dnsmasq", &[&fixed[..], &more, &[&leases, &on, &range]].concat());
}

#[test]
fn a_vlan_can_be_the_parent() {
    // Given a LAN whose DHCP server is on VLAN 7 alone
    let mut lan = Lan::without_server();
    lan.router.ip("link add link br0 name br0.7 type vlan id 7");
    lan.router.ip("addr add 10.97.0.1/24 dev br0.7");
    lan.router.ip("link set br0.7 up");
    dnsmasq(&mut lan, "br0.7", "10.97.0.100,10.97.0.200,2m");
    let (target, trunk) = (Target::web(), lan.host_port());
    let tagged = format!("v{}", unique());
    run(&["ip", "link", "add", "link", &trunk, "name", &tagged, "type", "vlan", "id", "7"]);
    run(&["ip", "link", "set", &tagged, "up"]);
    // When a target is exposed there
    let address = landfall(&["up", "-q", &target.name, &tagged]).done();
    // Then its address is of that VLAN, and answers there
    let address = SocketAddrV4::new(address.trim().parse().expect("an address"), 80);
    assert_eq!(address.ip().octets()[..3], [10, 97, 0]);
    let client = lan.client();
    client.ip("link add link eth0 name eth0.7 type vlan id 7");
    client.ip("addr add 10.97.0.10/24 dev eth0.7");
    client.ip("link set eth0.7 up");
    assert!(fetch(&client, address).expect("an answer").contains("hello from"));
    // And without a tag nobody answers
    let said = landfall(&["up", &Target::web().name, &trunk, "--wait", &in_vain()]).failed(3);
    assert!(said.contains("no OFFER"), "{said}");
}

#[test]
fn addresses_come_over_a_bad_wire() {
    // Given a wire that loses, delays, repeats and reorders, in both directions
    let mut lan = Lan::new();
    let interface = lan.host_port();
    let bad = ["netem", "loss", "20%", "delay", "40ms", "20ms", "reorder", "25%", "duplicate", "20%"];
    run(&[&["tc", "qdisc", "add", "dev", &interface, "root"], &bad[..]].concat());
    lan.router.run(&[&["tc", "qdisc", "add", "dev", "br0", "root"], &bad[..]].concat());
    // Then several targets get an address each, and keep it
    let targets = [Target::web(), Target::web(), Target::web()];
    let up = |target: &Target| landfall(&["up", "-q", &target.name, &interface]).done();
    let addresses: Vec<String> = targets.iter().map(up).collect();
    let again: Vec<String> = targets.iter().map(up).collect();
    assert_eq!(addresses, again);
    let mut different = addresses.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), targets.len(), "{addresses:?}");
}

#[test]
fn packets_of_established_connections_take_a_short_cut() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::web(), lan.host_port(), lan.client());
    let up = |options: &[&str]| {
        let said = landfall(&[&["up", "-q", &target.name, &interface], options].concat()).done();
        SocketAddrV4::new(said.trim().parse().expect("an address"), 80)
    };
    let (page, mut counted) = (10_000_000, Vec::new());
    for options in [&[][..], &["--offload"], &["--offload", "--path", "bridge"]] {
        let address = up(options);
        let mut stream = connect(&client, address).expect("an answer");
        stream.write_all(format!("GET /{page} HTTP/1.1\r\n\r\n").as_bytes()).expect("it reads");
        stream.read_exact(&mut vec![0; page]).expect("all of it");
        // What takes it is not counted: but for the first packets all of them
        let listed = landfall(&["stats", &target.name, "--format", "json"]).json();
        counted.push(listed[0]["forwards"][0]["packets"].as_u64().expect("a number"));
        let is_short = counted.last().is_some_and(|packets| 3 * packets < counted[0]);
        assert_eq!(is_short, !options.is_empty(), "{options:?}: {counted:?}");
        // And a change of the forwards holds for connections that are open
        let mut open = connect(&client, address).expect("an answer");
        for _ in 0..3 {
            ask(&mut open).expect("a page");
        }
        up(&[options, &["--from", "192.0.2.1"]].concat());
        assert!(is_cut(&mut open), "{options:?}: who may not connect any more is still served");
    }
}

#[test]
fn what_takes_a_short_cut_leads_where_the_forward_leads_now() {
    let mut lan = Lan::new();
    let (target, interface, client) =
        (serving(&[WEB, "--udp", "5353"], &[5353]), lan.host_port(), lan.client());
    let up = |port: &str| {
        let said = landfall(&["up", "-q", &target.name, &interface, "--offload", "-p", port]).done();
        SocketAddrV4::new(said.trim().parse().expect("an address"), 53)
    };
    // Given a client that goes on asking from one port
    let address = up("53:5353/udp");
    for _ in 0..5 {
        assert_eq!(echo_from(&client, 40_000, address, "question").expect("an answer"), "question");
    }
    // When the forward leads where nobody answers, nobody does
    up("53:5354/udp");
    assert!(is_silent_to(&client, 40_000, address));
}

/// A target that serves these ports already: nobody repeats a datagram that comes too early.
fn serving(arguments: &[&str], ports: &[u16]) -> Target {
    let target = Target::run(arguments);
    wait_until("the target serves", || {
        let sockets = target.inside(&["ss", "-Htuln"]);
        ports.iter().all(|port| sockets.contains(&format!(":{port} ")))
    });
    target
}

/// Runs `up --offload`, and gives the address.
fn up_by_short_cut(target: &Target, interface: &str, options: &[&str]) -> Ipv4Addr {
    let said = landfall(&[&["up", "-q", &target.name, interface, "--offload"], options].concat()).done();
    // Whoever comes first takes it already
    let inside = format!("--net=/proc/{}/ns/net", inspect(&target.network_container(), "{{.State.Pid}}"));
    let ruleset = run(&["nsenter", &inside, "nft", "list", "ruleset"]);
    assert!(ruleset.contains("@short_cut"), "{ruleset}");
    said.trim().parse().expect("an address")
}

fn large_page(stream: &mut TcpStream) {
    stream.write_all(format!("GET /{PAGE} HTTP/1.1\r\n\r\n").as_bytes()).expect("it reads");
    let (mut head, mut last) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut last).expect("an answer");
        head.extend(last);
    }
    stream.read_exact(&mut vec![0; PAGE]).expect("all of it");
}

#[test]
fn a_connection_that_took_a_short_cut_ends_as_others_do() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::web(), lan.host_port(), lan.client());
    let address = SocketAddrV4::new(up_by_short_cut(&target, &interface, &[]), 80);
    let inside = Netns::attach(&inspect(&target.network_container(), "{{.State.Pid}}"));
    let mut stream = connect(&client, address).expect("an answer");
    large_page(&mut stream);
    let is_forgotten = || {
        let tracked = inside.run(&["cat", "/proc/net/nf_conntrack"]);
        let left = |line: &str| line.split_whitespace().nth(4).and_then(|left| left.parse::<u32>().ok());
        tracked.lines().all(|line| left(line).is_some_and(|seconds| seconds < 1000))
    };
    assert!(!is_forgotten());
    // When it is ended, then it is not remembered as one that goes on
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(stream);
    wait_until("it is forgotten soon", is_forgotten);
    // And another one may begin at once from the same port
    for _ in 0..3 {
        let socket = client.within(|| Socket::new(Domain::IPV4, Type::STREAM, None)).expect("a socket");
        let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 40_001);
        socket.set_reuse_address(true).and_then(|()| socket.bind(&from.into())).expect("the port");
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
        let limit = Duration::from_secs(2) * slowness();
        wait_until_bound(|| socket.connect_timeout(&address.into(), limit));
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(limit)).expect("a time");
        large_page(&mut stream);
    }
}

#[test]
fn datagrams_of_every_size_arrive_by_a_short_cut() {
    let mut lan = Lan::new();
    let (target, interface) = (serving(&SERVICES, &[80, 53, 54]), lan.host_port());
    let address = up_by_short_cut(&target, &interface, &["-p", "5300:53/udp", "-p", "54/udp"]);
    for (client, its_address) in [(lan.client(), CLIENT), (lan.routed_client(), ROUTED_CLIENT)] {
        let socket = client.within(|| UdpSocket::bind("0.0.0.0:0")).expect("a port");
        socket.connect((address, 5300)).expect("a route");
        socket.set_read_timeout(Some(Duration::from_secs(2) * slowness())).expect("a time");
        // Those of 3000 octets come in parts
        for size in [10, 1000, 3000, 10, 3000, 1000] {
            socket.send(&vec![b'x'; size]).expect("it is sent");
            let length = socket.recv(&mut [0; 4000]).unwrap_or_else(|error| panic!("{size}: {error}"));
            assert_eq!(length, size);
        }
        for _ in 0..3 {
            assert_eq!(seen_by_udp(&client, (address, 54)), its_address, "from a connected socket");
        }
    }
}

#[test]
fn the_host_is_served_beside_a_short_cut() {
    let mut lan = Lan::on_host();
    let interface = lan.host_port();
    let (at_host, at_client) = (lan.give_host(&interface, 6).to_string(), lan.at(10).to_string());
    let (target, client) = (serving(&SERVICES, &[80, 53, 54]), lan.client());
    let address = up_by_short_cut(&target, &interface, &[&FORWARDS[..], &["--host-access"]].concat());
    let mut host = TcpStream::connect((address, 80)).expect("an answer");
    for _ in 0..3 {
        assert_eq!(seen_in(&ask(&mut host).expect("a page")), at_host);
        assert_eq!(seen(&client, (address, 80)), at_client);
        assert_eq!(seen_by_udp(&client, (address, 53)), at_client);
    }
}

#[test]
fn sctp_finds_its_way_where_it_can() {
    let mut lan = Lan::new();
    let (interface, client) = (lan.host_port(), lan.client());
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::from(SCTP)));
    let limit = Some(Duration::from_secs(5) * slowness());
    for path in ["bridge", "direct"] {
        // Given a server that says who its client is
        let target = Target::web();
        let inside = Netns::attach(&inspect(&target.name, "{{.State.Pid}}"));
        let server = inside.within(socket).expect("SCTP");
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 3868);
        server.bind(&any.into()).and_then(|()| server.listen(1)).expect("a port");
        let served = thread::spawn(move || {
            let (mut stream, from) = server.accept().expect("a client");
            stream
                .write_all(from.as_socket_ipv4().expect("IPv4").ip().to_string().as_bytes())
                .expect("it reads");
            assert_eq!(stream.read(&mut [0]).expect("its end"), 0);
        });
        // When a client on the LAN asks
        let up = |path| landfall(&["up", "-q", &target.name, &interface, "--path", path, "-p", "3868/sctp"]);
        let address = up(path).done().trim().parse().expect("an address");
        let mut stream = client.within(socket).expect("SCTP");
        stream.set_read_timeout(limit).expect("a time");
        stream.connect(&SocketAddrV4::new(address, 3868).into()).expect("it is let through");
        let mut seen = [0; 32];
        let length = stream.read(&mut seen).expect("an answer");
        // Then it is answered, and seen where that is promised
        let seen = String::from_utf8_lossy(&seen[..length]).into_owned();
        assert_eq!(seen == CLIENT, path != "bridge", "{path}: {seen}");
        drop(stream);
        served.join().expect("it has served");
    }
}

#[test]
fn the_kernel_has_what_uplinks_and_paths_may_need() {
    let namespace = Netns::new();
    namespace.ip("link add wire0 type veth peer name wire1");
    namespace.ip("link set wire0 up");
    namespace.ip("link set wire1 up");
    namespace.ip("link add link wire0 name ip0 type ipvlan mode l2");
    namespace.ip("link add link wire1 name vlan0 type vlan id 9");
    namespace.run(&["nft", "add table inet t"]);
    namespace
        .run(&["nft", "add flowtable inet t f { hook ingress priority 0; devices = { wire0, wire1 }; }"]);
    namespace.run(&["nft", "add chain inet t c { type filter hook forward priority 0; }"]);
    namespace.run(&["nft", "add rule inet t c ip protocol tcp flow add @f"]);
    assert!(output(&["modprobe", "ip_vs"]).status.success(), "no ip_vs");
}
