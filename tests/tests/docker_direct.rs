//! The direct path: the target is a machine of the LAN, and stays what it was on its own networks.

use std::net::{Ipv4Addr, SocketAddrV4};

use landfall_tests::{
    client::{connect, echo, fetch, is_closed, seen, seen_by_udp, seen_in, serve},
    docker::{FORWARDS, IDLE, Network, SERVICES, Target, inspect},
    lan::{CLIENT, Lan, ROUTED_CLIENT},
    landfall::landfall,
    run::{output, run, wait_until},
};

#[test]
fn the_target_is_a_machine_of_the_lan() {
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
        let routes = || target.inside(&["ip", "-4", "route", "show", "default"]);
        let before = routes();
        let address = target.expose_over("direct", &interface, &FORWARDS);
        // It sees who asks, on the LAN and beyond its router, and answers from the address that was asked
        for (client, its_address) in &clients {
            assert_eq!(seen(client, (address, 80)), *its_address, "{what}");
            assert_eq!(seen_by_udp(client, (address, 53)), *its_address, "{what}");
            assert_eq!(seen_by_udp(client, (address, 54)), *its_address, "{what}, from a connected socket");
            client.run(&["ping", "-q", "-c", "1", "-W", "20", &address.to_string()]);
        }
        // Its own way out stays, or is the LAN's if it had none
        let by_the_lan = format!("default via 10.99.0.1 dev {}", uplink(&target));
        assert!(
            if before.is_empty() { routes().contains(&by_the_lan) } else { routes() == before },
            "{what}"
        );
        if before.is_empty() {
            target.inside(&["ping", "-q", "-c", "1", "-W", "20", ROUTED_CLIENT]);
        }
        target.down();
        assert_eq!((target.traces(), routes()), (Vec::new(), before), "{what}");
    }
}

/// What the uplink in a target is called.
fn uplink(target: &Target) -> String {
    let links = target.inside(&["ip", "-o", "link", "show", "type", "macvlan"]);
    let (_, name) = links.split_once(": ").expect("it is there");
    name.split('@').next().expect("a word").to_owned()
}

#[test]
fn nothing_changes_on_the_targets_own_networks() {
    // Given a target that Docker publishes on the host, and a neighbour
    let mut lan = Lan::on_host();
    let interface = lan.host_port();
    let host = lan.give_host(&interface, 3);
    let published = ["-p", &format!("{host}:8080:80"), "-p", &format!("{host}:5353:53/udp")];
    let target = Target::run(&[&published, &SERVICES[..]].concat());
    let neighbour = Target::run(&[IDLE]);
    let neighbour = neighbour.namespace();
    let its_address = lan.at(10);
    run(&["ip", "route", "add", &its_address.to_string(), "dev", &interface]);
    // When it has an address on the LAN, too
    let said = landfall(&[&["up", &target.name, &interface, "--path", "direct"], &FORWARDS[..]].concat());
    assert!(said.stderr.contains("53/udp is published by Docker, too"), "{}", said.stderr);
    let address = said.address();
    // Then both get their answers as before, from the LAN as well
    let client = lan.client();
    echo(&client, SocketAddrV4::new(host, 5353), "hello").expect("the published port answers");
    fetch(&client, SocketAddrV4::new(host, 8080)).expect("the published port answers");
    let inner: Ipv4Addr = target.address().parse().expect("an address");
    fetch(&neighbour, SocketAddrV4::new(inner, 80)).expect("an answer within the network");
    for port in [53, 54] {
        echo(&neighbour, SocketAddrV4::new(inner, port), "hello").expect("an answer within the network");
    }
    for seen in [seen(&client, (address, 80)), seen_by_udp(&client, (address, 54))] {
        assert_eq!(seen, its_address.to_string());
    }
    // The target reaches the host as it did
    target.inside(&["ping", "-q", "-c", "1", "-W", "20", &host.to_string()]);
    // What it begins to a machine of the LAN comes from its address there
    serve(&client, "--udp 7");
    let inside = target.namespace();
    let peer = SocketAddrV4::new(its_address, 7);
    assert_eq!(seen_in(&echo(&inside, peer, "who am i").expect("an answer")), address.to_string());
    // The LAN gets to no other address of the target's, neither by asking for it nor by taking the target for a router
    for way in ["dev eth0".to_owned(), format!("via {address}")] {
        client.ip(&format!("route replace {inner} {way}"));
        assert!(is_closed(&client, (inner, 80)), "the LAN reaches {inner} {way}");
    }
    // And nothing is translated, nor any connection tracked for it, nor is anything missed by who counts
    assert_eq!(target.inside(&["nft", "list", "tables"]), "");
    let stats = landfall(&["stats", &target.name]);
    assert_eq!((&*stats.stderr, stats.stdout.contains(&address.to_string())), ("", true));
}

#[test]
fn the_lan_does_not_get_to_a_network_that_has_no_way_out() {
    let mut lan = Lan::new();
    let interface = lan.host_port();
    let target = Target::run(&[&["--network", "none"], &SERVICES[..]].concat());
    let address = target.expose_over("direct", &interface, &FORWARDS);
    // Given a target with another network, and no default route that is not the LAN's
    target.inside(&["sh", "-c", "ip link add in0 type veth peer name in1; ip addr add 172.31.9.9/24 dev in0; ip link set in0 up; ip link set in1 up"]);
    target.expose_over("direct", &interface, &["-p", "80", "--hostname", "again"]);
    let client = lan.client();
    client.ip(&format!("route add 172.31.9.9 via {address}"));
    assert!(is_closed(&client, (Ipv4Addr::new(172, 31, 9, 9), 80)), "the LAN gets in");
}

#[test]
fn an_up_that_fails_gives_the_lease_back() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::run(&SERVICES), lan.host_port());
    // Given a LAN without a router of IPv6, which it waits for when it has an address
    let options = ["--path", "direct", "--family", "both"];
    target.up_in_vain(&interface, &options, 3, &["no IPv6 address", "no router answers"]);
    lan.expect_log("DHCPRELEASE");
    assert_eq!(target.traces(), [""; 0]);
}

#[test]
fn ports_that_change_and_ports_for_some() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::run(&SERVICES), lan.host_port());
    let (near, far) = (lan.client(), lan.routed_client());
    let options = ["-p", "80,limit=3/hour", "-p", "8080:80,from=10.98.0.0/24", "-p", "1053:53/udp"];
    let address = target.expose_over("direct", &interface, &options);
    assert_eq!(seen(&far, (address, 8080)), ROUTED_CLIENT);
    assert!(is_closed(&near, (address, 8080)));
    for client in [&near, &far] {
        echo(client, (address, 1053), "hello").expect("an answer");
    }
    connect(&near, (address, 80)).expect("one an hour at least");
    let closed: Vec<bool> = (1..5).map(|_| is_closed(&near, (address, 80))).collect();
    assert_eq!(closed[2..], [true, true], "three an hour");
    // When that changes, it is the same agent
    let before = target.network_container_id();
    assert_eq!(
        target.expose_over("direct", &interface, &["-p", "80", "-p", "8080:80,from=10.99.0.0/24"]),
        address
    );
    assert_eq!((target.network_container_id(), seen(&near, (address, 8080))), (before, CLIENT.to_owned()));
    assert!(is_closed(&far, (address, 8080)) && connect(&near, (address, 80)).is_ok());
    // And from one path to the other and back it is the same address
    assert_eq!(target.expose(&interface, &["-p", "80"]), address);
    assert_eq!(seen(&far, (address, 80)), ROUTED_CLIENT);
    assert_eq!(target.expose_over("direct", &interface, &["-p", "80"]), address);
    assert_eq!(seen(&far, (address, 80)), ROUTED_CLIENT);
    target.down();
    assert_eq!(target.traces(), [""; 0]);
    assert_eq!(target.inside(&["nft", "list", "tables"]), "");
}

#[test]
fn a_target_that_comes_back_has_its_address_again() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::run(&SERVICES), lan.host_port(), lan.client());
    let address = target.expose_over("direct", &interface, &FORWARDS);
    run(&["docker", "restart", "-t", "1", &target.name]);
    target.wait_until_it_serves();
    assert_eq!(target.state(), "orphaned");
    let said = landfall(&[&["up", &target.name, &interface, "--path", "direct"], &FORWARDS[..]].concat());
    assert!(said.stderr.contains("left behind"), "{}", said.stderr);
    assert_eq!(said.address(), address);
    assert_eq!(seen(&client, (address, 80)), CLIENT);
    // It was not given back meanwhile
    let log = run(&["docker", "logs", &target.network_container()]);
    assert!(!log.contains("searching"), "{log}");
}

#[test]
fn whatever_dies_first_nothing_is_left() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::run(&SERVICES), lan.host_port(), lan.client());
    let name = target.network_container();
    let deaths = [
        &["docker", "kill", &*name][..],
        &["docker", "rm", "--force", &name],
        &["docker", "stop", &name],
        &["docker", "pause", &target.name],
    ];
    let mut address = target.expose_over("direct", &interface, &FORWARDS);
    for death in deaths {
        run(death);
        output(&["docker", "unpause", &target.name]);
        // Either the next `up` repairs it
        address = target.expose_over("direct", &interface, &FORWARDS);
        assert_eq!(seen(&client, (address, 80)), CLIENT, "after {death:?}");
        run(death);
        // Or `down` takes it away
        target.down();
        assert_eq!(target.traces(), [""; 0], "after {death:?}");
        output(&["docker", "unpause", &target.name]);
        address = target.expose_over("direct", &interface, &FORWARDS);
    }
    // The other way round, there is nothing to leave it in; Podman wants the network container to go first
    let remove = ["docker", "rm", "--force", &target.name];
    let refused = output(&remove);
    assert!(
        refused.status.success() || String::from_utf8_lossy(&refused.stderr).contains("dependent containers")
    );
    target.down();
    assert!(!target.is_exposed());
    wait_until("the address is gone", || is_closed(&client, (address, 80)));
}

#[test]
fn a_target_that_exposes_nothing_has_an_address_all_the_same() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::run(&[IDLE]), lan.host_port());
    let address = target.expose_over("direct", &interface, &[]);
    lan.client().run(&["ping", "-q", "-c", "1", "-W", "20", &address.to_string()]);
    // Its agent has the two capabilities, and CAP_NET_BIND_SERVICE (bit 10), for what is the target's stays as it is
    let pid = inspect(&target.network_container(), "{{.State.Pid}}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    for line in ["CapEff:\t0000000000003400", "CapBnd:\t0000000000003400", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{status}");
    }
}

#[test]
fn the_host_reaches_it_if_it_is_let() {
    let mut lan = Lan::on_host();
    let (target, interface) = (Target::run(&SERVICES), lan.host_port());
    let host = lan.give_host(&interface, 7);
    let for_some = format!("81:80,from={}", lan.at(10));
    let address = target.expose_over(
        "direct",
        &interface,
        &["-p", "80", "-p", "8080:80", "-p", &for_some, "--host-access"],
    );
    let url = |port: u16| format!("http://{address}:{port}/");
    for port in [80, 8080] {
        let page = run(&["curl", "--silent", "--show-error", "--max-time", "30", &url(port)]);
        assert_eq!(seen_in(&page), host.to_string());
    }
    // Whom the host is not among, it does not pass for
    assert!(!output(&["curl", "--silent", "--max-time", "2", &url(81)]).status.success());
    fetch(&lan.client(), (address, 81)).expect("the page");
    // And then it is the LAN's alone again
    target.expose_over("direct", &interface, &["-p", "80"]);
    assert_eq!(run(&["ip", "route", "show", &address.to_string()]), "");
    target.down();
    assert_eq!(target.traces(), [""; 0]);
}
