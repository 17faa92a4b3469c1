//! `landfall up --family`: addresses of IPv6, whom the target sees there, and what is left in it.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, UdpSocket},
};

use landfall_tests::{
    client::{connect, fetch, gets_to, is_closed, is_kept_from, is_silent, seen, seen_by_udp, seen_in},
    docker::{FORWARDS, Network, SERVICES, Target, WEB, inspect},
    lan::{CLIENT6, Lan, ROUTED_CLIENT6},
    run::run,
};

/// Both families: a router that announces a prefix, and a server for IPv4.
const DUAL: [&str; 4] = [
    "--enable-ra",
    "--dhcp-range=2001:db8:99::,ra-only,64,10m",
    "--dhcp-range=10.99.0.100,10.99.0.200,2m",
    "--no-ping",
];
const ONLY_V6: [&str; 2] = ["--enable-ra", "--dhcp-range=2001:db8:99::1000,2001:db8:99::1fff,64,10m"];

fn ipv6(addresses: &[IpAddr]) -> IpAddr {
    *addresses.iter().find(|address| address.is_ipv6()).expect("an IPv6 address")
}

#[test]
fn a_target_whose_network_has_no_ipv6_sees_its_clients_of_ipv6() {
    let mut lan = Lan::with_ipv6(&DUAL);
    let interface = lan.host_port();
    let clients = [(lan.client6(), CLIENT6), (lan.routed_client6(), ROUTED_CLIENT6)];
    let targets = [
        ("on the default network", Target::run(&SERVICES)),
        ("on none", Target::run(&[&["--network", "none"], &SERVICES[..]].concat())),
    ];
    for (what, target) in targets {
        let addresses =
            target.expose_all(&interface, &[&FORWARDS[..], &["-p", "8080:80", "--family", "both"]].concat());
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        let address = ipv6(&addresses);
        for (client, its_address) in &clients {
            assert_eq!(seen(client, (address, 80)), *its_address, "{what}");
            assert_eq!(seen(client, (address, 8080)), *its_address, "{what}");
            for port in [53, 54] {
                assert_eq!(seen_by_udp(client, (address, port)), *its_address, "{what}, by UDP {port}");
            }
            fetch(client, (addresses[0], 80)).expect("the page, over IPv4");
        }
        // And the same again changes nothing
        let before = target.network_container_id();
        assert_eq!(
            target.expose_all(&interface, &[&FORWARDS[..], &["-p", "8080:80", "--family", "both"]].concat()),
            addresses
        );
        assert_eq!(target.network_container_id(), before);
        assert_eq!(target.listed()["ipv6"][0], address.to_string());
        target.down();
        assert_eq!(target.traces(), [""; 0], "{what}");
    }
}

#[test]
fn on_a_lan_without_ipv4_an_address_of_ipv6_is_enough() {
    let mut lan = Lan::with_ipv6(&ONLY_V6);
    let (target, interface, client) = (Target::web(), lan.host_port(), lan.client6());
    for family in ["6", "any"] {
        let addresses = target.expose_all(&interface, &["--family", family]);
        let [address] = addresses[..] else { panic!("{addresses:?}") };
        assert_eq!(seen(&client, (address, 80)), CLIENT6, "{family}");
        let view = target.listed();
        assert_eq!((&view["ipv6"][0], &view["state"]), (&address.to_string().into(), &"leased".into()));
    }
    // And the lease is given back
    target.down();
    lan.expect_log("DHCPRELEASE");
    assert_eq!(target.traces(), [""; 0]);
}

#[test]
fn a_target_that_has_the_uplink_itself_is_a_machine_of_the_lan() {
    let mut lan = Lan::with_ipv6(&DUAL);
    let interface = lan.host_port();
    let network = Network::with_ipv6();
    let subnet = network.subnet6();
    let clients = [(lan.client6(), CLIENT6), (lan.routed_client6(), ROUTED_CLIENT6)];
    let targets = [
        ("on the default network", Target::run(&SERVICES)),
        ("on a network with IPv6", Target::run(&[&["--network", &*network.name], &SERVICES[..]].concat())),
        ("on none", Target::run(&[&["--network", "none"], &SERVICES[..]].concat())),
    ];
    for (what, target) in targets {
        let routes = || target.inside(&["ip", "-6", "route", "show", "default"]);
        let before = routes();
        let options = ["--path", "direct", "--family", "both", "-p", "8080:80"];
        let addresses = target.expose_all(&interface, &[&FORWARDS[..], &options].concat());
        assert_eq!(addresses.len(), 2, "{what}: {addresses:?}");
        let address = ipv6(&addresses);
        for (client, its_address) in &clients {
            for port in [80, 8080] {
                assert_eq!(seen(client, (address, port)), *its_address, "{what}, {port}");
            }
            for port in [53, 54] {
                assert_eq!(seen_by_udp(client, (address, port)), *its_address, "{what}, by UDP {port}");
            }
            client.run(&["ping", "-6", "-q", "-c", "1", "-W", "20", &address.to_string()]);
            fetch(client, (addresses[0], 80)).expect("the page, over IPv4");
        }
        // Its own way out stays, or is the LAN's if it had none
        if before.is_empty() {
            assert!(routes().contains("default via fe80:"), "{what}: {}", routes());
            target.inside(&["ping", "-6", "-q", "-c", "1", "-W", "20", ROUTED_CLIENT6]);
        } else {
            assert_eq!(routes(), before, "{what}");
            // And the LAN does not get through to its address there
            clients[0].0.ip(&format!("-6 route add {subnet} via {address}"));
            let inside = target.inside(&["ip", "-6", "-o", "addr", "show", "to", &subnet, "scope", "global"]);
            let inside = inside.split_whitespace().nth(3).and_then(|net| net.split('/').next());
            let inside: IpAddr = inside.and_then(|it| it.parse().ok()).expect("an address there");
            let received = || target.inside(&["sh", "-c", "grep ^Udp6InDatagrams /proc/net/snmp6"]);
            let heard = received();
            assert!(is_silent(&clients[0].0, (inside, 53)));
            assert_eq!(received(), heard);
        }
        // And sources are asked of clients of either family
        let for_some = ["--path", "direct", "--family", "both", "-p", "80,from=2001:db8:99::/64"];
        assert_eq!(target.expose_all(&interface, &for_some), addresses);
        assert_eq!(seen(&clients[0].0, (address, 80)), CLIENT6);
        assert!(is_closed(&clients[1].0, (address, 80)), "{what}");
        assert!(is_closed(&clients[0].0, (addresses[0], 80)), "{what}");
        // And a target that comes back has its addresses again
        run(&["docker", "restart", "--time", "0", &target.name]);
        target.wait_until_it_serves();
        assert_eq!(target.expose_all(&interface, &for_some), addresses, "{what}, again");
        // And nothing is left, even by an agent that was killed
        let rules = || target.inside(&["ip", "-6", "rule"]);
        run(&["docker", "kill", &target.network_container()]);
        assert!(rules().contains("proto 108"), "{}", rules());
        assert_eq!(target.expose_all(&interface, &["--path", "direct"]).len(), 1);
        assert!(!rules().contains("proto 108"), "{}", rules());
        target.expose_all(&interface, &for_some);
        run(&["docker", "kill", &target.network_container()]);
        target.down();
        assert_eq!((target.traces(), routes()), (Vec::new(), before), "{what}");
    }
}

#[test]
fn over_a_bridge_with_ipv6_the_target_is_reached_there() {
    let mut lan = Lan::with_ipv6(&DUAL);
    let (interface, client) = (lan.host_port(), lan.client6());
    let network = Network::with_ipv6();
    let target = Target::run(&["--network", &network.name, WEB]);
    target.wait_until_it_serves();
    let address = ipv6(&target.expose_all(&interface, &["--family", "both", "--path", "bridge"]));
    let format = format!("{{{{(index .NetworkSettings.Networks \"{}\").GlobalIPv6Address}}}}", network.name);
    assert_eq!(seen(&client, (address, 80)), inspect(&target.network_container(), &format));
    assert_eq!(target.traces(), [""; 0]);
    // And from there to a wire
    assert_eq!(ipv6(&target.expose_all(&interface, &["--family", "both"])), address);
    assert_eq!(seen(&client, (address, 80)), CLIENT6);
    // And to IPv4 only
    assert_eq!(target.expose_all(&interface, &[]).len(), 1);
    assert!(!target.traces().iter().any(|line| line.contains("fd6c:")), "{:?}", target.traces());
}

#[test]
fn the_host_reaches_it_over_ipv6_if_it_is_let() {
    let mut lan = Lan::on_host_with_ipv6();
    let (interface, client) = (lan.host_port(), lan.client6());
    let host = lan.give_host6(&interface, 0x77);
    let at_host = UdpSocket::bind((host, 0)).expect("the host has it");
    let network = Network::with_ipv6();
    for path in ["wire", "bridge", "direct"] {
        let target = Target::run(&["--network", &network.name, WEB]);
        target.wait_until_it_serves();
        let options = ["--family", "both", "--path", path, "-p", "80", "-p", "8080:80"];
        let with = [&options[..], &["--host-access"]].concat();
        let said = target.up(&interface, &with[..]);
        assert!(said.stderr.contains("this host has no IPv4 address on"), "{path}: {}", said.stderr);
        let address = ipv6(&target.expose_all(&interface, &with));
        for port in [80, 8080] {
            let url = format!("http://[{address}]:{port}/");
            let page = run(&["curl", "--silent", "--show-error", "--max-time", "30", &url]);
            // Whom the target sees over a bridge is the network container
            assert!(path == "bridge" || seen_in(&page) == host.to_string(), "{path}: {page}");
        }
        fetch(&client, (address, 80)).expect("the page");
        // But nobody of the LAN gets to the host through it
        assert!(gets_to(&client, &at_host), "{path}");
        client.ip(&format!("route add {host} via {address}"));
        assert!(is_kept_from(&client, &at_host), "{path}");
        client.ip(&format!("route del {host}"));
        // And without it all is as before
        assert_eq!(ipv6(&target.expose_all(&interface, &options)), address);
        assert_eq!(run(&["ip", "-6", "route", "show", &address.to_string()]), "", "{path}");
        target.down();
        assert_eq!(target.traces(), [""; 0], "{path}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_remedy() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let bridge = target.up(&interface, &["--family", "6", "--path", "bridge"]).failed(1);
    assert!(bridge.contains("it has no IPv6 address") && bridge.contains("--path wire"), "{bridge}");
    let host = target.up(&interface, &["--family", "6", "--host-access"]).failed(1);
    assert!(host.contains("the host has no IPv6 address on") && host.contains("--host-access"), "{host}");
    target.up_in_vain(&interface, &["--family", "6"], 3, &["no IPv6 address", "no router answers"]);
    assert!(!target.is_exposed());
    assert_eq!(target.traces(), [""; 0]);
    // While one family is there, that is enough for `any`
    let said = target.up(&interface, &["--family", "any"]).done();
    assert_eq!(said.matches("ip=").count(), 1, "{said}");
}

#[test]
fn a_large_answer_finds_its_way_through_a_narrow_network() {
    let mut lan = Lan::with_ipv6(&DUAL);
    let (target, interface, far) = (Target::web(), lan.host_port(), lan.routed_client6());
    let address = ipv6(&target.expose_all(&interface, &["--family", "both"]));
    // The router drops what is too large and says so; nobody else knows
    lan.router.ip("link set wan0 mtu 1300");
    let mut stream = connect(&far, (address, 80)).expect("an answer");
    stream.write_all(b"GET /300000 HTTP/1.1\r\n\r\n").expect("it reads");
    stream.read_exact(&mut vec![0; 300_000]).expect("all of it");
}
