//! IPv6 of a whole host, beside an engine in a network namespace of its own.

use landfall_tests::{
    client::seen_in,
    docker::{IDLE, Network, Target, WEB, inspect},
    lan::Lan,
    landfall::landfall,
    run::run,
};

#[test]
fn containers_get_to_an_address_of_ipv6_where_they_are_masqueraded() {
    const HOST: &str = "2001:db8:99::78";
    const SUBNET: &str = "fd00:5ca1:ab21::/64";
    // Given a host that does for its containers of IPv6 what Docker does from version 27 on
    run(&["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]);
    let elsewhere = ["!", "-d", SUBNET, "-j", "MASQUERADE"];
    run(&[&["ip6tables", "-w", "-t", "nat", "-A", "POSTROUTING", "-s", SUBNET], &elsewhere[..]].concat());
    let mut lan = Lan::with_ipv6(&["--enable-ra", "--dhcp-range=2001:db8:99::,ra-only,64,10m"]);
    let interface = lan.host_port();
    for setting in ["accept_ra", "disable_ipv6"] {
        run(&["sysctl", "-qw", &format!("net.ipv6.conf.{interface}.{setting}=0")]);
    }
    run(&["ip", "addr", "add", &format!("{HOST}/64"), "dev", &interface, "nodad", "noprefixroute"]);
    let network = Network::with_ipv6(SUBNET);
    let on_network = |image: &str| Target::run(&["--network", &network.name, image]);
    let (target, neighbour) = (on_network(WEB), on_network(IDLE));
    target.wait_until_it_serves();
    let address = landfall(&["up", "-q", &target.name, &interface, "--family", "6", "--host-access"]).done();
    // Then the target itself reaches it, and its neighbour does
    for from in [&target, &neighbour] {
        let inside = format!("--net=/proc/{}/ns/net", inspect(&from.name, "{{.State.Pid}}"));
        let url = format!("http://[{}]/", address.trim());
        let page = run(&["nsenter", &inside, "curl", "--silent", "--show-error", "--max-time", "5", &url]);
        assert_eq!(seen_in(&page), HOST, "from {}", from.name);
    }
    // Other tests of this engine want one that never saw the image
    let image = inspect(&target.network_container(), "{{.Image}}");
    target.down();
    run(&["docker", "image", "rm", "--force", &image]);
}
