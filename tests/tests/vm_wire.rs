//! Three machines on one LAN: two hosts, and a third that is their router and DHCP server.

use std::{net::SocketAddrV4, thread};

use landfall_tests::{
    client::fetch,
    lan::Lan,
    netns::Netns,
    run::wait_until,
    vm::{machine::Machine, release::Release},
};

/// Two hosts and their router.
struct Wire {
    hosts: [Machine; 2],
    router: Machine,
    /// A machine on the LAN and one beyond the router.
    clients: [Netns; 2],
    _lan: Lan,
}

impl Wire {
    fn new() -> Self {
        let lan = Lan::bare();
        let release = Release::of_this_run();
        lan.router.ip("link add br1 type bridge");
        lan.router.ip("link set br1 up");
        let (router, first, second) = thread::scope(|scope| {
            let router = scope.spawn(|| Machine::boot("router", release, &lan, &["br0", "br1"]));
            let first = scope.spawn(|| Machine::boot("first", release, &lan, &["br0"]));
            let second = scope.spawn(|| Machine::boot("second", release, &lan, &["br0"]));
            let joined = |result: thread::Result<Machine>| {
                result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            (joined(router.join()), joined(first.join()), joined(second.join()))
        });
        let clients = [lan.client(), lan.client_beyond("br1")];
        let mut wire = Self { hosts: [first, second], router, clients, _lan: lan };
        wire.start_router();
        for host in &mut wire.hosts {
            host.load_web();
        }
        wire
    }

    /// Addresses, forwarding and a DHCP server. Docker would drop what is forwarded.
    fn start_router(&mut self) {
        let setup = "systemctl stop docker.socket docker && nft flush ruleset && sysctl -qw net.ipv4.ip_forward=1 && \
            printf '[Match]\\nName=eth0\\n[Network]\\nAddress=10.99.0.1/24\\n' >/etc/systemd/network/lan.network && \
            printf '[Match]\\nName=eth1\\n[Network]\\nAddress=10.98.0.1/24\\n' >/etc/systemd/network/wan.network && \
            networkctl reload && networkctl reconfigure eth0 eth1 && \
            until ip -4 addr show dev eth0 | grep -q 10.99.0.1; do sleep 0.1; done && \
            systemd-run --quiet --unit=dhcp dnsmasq --keep-in-foreground --port=0 --interface=eth0 --bind-interfaces \
            --conf-file=/dev/null --dhcp-authoritative --log-dhcp --dhcp-range=10.99.0.100,10.99.0.200,2m \
            --dhcp-leasefile=/run/leases";
        self.router.run(&["sh", "-c", setup]);
        self.router.wait_until("the DHCP server listens", "ss -Hlun sport = :67 | grep -q .");
    }

    fn expect_page(&self, address: &str) {
        let to = SocketAddrV4::new(address.parse().expect("an address"), 80);
        for client in &self.clients {
            wait_until(&format!("the page at {address}"), || fetch(client, to).is_ok());
        }
    }
}

fn up(host: &mut Machine, arguments: &[&str]) -> String {
    host.landfall(&[&["up", "-q", "web", "eth0"], arguments].concat()).done().trim().to_owned()
}

#[test]
fn two_hosts_and_a_router_on_one_wire() {
    let mut wire = Wire::new();
    // Given a target of the same name on both hosts
    for host in &mut wire.hosts {
        host.run(&["docker", "run", "-d", "--name", "web", "landfall-test-web"]);
    }
    // When both ask for the same address
    let wanted = "10.99.0.150";
    let [first, second] = wire.hosts.each_mut().map(|host| up(host, &["--request", wanted]));
    // Then one has it, the other one has another, and both are reached from the LAN and from beyond the router
    assert_eq!(first, wanted);
    assert_ne!(second, wanted);
    for address in [&first, &second] {
        wire.expect_page(address);
        let leases = wire.router.run(&["cat", "/run/leases"]);
        assert!(leases.contains(address.as_str()), "{leases}");
    }
    // And when both ask at the same time for what the other one has, nobody gets what somebody has
    let again: Vec<String> = thread::scope(|scope| {
        let tasks = wire.hosts.each_mut().map(|host| scope.spawn(|| up(host, &["--request", "10.99.0.160"])));
        tasks.map(|task| task.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).into()
    });
    assert_ne!(again[0], again[1]);
    for address in &again {
        wire.expect_page(address);
    }
    for host in &mut wire.hosts {
        host.landfall(&["down", "--all"]).done();
    }
    // And the leases are given back, but for the hosts' own
    wire.router.wait_until(
        "the leases are released",
        "! grep -q landfall /run/leases && ! grep -q ' web ' /run/leases",
    );
}
