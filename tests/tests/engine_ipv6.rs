//! IPv6 of a whole host, beside an engine in a network namespace of its own.

use landfall_tests::{
    client::seen_in,
    docker::{IDLE, Network, Target, WEB, inspect},
    lan::Lan,
    landfall::landfall,
    lock::Lock,
    run::run,
};

#[test]
fn containers_get_to_an_address_of_ipv6_where_they_are_masqueraded() {
    let _engine = Lock::of("engine");
    let network = Network::with_ipv6();
    let subnet = network.subnet6();
    // Given a host that does for its containers of IPv6 what Docker does from version 27 on
    run(&["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]);
    let elsewhere = ["!", "-d", &subnet, "-j", "MASQUERADE"];
    run(&[&["ip6tables", "-w", "-t", "nat", "-A", "POSTROUTING", "-s", &subnet], &elsewhere[..]].concat());
    let mut lan = Lan::on_host_with_ipv6();
    let interface = lan.host_port();
    let host = lan.give_host6(&interface, 0x78);
    let on_network = |image: &str| Target::run(&["--network", &network.name, image]);
    let (target, neighbour) = (on_network(WEB), on_network(IDLE));
    target.wait_until_it_serves();
    let address = landfall(&["up", "-q", &target.name, &interface, "--family", "6", "--host-access"]).done();
    // Then the target itself reaches it, and its neighbour does
    for from in [&target, &neighbour] {
        let inside = format!("--net=/proc/{}/ns/net", inspect(&from.name, "{{.State.Pid}}"));
        let url = format!("http://[{}]/", address.trim());
        let page = run(&["nsenter", &inside, "curl", "--silent", "--show-error", "--max-time", "30", &url]);
        assert_eq!(seen_in(&page), host.to_string(), "from {}", from.name);
    }
}
