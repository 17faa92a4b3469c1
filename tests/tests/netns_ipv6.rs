//! The agent gets IPv6 addresses as routers and DHCPv6 servers have them, and forwards what comes to them.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

use std::{
    fs,
    net::{Ipv6Addr, SocketAddr},
    process::Stdio,
};

use landfall_api::{Event, Ipv6, MacAddr, Origin};
use landfall_tests::{
    agent::{Agent, TARGET, TARGET6, forward6, spec_for},
    client::{echo, fetch, is_closed, serve},
    lan::{CLIENT, Lan, ROUTED_CLIENT6},
    netns::Netns,
    run::{run, wait_until},
};
use nix::sys::signal::Signal;

/// A router announces a prefix, by dnsmasq for half an hour at least.
const SLAAC: [&str; 2] = ["--enable-ra", "--dhcp-range=2001:db8:99::,ra-only,64,2m"];
/// A server gives addresses for two minutes.
const STATEFUL: [&str; 2] = ["--enable-ra", "--dhcp-range=2001:db8:99::1000,2001:db8:99::1fff,64,2m"];
const V4: [&str; 2] = ["--dhcp-range=10.99.0.100,10.99.0.200,2m", "--no-ping"];

const MAC: MacAddr = MacAddr([0x02, 0x5e, 0x10, 0, 0, 1]);

fn services() -> String {
    forward6("tcp", "80", TARGET, TARGET6)
        + &forward6("tcp", "8080", &format!("{TARGET}:80"), TARGET6)
        + &forward6("udp", "53", TARGET, TARGET6)
}

/// An agent with a MAC address that is known, on that LAN.
fn agent(lan: &Lan, family: &str, forward: &str) -> Agent {
    let mut agent = Agent::new();
    lan.plug(&agent.namespace, "lan0");
    agent.namespace.ip(&format!("link set lan0 address {MAC}"));
    agent.tell(&spec_for(family, forward));
    agent
}

fn addresses(ipv6: &Ipv6) -> Vec<(Ipv6Addr, Origin)> {
    ipv6.addresses.iter().map(|address| (address.address.addr(), address.origin)).collect()
}

fn parsed(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn at(address: Ipv6Addr, port: u16) -> SocketAddr {
    (address, port).into()
}

#[test]
fn an_address_is_made_of_a_routers_prefix_and_the_mac_address() {
    let lan = Lan::with_ipv6(&[&SLAAC[..], &V4].concat());
    let agent = agent(&lan, "both", &services());
    let (mut ipv6, mut leased) = (None, None);
    agent.expect("both families", |event| {
        match event {
            Event::Ipv6(reported) => ipv6 = Some(reported),
            Event::Leased { lease, .. } => leased = Some(lease.address.addr()),
            _ => {}
        }
        (ipv6.is_some() && leased.is_some()).then_some(())
    });
    let ipv6 = ipv6.expect("an address");
    let address = parsed("2001:db8:99:0:5e:10ff:fe00:1");
    assert_eq!(addresses(&ipv6), [(address, Origin::Slaac)]);
    assert!(ipv6.addresses[0].valid_lifetime.is_some_and(|seconds| seconds <= 1800), "{ipv6:?}");
    assert_eq!(ipv6.routers.len(), 1, "{ipv6:?}");
    // And what the kernel has is what was announced, by us and not by itself
    let routes = agent.namespace.ip("-6 route show dev lan0");
    assert!(routes.contains(&format!("default via {} proto 108 metric 1024", ipv6.routers[0])), "{routes}");
    assert!(routes.contains("2001:db8:99::/64 proto 108 metric 512"), "{routes}");
    // And everybody reaches the target over both
    let target = agent.target();
    serve(&target, "--tcp 80 --tcp 81 --udp 53");
    serve(&agent.namespace, "--tcp 81");
    let (near, far) = (lan.client6(), lan.routed_client6());
    for client in [&near, &far] {
        for port in [80, 8080] {
            fetch(client, at(address, port)).expect("the page");
        }
        fetch(client, (leased.expect("a lease"), 80)).expect("the page, over IPv4");
    }
    // And nothing else is to be had there, nor behind it for who takes it for a router
    assert!(is_closed(&near, at(address, 81)));
    near.ip(&format!("route add fd00:30::/64 via {address}"));
    assert!(is_closed(&near, at(parsed(TARGET6), 80)));
    assert!(is_closed(&near, at(parsed("fd00:30::1"), 81)));
    let ping = |from: &Netns| from.command("ping").args(["-c1", "-W30", &address.to_string()]).status();
    assert!(ping(&near).is_ok_and(|status| status.success()), "no answer to a ping");
}

#[test]
fn what_the_kernel_did_of_its_own_accord_is_not_relied_on() {
    // Given a kernel that has listened to the router before it was told not to
    let lan = Lan::with_ipv6(&SLAAC);
    let mut agent = Agent::new();
    for setting in ["all.forwarding=0", "default.accept_ra=1"] {
        agent.namespace.sysctl(&format!("net.ipv6.conf.{setting}"));
    }
    lan.plug(&agent.namespace, "lan0");
    agent.namespace.ip(&format!("link set lan0 address {MAC} up"));
    let routes = || agent.namespace.ip("-6 route show default");
    wait_until("the kernel has a route", || routes().contains("proto ra"));
    agent.namespace.sysctl("net.ipv6.conf.lan0.accept_ra=0");
    // When the agent has its address, and the kernel begins to forward
    agent.tell(&spec_for("6", &services()));
    let ipv6 = agent.ipv6(1);
    agent.namespace.sysctl("net.ipv6.conf.all.forwarding=1");
    // Then there is a way to the router, and one only
    let wanted = format!("default via {} dev lan0 proto 108 metric 1024", ipv6.routers[0]);
    let routes = agent.namespace.ip("-6 route show default");
    assert!(routes.starts_with(&wanted) && routes.lines().count() == 1, "{routes}");
}

#[test]
fn a_dhcpv6_server_gives_an_address_and_gets_it_back() {
    let lan =
        Lan::with_ipv6(&[&STATEFUL[..], &["--dhcp-option=option6:dns-server,[2001:db8:99::53]"]].concat());
    let mut agent = agent(&lan, "6", &services());
    let ipv6 = agent.ipv6(1);
    let [(address, Origin::Dhcpv6)] = addresses(&ipv6)[..] else { panic!("{ipv6:?}") };
    assert!((parsed("2001:db8:99::1000")..=parsed("2001:db8:99::1fff")).contains(&address), "{address}");
    assert_eq!(ipv6.dns, [parsed("2001:db8:99::53")]);
    let target = agent.target();
    serve(&target, "--tcp 80 --udp 53");
    let client = lan.client6();
    fetch(&client, at(address, 80)).expect("the page");
    // And over IPv4 nobody was asked
    assert!(!lan.log().contains("DHCPDISCOVER"), "{}", lan.log());
    agent.signal(Signal::SIGTERM);
    lan.expect_log("DHCPRELEASE");
    let (code, log) = agent.wait();
    assert_eq!(code, 0, "{log}");
    assert!(!agent.namespace.ip("-6 addr show dev lan0").contains("global"));
}

#[test]
fn kea_gives_an_address_and_radvd_says_so() {
    let mut lan = Lan::without_server();
    lan.add_ipv6();
    radvd(&lan, "AdvManagedFlag on;", "");
    kea(&mut lan);
    let mut agent = agent(&lan, "6", &services());
    let ipv6 = agent.ipv6(2);
    let found = addresses(&ipv6);
    assert_eq!(found.iter().map(|(_, origin)| *origin).collect::<Vec<_>>(), [Origin::Dhcpv6, Origin::Slaac]);
    assert!((parsed("2001:db8:99::2000")..=parsed("2001:db8:99::2fff")).contains(&found[0].0), "{found:?}");
    // Its lease is to be renewed after six seconds
    let leases = || fs::read_to_string(lan.file("leases6")).unwrap_or_default();
    let lines = || leases().lines().filter(|line| line.starts_with(&found[0].0.to_string())).count();
    let before = lines();
    wait_until("the lease is renewed", || lines() > before);
    agent.signal(Signal::SIGTERM);
    agent.wait();
    wait_until("the lease is given back", || {
        leases().lines().last().is_some_and(|line| line.split(',').nth(2) == Some("0"))
    });
}

#[test]
fn where_only_name_servers_are_to_be_had_no_address_is_asked_for() {
    let options = [
        "--enable-ra",
        "--dhcp-range=2001:db8:99::,ra-stateless,64,2m",
        "--dhcp-option=option6:dns-server,[2001:db8:99::54]",
    ];
    let lan = Lan::with_ipv6(&options);
    let agent = agent(&lan, "6", &services());
    lan.expect_log("DHCPINFORMATION-REQUEST");
    let dns = agent.expect("the name server", |event| match event {
        Event::Ipv6(ipv6) => Some(ipv6.dns).filter(|dns| !dns.is_empty()),
        _ => None,
    });
    assert!(dns.contains(&parsed("2001:db8:99::54")), "{dns:?}");
    assert!(!lan.log().contains("DHCPSOLICIT"), "{}", lan.log());
}

#[test]
fn an_address_that_somebody_has_is_not_used() {
    let lan = Lan::with_ipv6(&SLAAC);
    let squatter = lan.client6();
    squatter.ip("addr add 2001:db8:99:0:5e:10ff:fe00:1/64 dev eth0 nodad");
    let agent = agent(&lan, "6", &services());
    let warning = agent.expect("a warning", |event| match event {
        Event::Warning { message } => Some(message),
        Event::Ipv6(ipv6) => panic!("{ipv6:?}"),
        _ => None,
    });
    assert_eq!(warning, "2001:db8:99:0:5e:10ff:fe00:1 is used by somebody else on the LAN");
    assert!(!agent.namespace.ip("-6 addr show dev lan0").contains("global"));
}

#[test]
fn without_a_router_it_says_so_and_goes_on_with_ipv4() {
    let lan = Lan::new();
    let agent = agent(&lan, "both", &services());
    let (mut cause, mut leased) = (None, None);
    agent.expect("a search and a lease", |event| {
        match event {
            Event::SearchingIpv6(search) => cause = Some(search.cause()),
            Event::Leased { lease, .. } => leased = Some(lease.address.addr()),
            _ => {}
        }
        (cause.is_some() && leased.is_some()).then_some(())
    });
    assert!(cause.as_ref().is_some_and(|cause| cause.contains("no router answers")), "{cause:?}");
    let target = agent.target();
    serve(&target, "--tcp 80");
    fetch(&lan.client(), (leased.expect("a lease"), 80)).expect("the page");
}

#[test]
fn a_router_that_says_goodbye_is_none_any_more() {
    let mut lan = Lan::with_ipv6(&SLAAC);
    let agent = agent(&lan, "6", &services());
    agent.ipv6(1);
    // radvd says so when it ends; dnsmasq does not
    lan.stop_server();
    radvd(&lan, "", "");
    let pid = fs::read_to_string(lan.file("radvd.pid")).expect("it runs");
    run(&["kill", pid.trim()]);
    let ipv6 = agent.expect("no router", |event| match event {
        Event::Ipv6(ipv6) if ipv6.routers.is_empty() => Some(ipv6),
        _ => None,
    });
    assert_eq!(ipv6.addresses.len(), 1, "the address stays: {ipv6:?}");
    wait_until("the default route is gone", || !agent.namespace.ip("-6 route show default").contains("lan0"));
}

#[test]
fn a_list_of_sources_holds_for_both_families() {
    let lan = Lan::with_ipv6(&[&SLAAC[..], &V4].concat());
    let listed = |from: &str| services().replacen('}', &format!(", from: [{from}]}}"), 1);
    let mut agent = agent(&lan, "both", &listed("10.0.0.0/8"));
    agent.ipv6(1);
    let address = parsed("2001:db8:99:0:5e:10ff:fe00:1");
    let target = agent.target();
    serve(&target, "--tcp 80 --udp 53");
    let (client, routed) = (lan.client6(), lan.routed_client6());
    let is_let_in = |client: &Netns| fetch(client, at(address, 80)).is_ok();
    let is_kept_out = |client: &Netns| is_closed(client, at(address, 80));
    // Nobody of IPv6 is on a list that has only networks of IPv4
    assert!(is_kept_out(&client));
    fetch(&client, at(address, 8080)).expect("another forward has no list");
    agent.tell(&spec_for("both", &listed(&format!("10.0.0.0/8, {ROUTED_CLIENT6}"))));
    agent.forwarding();
    assert!(is_kept_out(&client) && is_let_in(&routed));
    agent.tell(&spec_for("both", &listed(&format!("2001:db8:99::/64, {CLIENT}"))));
    agent.forwarding();
    assert!(is_let_in(&client) && is_kept_out(&routed));
    agent.tell(&spec_for("both", &listed("::/0")));
    agent.forwarding();
    assert!(is_let_in(&client) && is_let_in(&routed));
}

#[test]
fn a_forward_of_everything_leaves_the_agents_own_port_alone() {
    let lan = Lan::with_ipv6(&STATEFUL);
    let agent = agent(&lan, "6", &forward6("udp", "1-1000", TARGET, TARGET6));
    let address = agent.ipv6(1).addresses[0].address.addr();
    let target = agent.target();
    serve(&target, "--udp 53");
    assert_eq!(echo(&lan.client6(), at(address, 53), "hello").expect("an answer"), "hello");
}

#[test]
fn an_uplink_that_was_down_has_everything_again() {
    let mut lan = Lan::without_server();
    lan.add_ipv6();
    // For ever, so that no later announcement brings about anything
    radvd(&lan, "AdvDefaultLifetime 9000;", "AdvValidLifetime infinity; AdvPreferredLifetime infinity;");
    let agent = agent(&lan, "6", &services());
    let address = agent.ipv6(1).addresses[0].address.addr();
    let target = agent.target();
    serve(&target, "--tcp 80");
    let client = lan.routed_client6();
    fetch(&client, at(address, 80)).expect("the page");
    agent.namespace.ip("link set lan0 down");
    agent.ipv6(0);
    agent.namespace.ip("link set lan0 up");
    agent.ipv6(1);
    wait_until("the page is there again", || fetch(&client, at(address, 80)).is_ok());
    lan.stop_server();
}

#[test]
fn what_the_lan_announces_does_not_lead_inside() {
    let lan = Lan::without_server();
    lan.add_ipv6();
    let agent = agent(&lan, "6", &services());
    let target = agent.target();
    serve(&target, "--tcp 80");
    radvd(
        &lan,
        "",
        "}; prefix fd00:30::/64 { AdvAutonomous off; }; prefix fd00:30::/127 { AdvAutonomous off;",
    );
    let warning =
        agent.expect(
            "a warning",
            |event| {
                if let Event::Warning { message } = event { Some(message) } else { None }
            },
        );
    assert!(warning.contains("reaches into fd00:30::/64, which is inside"), "{warning}");
    let address = agent.ipv6(1).addresses[0].address.addr();
    fetch(&lan.client6(), at(address, 80)).expect("the page");
    let routes = agent.namespace.ip("-6 route show");
    assert!(!routes.contains("fd00:30::/64 dev lan0") && !routes.contains("fd00:30::/127"), "{routes}");
}

#[test]
fn without_a_link_local_address_it_says_why() {
    let lan = Lan::with_ipv6(&SLAAC);
    let squatter = lan.client6();
    squatter.ip("addr add fe80::5e:10ff:fe00:1/64 dev eth0 nodad");
    let agent = agent(&lan, "6", &services());
    let (mut warning, mut cause) = (None, None);
    agent.expect("a warning and a search", |event| {
        match event {
            Event::Warning { message } => warning = Some(message),
            Event::SearchingIpv6(search) => cause = Some(search.cause()),
            _ => {}
        }
        (warning.is_some() && cause.is_some()).then_some(())
    });
    assert!(warning.is_some_and(|said| said.contains("fe80::5e:10ff:fe00:1 is used by somebody else")));
    assert!(cause.is_some_and(|said| said.contains("link-local")));
}

#[test]
fn datagrams_are_answered_over_ipv6() {
    let lan = Lan::with_ipv6(&SLAAC);
    let agent = agent(&lan, "6", &services());
    agent.ipv6(1);
    let target = agent.target();
    serve(&target, "--udp 53");
    let address = parsed("2001:db8:99:0:5e:10ff:fe00:1");
    assert_eq!(echo(&lan.client6(), at(address, 53), "hello").expect("an answer"), "hello");
}

/// Starts radvd on the LAN, with a prefix and what else it is to say, of itself and of the prefix.
fn radvd(lan: &Lan, says: &str, of_prefix: &str) {
    let [config, pid] = ["radvd.conf", "radvd.pid"].map(|name| lan.file(name).display().to_string());
    let text = format!(
        "interface br0 {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; {says}\n prefix 2001:db8:99::/64 {{ {of_prefix} }}; }};\n"
    );
    fs::write(&config, text).expect("a file");
    let arguments =
        ["--config", &config, "--pidfile", &pid, "--nodaemon", "--username", "root", "--logmethod", "none"];
    let mut command = lan.router.command("radvd");
    // Its namespace ends it.
    drop(command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("radvd is there"));
    // Before it catches SIGTERM, it has a file with its pid, but says nothing when it is ended.
    wait_until("radvd runs", || catches_sigterm(&fs::read_to_string(&pid).unwrap_or_default()));
}

/// Whether the process has a handler for SIGTERM.
fn catches_sigterm(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|set| {
        u64::from_str_radix(set.trim(), 16).is_ok_and(|set| set >> (Signal::SIGTERM as u32 - 1) & 1 == 1)
    })
}

/// Starts Kea on the LAN, with leases that are to be renewed after six seconds.
fn kea(lan: &mut Lan) {
    let (file, leases) = (lan.file("kea6.json"), lan.file("leases6"));
    let config = format!(
        r#"{{"Dhcp6": {{"interfaces-config": {{"interfaces": ["br0"]}}, "server-id": {{"type": "LL", "persist": false}}, "preferred-lifetime": 60, "valid-lifetime": 120,
        "renew-timer": 6, "rebind-timer": 9,
        "lease-database": {{"type": "memfile", "persist": true, "name": "{}"}},
        "subnet6": [{{"subnet": "2001:db8:99::/64", "interface": "br0",
        "pools": [{{"pool": "2001:db8:99::2000 - 2001:db8:99::2fff"}}]}}]}}}}"#,
        leases.display()
    );
    fs::write(&file, config).expect("a file");
    let directory = format!("KEA_PIDFILE_DIR={}", file.parent().expect("a directory").display());
    lan.serve("env", &[&directory, "KEA_LOCKFILE_DIR=none", "kea-dhcp6", "-c", &file.display().to_string()]);
    wait_until("kea listens", || lan.router.run(&["ss", "-Hlnp", "--udp"]).contains("kea-dhcp6"));
}
