//! Bad input: what it says, the exit code, and that nothing is left behind.
#![allow(clippy::wildcard_enum_match_arm, reason = "a scripted server answers some messages")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use dhcproto::v4::MessageType::{Discover, Nak, Offer, Request};
use landfall_tests::{
    docker::{IDLE, Target, WEB, load_images},
    lan::{Lan, ROUTER},
    landfall::{Ran, command, landfall},
    netns::Netns,
    removal::{Folder, Removal},
    run::{now, run, slowness, unique},
    scripted::Scripted,
};

/// A run that must fail with `code`, say all of `words`, and leave no network container.
fn fails(target: &Target, arguments: &[&str], code: i32, words: &[&str]) {
    let said = landfall(&[&["up", &target.name], arguments].concat()).failed(code);
    for word in words {
        assert!(said.contains(word), "it does not say {word:?}: {said}");
    }
    assert!(!target.is_exposed(), "a network container is left: {said}");
}

#[test]
fn interfaces_that_cannot_be_parents() {
    let mut lan = Lan::new();
    let (target, good) = (Target::web(), lan.host_port());
    let short = unique();
    let (down, child, bridge, port) =
        (format!("d{short}"), format!("m{short}"), format!("b{short}"), format!("q{short}"));
    let _links = [&down, &child, &bridge].map(|link| Removal::by(&["ip", "link", "del", link]));
    run(&["ip", "link", "add", &down, "type", "veth", "peer", "name", &port]);
    run(&["ip", "link", "add", &child, "link", &good, "type", "macvlan"]);
    run(&["ip", "link", "add", &bridge, "type", "bridge"]);
    run(&["ip", "link", "set", &port, "master", &bridge]);
    let missing = format!("{good}9");
    let cases: [(&str, &[&str]); 6] = [
        (&missing, &["there is no interface", "ip -br link"]),
        ("no/such", &["is no interface name"]),
        (&down, &["is down", "ip link set"]),
        ("lo", &["is the loopback"]),
        (&child, &["is itself a macvlan", &good]),
        (&port, &["is a port of the bridge", &bridge]),
    ];
    let results: Vec<_> =
        cases.iter().map(|(interface, _)| landfall(&["up", &target.name, interface])).collect();
    for ((interface, words), ran) in cases.iter().zip(results) {
        let said = ran.failed(1);
        assert!(words.iter().all(|word| said.contains(word)), "{interface}: {said}");
    }
    assert!(!target.is_exposed());
}

#[test]
fn targets_that_cannot_be_exposed() {
    let mut lan = Lan::new();
    let interface = lan.host_port();
    let nobody = Target::reserve();
    nobody.up_in_vain(&interface, &[], 4, &["there is no container of that name"]);
    let stopped = Target::web();
    run(&["docker", "stop", "-t", "1", &stopped.name]);
    stopped.up_in_vain(&interface, &[], 4, &["not running", "docker start"]);
    fails(&Target::run(&[IDLE]), &[&interface], 1, &["exposes no ports", "-p 80"]);
    fails(
        &Target::run(&["--network", "host", WEB, "--tcp", "0"]),
        &[&interface],
        1,
        &["'host'", "host's own addresses"],
    );
    let alone = Target::run(&["--network", "none", WEB]);
    fails(&alone, &[&interface, "--path", "bridge"], 1, &["'none'", "--path wire", "docker network connect"]);
    let other = Target::web();
    let shared = Target::run(&["--network", &format!("container:{}", other.name), IDLE]);
    fails(&shared, &[&interface, "-p", "80"], 1, &["another container's addresses"]);
    assert!(landfall(&["up", "a b", &interface]).failed(2).contains("is no name of a container"));
    assert!(landfall(&["up", "$(id)\u{1b}[2J", &interface]).failed(2).contains("'$(id)\\u{1b}[2J'"));
}

#[test]
fn ports_that_are_none() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    for (port, word) in [
        ("0", "'0' is no port"),
        ("65536", "'65536' is no port"),
        ("80/xyz", "'xyz' is no protocol"),
        ("90-80", "write 80-90"),
        ("80-82:80-81", "as many must come out"),
    ] {
        fails(&target, &[&interface, "-p", port], 2, &[word]);
    }
    fails(&target, &[&interface, "-p", "80", "-p", "80"], 2, &["cannot publish both"]);
    fails(&target, &[&interface, "-p", "80-90", "-p", "85:1"], 2, &["cannot publish both"]);
    fails(&target, &[&interface, "--wait", "soon"], 2, &["30s"]);
    fails(&target, &[&interface, "--hostname", "a_b"], 2, &["is no host name"]);
    fails(&target, &[], 2, &["INTERFACE"]);
}

#[test]
fn a_lan_without_a_server_is_diagnosed() {
    let mut lan = Lan::without_server();
    let (target, interface) = (Target::web(), lan.host_port());
    let words = [
        "DISCOVERs sent, no OFFER",
        "promiscuous mode",
        "port security",
        "the wrong interface or VLAN",
        "exhausted",
    ];
    target.up_in_vain(&interface, &[], 3, &words);
    assert!(!target.is_exposed());
}

#[test]
fn an_exhausted_pool_is_diagnosed() {
    let mut lan =
        Lan::with_dnsmasq(&["--dhcp-range=10.99.0.100,10.99.0.100,2m", "--no-ping", "--dhcp-authoritative"]);
    let (first, second, interface) = (Target::web(), Target::web(), lan.host_port());
    first.expose(&interface, &[]);
    second.up_in_vain(&interface, &[], 3, &["pool is exhausted"]);
    assert!(!second.is_exposed());
}

#[test]
fn docker_that_cannot_be_reached() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let directory = Folder::new();
    let missing = format!("unix://{}", directory.path().join("missing.sock").display());
    let deaf = directory.path().join("deaf.sock");
    drop(UnixListener::bind(&deaf).expect("a socket"));
    let deaf = format!("unix://{}", deaf.display());
    for (host, words) in [
        (&*missing, "there is no socket"),
        (&deaf, "cannot reach Docker"),
        ("tcp://127.0.0.1:1", "on this host"),
    ] {
        for line in [&["up", &*target.name, &*interface][..], &["ls"], &["down", &target.name]] {
            let ran: Ran = command(line).env("DOCKER_HOST", host).output().expect("make build").into();
            assert!(ran.failed(5).contains(words), "{host} {line:?}");
        }
    }
}

#[test]
fn without_permission() {
    load_images();
    let nobody = Netns::new();
    let denied = |line: &[&str], host: &str| -> Ran {
        let program = std::env::var("LANDFALL").expect("the Makefile sets it");
        let mut command = nobody.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", &program]).args(line);
        command.env("DOCKER_HOST", host).output().expect("setpriv").into()
    };
    // The program itself must be within reach of everybody
    let directory = Folder::new();
    let socket = directory.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).expect("our own file");
    let host = format!("unix://{}", socket.display());
    assert!(denied(&["up", "web", "lo"], &host).failed(6).contains("needs root"));
    assert!(denied(&["down", "web"], &host).failed(6).contains("needs root"));
    assert!(denied(&["ls"], &host).failed(6).contains("permission denied"));
}

#[test]
fn a_strangers_container_is_not_touched() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    run(&["docker", "run", "--detach", "--name", &target.network_container(), IDLE]);
    let said = target.up(&interface, &[]).failed(1);
    assert!(said.contains("is not landfall's") && said.contains("docker rename"), "{said}");
    assert!(landfall(&["down", &target.name]).done().contains("is not landfall's"));
    assert_eq!(landfall_tests::docker::inspect(&target.network_container(), "{{.State.Status}}"), "running");
}

#[test]
fn an_image_that_is_not_there() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    fails(
        &target,
        &[&interface, "--image", "no-such-image:1"],
        1,
        &["cannot find the image no-such-image:1", "docker pull"],
    );
}

#[test]
fn an_image_without_an_agent() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    // One that ends at once, and says why; one that says nothing of use
    let wait = format!("{}s", 5 * slowness());
    let said = target.up(&interface, &["--image", WEB, "--wait", &wait]);
    assert!([1, 3].contains(&said.code.expect("an exit code")), "{said:?}");
    // Unless Docker took all the time
    assert!(["agent", "Docker is still busy"].iter().any(|word| said.stderr.contains(word)), "{said:?}");
    assert!(!target.is_exposed());
}

#[test]
fn a_server_that_offers_and_then_refuses_is_named() {
    let mut lan = Lan::without_server();
    let server = Scripted::start(&lan, |kind, _| match kind {
        Discover => Some((Offer, 120)),
        Request => Some((Nak, 0)),
        _ => None,
    });
    let (target, interface) = (Target::web(), lan.host_port());
    let since = now();
    let words = [ROUTER, "offers an address and then refuses it", "DHCPNAK", "wrong network"];
    target.up_in_vain(&interface, &[], 3, &words);
    assert!(!target.is_exposed());
    // And it was not stormed meanwhile
    let (messages, seconds) = (server.heard().len(), now().duration_since(since).as_secs());
    assert!(messages < 20 + 6 * usize::try_from(seconds).expect("a short time"), "{messages} in {seconds} s");
}
