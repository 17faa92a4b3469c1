//! What is asked for is forwarded, and nothing else.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
};

use landfall_api::Event;
use landfall_tests::{
    agent::{Agent, Scene, TARGET, address, forward, spec},
    client::{ask, connect, echo, echo_from, fetch, is_closed, is_cut, is_silent, is_silent_to, serve},
    lan::{CLIENT, Lan, ROUTER},
    netns::Netns,
    run::wait_until,
};

fn several() -> String {
    [
        forward("tcp", "80", TARGET),
        forward("tcp", "8080", &format!("{TARGET}:81")),
        forward("tcp", "9000-9002", &format!("{TARGET}:7000-7002")),
        forward("tcp", "6000-6001", TARGET),
        forward("udp", "53", &format!("{TARGET}:5353")),
        forward("sctp", "80", TARGET),
    ]
    .concat()
}

const SERVICES: &str = "--tcp 80 --tcp 81 --tcp 7000 --tcp 7002 --tcp 6001 --tcp 22 --udp 5353 --udp 5354";

#[test]
fn every_kind_of_forward_answers_on_the_lan_and_beyond_its_router() {
    let scene = Scene::new(&several(), SERVICES);
    for client in [scene.lan.client(), scene.lan.routed_client()] {
        for (public, private) in [(80, 80), (8080, 81), (9000, 7000), (9002, 7002), (6001, 6001)] {
            let page = fetch(&client, scene.port(public)).unwrap_or_else(|error| panic!("{public}: {error}"));
            assert!(page.contains("hello from"), "{page}");
            assert!(
                page.contains("you are 172.30.0.1 "),
                "{public} leads to {private} without masquerade: {page}"
            );
        }
        assert_eq!(echo(&client, scene.port(53), "question").expect("an answer"), "question");
    }
}

#[test]
fn what_the_lan_says_to_everybody_costs_no_tracked_connection() {
    let scene = Scene::new(&several(), SERVICES);
    let client = scene.lan.client();
    let counted = || -> u32 {
        let ruleset = scene.ruleset();
        let rule = ruleset.lines().find(|line| line.contains("meta pkttype != host")).expect("the rule");
        let counter = rule.split("counter packets ").nth(1).expect("a counter");
        counter.split(' ').next().and_then(|packets| packets.parse().ok()).expect("a number")
    };
    let before = counted();
    let socket = client.within(|| UdpSocket::bind("0.0.0.0:0")).expect("a socket");
    socket.set_broadcast(true).expect("it may");
    for everybody in ["10.99.0.255:53", "255.255.255.255:53", "224.0.0.251:53"] {
        socket.send_to(b"question", everybody).expect("it is sent");
    }
    wait_until("they are counted", || counted() >= before + 3);
    // And that chain comes before the kernel tracks connections.
    assert!(scene.ruleset().contains("hook prerouting priority raw"), "{}", scene.ruleset());
}

#[test]
fn nothing_is_forwarded_before_there_are_rules() {
    // Given more forwards than a server takes time for its answers, and no check of the address that would take longer
    let lan = Lan::new();
    let mut agent = Agent::new();
    lan.plug(&agent.namespace, "lan0");
    let forwards: String = (1..5000).map(|port| forward("tcp", &(2 * port).to_string(), TARGET)).collect();
    agent.tell(&spec(&forwards).replace("dhcp: {", "dhcp: {conflict_detection: off, "));
    let forwards = || agent.namespace.run(&["sysctl", "-n", "net.ipv4.conf.lan0.forwarding"]);
    // When it has an address
    wait_until("an address", || agent.namespace.ip("-4 -o addr show dev lan0").contains("10.99.0."));
    // Then the kernel forwards nothing that comes from there, unless there are rules
    let is_closed = forwards().trim() == "0";
    assert!(is_closed || agent.namespace.run(&["nft", "list", "tables"]).contains("inet landfall"));
    // And once there are, it does.
    agent.ready();
    wait_until("forwarding", || forwards().trim() == "1");
}

#[test]
fn who_goes_on_speaking_is_led_where_the_forward_leads_now() {
    // Given a client that speaks from one port, where nobody answers, and another one that has a connection
    let forwards = |udp: u16, tcp: u16| {
        let to = |port: u16| format!("{TARGET}:{port}");
        [forward("udp", "53", &to(udp)), forward("tcp", "80", &to(tcp))].concat()
    };
    let mut scene = Scene::new(&forwards(5355, 7000), SERVICES);
    let client = scene.lan.client();
    let question = |scene: &Scene| echo_from(&client, 40_000, scene.port(53), "question");
    let mut stream = connect(&client, scene.port(80)).expect("an open port");
    assert!(is_silent_to(&client, 40_000, scene.port(53)));
    assert!(ask(&mut stream).is_ok());
    // When the forwards lead elsewhere
    scene.agent.tell(&spec(&forwards(5353, 7002)));
    scene.agent.forwarding();
    // Then the first is answered, and the other knows at once that its connection is no more
    assert_eq!(question(&scene).expect("an answer"), "question");
    let error = ask(&mut stream).expect_err("nobody there has that connection");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn what_was_not_asked_for_is_dropped() {
    let scene = Scene::new(&several(), SERVICES);
    let client = scene.lan.client();
    // Another port of the target, and the agent's own
    for port in [22, 81, 7000, 7001, 5353, 68] {
        assert!(is_closed(&client, scene.port(port)), "port {port} is open");
    }
    assert!(is_silent(&client, scene.port(5353)));
    // A machine of the LAN that takes the agent for a router into the inner network
    client.ip(&format!("route add 172.30.0.0/24 via {}", scene.address));
    let inside: SocketAddrV4 = format!("{TARGET}:80").parse().expect("an address");
    assert!(is_closed(&client, inside), "the inner network can be reached around the forwards");
    // The inner side, which is not trusted either
    let outside: SocketAddrV4 = format!("{ROUTER}:80").parse().expect("an address");
    serve(&scene.lan.router, "--tcp 80");
    assert!(is_closed(&scene.target, outside), "the inner network gets out");
    assert!(is_closed(&scene.target, "172.30.0.1:80".parse::<SocketAddrV4>().expect("an address")));
    // It is dropped, and still the forwards answer
    assert!(fetch(&client, scene.port(80)).is_ok());
}

#[test]
fn a_target_that_sees_its_clients_may_send_from_the_ports_of_its_datagrams_and_no_others() {
    // Given forwards without masquerade
    let forwards = [forward("tcp", "80", TARGET), forward("udp", "1053", &format!("{TARGET}:53"))].concat();
    let scene = Scene::new(&forwards.replace('}', ", masquerade: false}"), "--tcp 80");
    let client = scene.lan.client();
    let page = fetch(&client, scene.port(80)).expect("an answer");
    assert!(page.contains(&format!("you are {CLIENT} ")), "{page}");
    // When the target begins
    serve(&client, "--udp 7 --tcp 8");
    let peer: Ipv4Addr = CLIENT.parse().expect("an address");
    let ask = |port| echo_from(&scene.target, port, SocketAddrV4::new(peer, 7), "who am i");
    // Then it gets its answer, as whom its peer knows it
    assert_eq!(ask(53).expect("an answer"), format!("you are {} port 1053\n", scene.address));
    // And nothing else gets out, or in, not even where its peer would know the way back
    client.ip(&format!("route add 172.30.0.0/24 via {}", scene.address));
    let heard = || client.run(&["sh", "-c", "grep ^Udp: /proc/net/snmp | tail -1 | cut -d' ' -f2"]);
    let before = heard();
    assert!(is_silent_to(&scene.target, 54, SocketAddrV4::new(peer, 7)));
    assert_eq!(heard(), before, "the datagram got out");
    assert!(is_closed(&scene.target, SocketAddrV4::new(peer, 8)));
    serve(&scene.target, "--udp 53");
    let inside: SocketAddrV4 = format!("{TARGET}:53").parse().expect("an address");
    assert!(is_silent(&client, inside), "the inner network can be reached around the forwards");
    assert_eq!(echo(&client, scene.port(1053), "question").expect("an answer"), "question");
}

#[test]
fn it_answers_to_ping() {
    let scene = Scene::new(&several(), SERVICES);
    scene.lan.client().run(&["ping", "-q", "-c", "1", "-W", "30", &scene.address.to_string()]);
}

#[test]
fn every_forward_counts() {
    let scene = Scene::new(&several(), SERVICES);
    let client = scene.lan.client();
    fetch(&client, scene.port(80)).expect("a page");
    let set = scene.agent.namespace.run(&["nft", "list", "set", "inet", "landfall", "tcp_forward"]);
    assert!(set.contains(" 80 counter packets ") && !set.contains(" 80 counter packets 0 "), "{set}");
    assert!(set.contains("6000-6001 counter packets 0 bytes 0"), "{set}");
}

#[test]
fn sctp_is_forwarded_by_rules_of_its_own() {
    let scene = Scene::new(&several(), SERVICES);
    let ruleset = scene.ruleset();
    for part in ["map sctp_address", "80 : 172.30.0.2", "sctp dport map @sctp_address"] {
        assert!(ruleset.contains(part), "{part} is missing: {ruleset}");
    }
}

#[test]
fn a_replacement_spares_the_connections_that_it_does_not_touch() {
    // Given connections through two forwards
    let mut scene = Scene::new(&several(), SERVICES);
    let client = scene.lan.client();
    let mut kept = connect(&client, scene.port(80)).expect("a connection");
    let mut cut = connect(&client, scene.port(8080)).expect("a connection");
    ask(&mut kept).expect("a page");
    ask(&mut cut).expect("a page");
    // When one of them is taken away, and another comes
    scene.agent.tell(&spec(
        &[forward("tcp", "80", TARGET), forward("tcp", "8081", &format!("{TARGET}:81"))].concat(),
    ));
    scene.agent.forwarding();
    // Then the one goes on, the other ends, and the new one answers
    ask(&mut kept).expect("the connection lives");
    assert!(is_cut(&mut cut), "the connection outlived its forward");
    assert!(is_closed(&client, scene.port(8080)));
    assert!(fetch(&client, scene.port(8081)).is_ok());
}

#[test]
fn of_many_replacements_the_last_one_wins() {
    let mut scene = Scene::new(&several(), SERVICES);
    let client = scene.lan.client();
    let mut kept = connect(&client, scene.port(80)).expect("a connection");
    for i in 0..200 {
        scene.agent.tell(&spec(
            &[forward("tcp", "80", TARGET), forward("tcp", &(10_000 + i).to_string(), TARGET)].concat(),
        ));
    }
    scene.agent.tell(&spec(
        &[forward("tcp", "80", TARGET), forward("tcp", "8081", &format!("{TARGET}:81"))].concat(),
    ));
    scene.agent.expect("the last one", |event| match event {
        Event::Forwarding { forward } => (forward[1].port().first() == 8081).then_some(()),
        _ => None,
    });
    assert!(fetch(&client, scene.port(8081)).is_ok());
    ask(&mut kept).expect("the connection lives");
    assert!(!scene.ruleset().contains("10199"));
}

#[test]
fn a_change_of_the_forwards_changes_no_more_than_they_do() {
    // Given the table, the chains and the maps that forwards have made
    let forwards = |tcp: &str| [forward("tcp", tcp, TARGET), forward("udp", "53", TARGET)].concat();
    let mut scene = Scene::new(&forwards("80"), SERVICES);
    let handles = |scene: &Scene| -> Vec<String> {
        let ruleset = scene.agent.namespace.run(&["nft", "-a", "list", "table", "inet", "landfall"]);
        // A new table numbers its chains like an old one
        let kept = ["table ", "chain ", "map udp_"];
        let is_kept = |line: &&str| kept.iter().any(|begin| line.trim_start().starts_with(begin));
        ruleset.lines().filter(is_kept).map(str::to_owned).collect()
    };
    let before = handles(&scene);
    assert_eq!(before.len(), 10, "{before:?}");
    // When a forward of the other protocol is replaced
    scene.agent.tell(&spec(&forwards("6001")));
    scene.agent.forwarding();
    // Then they are the same: a packet that is between two of them meets no gap
    assert_eq!(handles(&scene), before);
    let client = scene.lan.client();
    assert!(fetch(&client, scene.port(6001)).is_ok());
    assert!(is_closed(&client, scene.port(80)));
    // And when somebody has taken the table away, it is made again
    scene.agent.namespace.run(&["nft", "delete", "table", "inet", "landfall"]);
    scene.agent.tell(&spec(&forwards("7002")));
    scene.agent.forwarding();
    assert!(fetch(&client, scene.port(7002)).is_ok());
    assert_eq!(handles(&scene).len(), 10);
}

#[test]
fn where_the_kernel_has_no_short_cut_packets_go_the_long_way() {
    let lan = Lan::new();
    let mut agent = Agent::new();
    lan.plug(&agent.namespace, "lan0");
    let has_flowtables = {
        let other = Netns::new();
        other.ip("link add name wire0 type veth peer name wire1");
        other.run(&["nft", "add table inet t"]);
        let flowtable = "add flowtable inet t f { hook ingress priority 0; devices = { wire0, wire1 }; }";
        other.command("nft").arg(flowtable).output().is_ok_and(|done| done.status.success())
    };
    let target = agent.target();
    agent.tell(&spec(&forward("tcp", "80", TARGET)).replacen("interface:", "offload: true\ninterface:", 1));
    // Then they take it from the first on where there is one, and where there is none that is said
    if !has_flowtables {
        let said = agent.expect("a warning", |event| match event {
            Event::Warning { message } => Some(message),
            Event::Forwarding { .. } => panic!("nobody knows yet that there is no short cut"),
            _ => None,
        });
        assert!(said.starts_with("packets take no short cut here: "), "{said}");
    }
    let address = address(&agent.ready());
    serve(&target, "--tcp 80");
    assert!(fetch(&lan.client(), SocketAddrV4::new(address, 80)).is_ok());
    let ruleset = agent.namespace.run(&["nft", "list", "ruleset"]);
    assert_eq!(ruleset.contains("flowtable short_cut"), has_flowtables, "{ruleset}");
}
