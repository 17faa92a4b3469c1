//! Paths: whom the target sees, what it sends back where, and what is left in it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddrV4, UdpSocket},
};

use landfall_tests::{
    client::{
        ask, connect, echo, echo_from, fetch, gets_to, is_kept_from, seen, seen_by_udp, seen_in, serve,
    },
    docker::{FORWARDS, IDLE, Network, SERVICES, Target, WEB, address_of, inspect},
    lan::{CLIENT, Lan, ROUTED_CLIENT},
    landfall::landfall,
    netns::Netns,
    run::{run, wait_until},
};

#[test]
fn over_a_wire_the_target_sees_its_clients_and_answers_them() {
    let mut lan = Lan::new();
    let interface = lan.host_port();
    let (network, other) = (Network::new(), Network::new());
    let on_two = Target::run(&[&["--network", &*network.name], &SERVICES[..]].concat());
    run(&["docker", "network", "connect", &other.name, &on_two.name]);
    let targets = [
        ("on the default network", Target::run(&SERVICES)),
        ("on networks of its own", on_two),
        ("on none", Target::run(&[&["--network", "none"], &SERVICES[..]].concat())),
    ];
    let clients = [(lan.client(), CLIENT), (lan.routed_client(), ROUTED_CLIENT)];
    for (what, target) in targets {
        let address = target.expose(&interface, &FORWARDS);
        for (client, its_address) in &clients {
            assert_eq!(seen(client, (address, 80)), *its_address, "{what}");
            assert_eq!(seen_by_udp(client, (address, 53)), *its_address, "{what}");
            assert_eq!(seen_by_udp(client, (address, 54)), *its_address, "{what}, from a connected socket");
        }
        target.down();
        assert_eq!(target.traces(), [""; 0], "{what}");
    }
}

#[test]
fn over_a_bridge_it_sees_the_network_container_and_is_not_touched() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::run(&SERVICES), lan.host_port(), lan.client());
    let options = [&FORWARDS[..], &["--path", "bridge"]].concat();
    let address = target.expose(&interface, &options);
    let its_address = || address_of(&target.network_container());
    for seen in [
        seen(&client, (address, 80)),
        seen_by_udp(&client, (address, 53)),
        seen_by_udp(&client, (address, 54)),
    ] {
        assert_eq!(seen, its_address());
    }
    assert_eq!(target.traces(), [""; 0]);
    // And from one path to the other and back
    assert_eq!(target.expose(&interface, &FORWARDS), address);
    assert_eq!(seen(&client, (address, 80)), CLIENT);
    assert_eq!(target.expose(&interface, &options), address);
    assert_eq!(seen(&client, (address, 80)), its_address());
    assert_eq!(target.traces(), [""; 0]);
}

#[test]
fn a_target_that_begins_from_a_forwarded_port_is_who_it_was() {
    // Such as WireGuard, which dials out from the port that it listens on
    let mut lan = Lan::new();
    let (interface, client) = (lan.host_port(), lan.client());
    let target = Target::run(&[WEB]);
    let address = target.expose(&interface, &["-p", "1053:53/udp"]);
    serve(&client, "--udp 7");
    let inside = target.namespace();
    let peer = SocketAddrV4::new(CLIENT.parse().expect("an address"), 7);
    let said = echo_from(&inside, 53, peer, "who am i").expect("an answer");
    assert_eq!(said, format!("you are {address} port 1053\n"));
}

#[test]
fn what_docker_publishes_goes_on_beside_a_wire() {
    // Given a target that Docker publishes on the host, which has an address on the LAN
    let mut lan = Lan::on_host();
    let (interface, host) = (lan.host_port(), lan.at(2));
    run(&["ip", "addr", "add", &format!("{host}/24"), "dev", &interface]);
    let published = ["-p", &format!("{host}:8080:80"), "-p", &format!("{host}:5353:53/udp")];
    let target = Target::run(&[&published, &SERVICES[..]].concat());
    let neighbour = Target::run(&[IDLE]);
    // When it has an address of its own, too
    let ran = landfall(&[&["up", &target.name, &interface, "-p", "9/sctp"], &FORWARDS[..]].concat());
    assert!(ran.stderr.contains("53/udp is published by Docker, too"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("9/sctp: the kernel's SCTP answers from no address of a wire"),
        "{}",
        ran.stderr
    );
    let address = ran.address();
    // Then both answer everybody
    let near = lan.client();
    fetch(&near, SocketAddrV4::new(host, 8080)).expect("the published port answers");
    echo(&near, SocketAddrV4::new(host, 5353), "hello").expect("the published port answers");
    for client in [near, lan.routed_client()] {
        fetch(&client, SocketAddrV4::new(address, 80)).expect("an answer");
        echo(&client, SocketAddrV4::new(address, 53), "hello").expect("an answer");
        assert_eq!(seen_by_udp(&client, (address, 54)), client_address(&client));
    }
    // And so does the target to its neighbours
    let neighbour = neighbour.namespace();
    for port in [53, 54] {
        echo(&neighbour, SocketAddrV4::new(target.address().parse().expect("an address"), port), "who am i")
            .expect("an answer within the network");
    }
}

fn client_address(client: &Netns) -> String {
    let shown = client.ip("-4 -o addr show dev eth0");
    let (_, rest) = shown.split_once("inet ").expect("an address");
    rest.split('/').next().expect("an address").to_owned()
}

#[test]
fn forwards_change_over_a_wire_without_a_break() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::run(&SERVICES), lan.host_port(), lan.client());
    let address = target.expose(&interface, &["-p", "80"]);
    let mut kept = connect(&client, SocketAddrV4::new(address, 80)).expect("an answer");
    assert!(!target.traces().iter().any(|line| line.contains("sport")));
    assert_eq!(target.expose(&interface, &["-p", "80", "-p", "1053:53/udp"]), address);
    assert_eq!(seen_by_udp(&client, (address, 1053)), CLIENT);
    ask(&mut kept).expect("the connection lives");
    target.expose(&interface, &["-p", "80"]);
    assert!(!target.traces().iter().any(|line| line.contains("udp")), "{:?}", target.traces());
}

#[test]
fn a_target_that_comes_back_gets_its_wire_again() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::run(&SERVICES), lan.host_port(), lan.client());
    let address = target.expose(&interface, &FORWARDS);
    let id = target.network_container_id();
    run(&["docker", "restart", "-t", "1", &target.name]);
    target.wait_until_it_serves();
    assert_eq!(target.traces(), [""; 0]);
    assert_eq!(target.state(), "orphaned");
    assert_eq!(target.expose(&interface, &FORWARDS), address);
    assert_eq!(
        (seen(&client, (address, 80)), seen_by_udp(&client, (address, 53))),
        (CLIENT.into(), CLIENT.into())
    );
    assert_eq!(target.network_container_id(), id, "the lease was given up for it");
    // And one whose wire somebody has cut
    let cut = "ip rule del priority 10; ip link del $(ip -o link | grep -o 'lf[0-9a-f]*')";
    target.inside(&["sh", "-c", cut]);
    assert_eq!(target.expose(&interface, &FORWARDS), address);
    assert_eq!(seen(&client, (address, 80)), CLIENT);
}

#[test]
fn down_leaves_nothing_in_a_target_whose_network_container_has_died() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::run(&SERVICES), lan.host_port());
    let name = target.network_container();
    let deaths = [
        &["docker", "kill", &*name][..],
        &["docker", "rm", "--force", &name],
        &["docker", "pause", &target.name],
    ];
    for death in deaths {
        target.expose(&interface, &FORWARDS);
        assert_ne!(target.traces(), [""; 0]);
        run(death);
        target.down();
        assert_eq!(target.traces(), [""; 0], "after {death:?}");
    }
    run(&["docker", "unpause", &target.name]);
    // The other way round, there is nothing to leave it in
    target.expose(&interface, &FORWARDS);
    run(&["docker", "rm", "--force", &target.name]);
    target.down();
    assert!(!target.is_exposed());
}

#[test]
fn what_is_too_large_for_a_link_on_the_way_finds_out() {
    // Given an uplink of 1400 bytes, and beyond the router a link of 1300
    let mut lan = Lan::with_dnsmasq(&[
        "--dhcp-range=10.99.0.100,10.99.0.200,2m",
        "--no-ping",
        "--dhcp-authoritative",
        "--dhcp-option=26,1400",
    ]);
    let (target, interface) = (Target::run(&SERVICES), lan.host_port());
    let (near, far) = (lan.client(), lan.routed_client());
    lan.router.ip("link set wan0 mtu 1300");
    for path in ["wire", "bridge", "direct"] {
        let address = target.expose(&interface, &["-p", "80", "--accept-mtu", "--path", path]);
        // When the target sends more than fits into one packet
        for (client, who) in [(&near, "on the LAN"), (&far, "beyond the router")] {
            let mut stream = connect(client, SocketAddrV4::new(address, 80)).expect("an answer");
            stream.write_all(b"GET /300000 HTTP/1.1\r\n\r\n").expect("it reads");
            let mut page = vec![0; 300_000];
            // Then all of it arrives
            stream.read_exact(&mut page).unwrap_or_else(|error| panic!("{path}, {who}: {error}"));
        }
    }
}

#[test]
fn a_wire_takes_no_addresses_that_the_target_has() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::run(&SERVICES), lan.host_port(), lan.client());
    target.inside(&["ip", "addr", "add", "169.254.192.1/30", "dev", "lo"]);
    let address = target.expose(&interface, &FORWARDS);
    assert_eq!(seen(&client, (address, 80)), CLIENT);
    assert!(target.traces().iter().any(|line| line.contains("169.254.192.5/30")), "{:?}", target.traces());
    let wire = target.traces();
    assert_eq!((target.expose(&interface, &FORWARDS), target.traces()), (address, wire));
    // And where none are left, a bridge needs none
    target.inside(&["ip", "addr", "add", "169.254.7.7/16", "dev", "lo"]);
    target.down();
    let said = target.up(&interface, &[]).failed(1);
    assert!(said.contains("169.254.192.0/18") && said.contains("--path bridge"), "{said}");
    target.expose(&interface, &[&FORWARDS[..], &["--path", "bridge"]].concat());
}

#[test]
fn the_host_and_its_containers_reach_the_address_if_they_are_let() {
    // Given a host with an address on the LAN, and a target that also leads its neighbours to the host
    let mut lan = Lan::on_host();
    let interface = lan.host_port();
    let said = landfall(&["up", "nobody", &interface, "--host-access"]).failed(1);
    assert!(said.contains("no IPv4 address") && said.contains("--host-access"), "{said}");
    let host = lan.give_host(&interface, 4);
    let (target, neighbour, client) = (Target::run(&SERVICES), Target::run(&[IDLE]), lan.client());
    let address = target.expose(&interface, &[&FORWARDS[..], &["--host-access"]].concat());
    // Then the host, the target itself and its neighbours reach it, and the LAN still does
    let page = |from: &str| {
        let url = format!("http://{address}/");
        run(&["nsenter", from, "curl", "--silent", "--show-error", "--max-time", "30", &url])
    };
    let inside = |name: &str| format!("--net=/proc/{}/ns/net", inspect(name, "{{.State.Pid}}"));
    for from in ["--net=/proc/self/ns/net", &inside(&target.name), &inside(&neighbour.name)] {
        assert_eq!(seen_in(&page(from)), host.to_string(), "from {from}");
    }
    assert_eq!(seen(&client, (address, 80)), lan.at(10).to_string());
    // But nobody of the LAN gets to the host through it
    let at_host = UdpSocket::bind((host, 0)).expect("the host has it");
    assert!(gets_to(&client, &at_host));
    client.ip(&format!("route add {host} via {address}"));
    assert!(is_kept_from(&client, &at_host));
    client.ip(&format!("route del {host}"));
    // Nobody but the parent answers for the host's own address
    let mac = |of: &str| {
        let shown = run(&["ip", "-o", "link", "show", of]);
        let (_, mac) = shown.split_once("link/ether ").expect("it has one");
        mac.split(' ').next().expect("a word").to_owned()
    };
    wait_until("the parent answers", || {
        drop(client.command("ping").args(["-q", "-c", "1", "-W", "1", &host.to_string()]).output());
        client.ip(&format!("neigh show {host}")).contains("lladdr")
    });
    assert!(client.ip(&format!("neigh show {host}")).contains(&mac(&interface)));
    let companion = || {
        let route = run(&["ip", "route", "show", &address.to_string()]);
        let name = route.split_whitespace().find(|word| word.starts_with("lh"))?.to_owned();
        Some(name)
    };
    // Its MAC address is one that was set, which udev leaves alone
    let name = companion().expect("it is there");
    let kind = format!("mount -t sysfs sysfs /sys; cat /sys/class/net/{name}/addr_assign_type");
    assert_eq!(run(&["unshare", "--mount", "sh", "-c", &kind]).trim(), "3");
    // What is as it should be stays
    let index = || run(&["ip", "-o", "link", "show", &name]).split(':').next().map(str::to_owned);
    let before = index();
    let with = [&FORWARDS[..], &["--host-access"]].concat();
    target.expose(&interface, &with);
    assert_eq!(index(), before);
    // The next `up` follows the host to another address
    run(&["ip", "addr", "del", &format!("{host}/24"), "dev", &interface]);
    let other = lan.give_host(&interface, 5);
    target.expose(&interface, &with);
    assert_eq!(seen_in(&page("--net=/proc/self/ns/net")), other.to_string());
    assert!(!run(&["ip", "-4", "-o", "addr"]).contains(&format!("{host}/")));
    // And without it all is as before
    target.expose(&interface, &FORWARDS);
    assert_eq!(companion(), None);
    target.expose(&interface, &with);
    target.down();
    assert_eq!(companion(), None);
}
