//! The main job: `landfall up webserver eth0`, and the address answers.

use std::{net::Ipv4Addr, thread};

use landfall_tests::{
    client::{ask, connect, fetch, is_closed},
    docker::{IDLE, Network, Target, WEB, inspect},
    lan::Lan,
    landfall::{Ran, command, landfall},
    run::{run, wait_until},
};

#[test]
fn the_address_answers_on_the_lan_and_beyond_its_router() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let ran = target.up(&interface, &[]);
    // Progress is on standard error, the result on standard output, with the address at the end
    assert!(ran.stderr.contains(&format!("creating landfall-{}", target.name)), "{}", ran.stderr);
    let stdout = ran.done();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "80/tcp -> 169.254.192.1");
    let address: Ipv4Addr = lines[1].strip_prefix("ip=").expect("the address is last").parse().expect("one");
    assert_eq!(lines.len(), 2);
    for client in [lan.client(), lan.routed_client()] {
        assert!(fetch(&client, (address, 80)).expect("an answer").contains("hello from"));
        assert!(is_closed(&client, (address, 22)));
    }
    // The server's list has the container's name
    lan.expect_log(&target.name);
}

#[test]
fn up_twice_is_up_once() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let address = target.expose(&interface, &[]);
    let id = target.network_container_id();
    let again = landfall(&["up", "-q", &target.name, &interface]);
    assert_eq!((again.stdout, &*again.stderr), (format!("{address}\n"), ""));
    assert_eq!(target.network_container_id(), id);
}

#[test]
fn other_ports_are_forwarded_without_a_break() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let address = target.expose(&interface, &[]);
    let client = lan.client();
    let mut kept = connect(&client, (address, 80)).expect("an answer");
    let stdout = target.up(&interface, &["-p", "80", "-p", "8080:80/tcp", "-p", "53/udp"]).done();
    assert!(stdout.ends_with(&format!("53/udp -> 169.254.192.1\nip={address}\n")), "{stdout}");
    ask(&mut kept).expect("the connection lives");
    assert!(fetch(&client, (address, 8080)).is_ok());
    // And what `ls` shows is what is in force
    assert_eq!(target.listed()["forwards"].as_array().expect("an array").len(), 3);
}

#[test]
fn the_same_target_gets_the_same_address_again() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let address = target.expose(&interface, &[]);
    target.down();
    assert_eq!(target.expose(&interface, &[]), address);
    // And another identity is another container, and another client of the server's
    let before = target.network_container_id();
    landfall(&["up", "-q", &target.name, &interface, "--mac", "02:00:5e:00:53:01", "--hostname", "other"])
        .done();
    assert_ne!(target.network_container_id(), before);
    lan.expect_log("02:00:5e:00:53:01 other");
    assert!(target.up(&interface, &["--mac", "03:00:5e:00:53:01"]).failed(2).contains("unicast"));
}

#[test]
fn json_is_one_object_of_the_shape_that_ls_has() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let object = landfall(&["up", "--format", "json", &target.name, &interface]).json();
    let keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = ["target", "container", "interface", "path", "address", "state", "lease", "forwards"];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&object["state"], &object["interface"]), (&"leased".into(), &interface.into()));
    assert_eq!(object["lease"]["time"], 120);
}

#[test]
fn a_target_may_come_later() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::reserve(), lan.host_port());
    let mut waiting = command(&["up", "-q", &target.name, &interface])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("make build");
    assert!(waiting.try_wait().expect("it runs").is_none());
    target.start(&[WEB]);
    let address = Ran::from(waiting.wait_with_output().expect("it ends")).address();
    assert!(fetch(&lan.client(), (address, 80)).is_ok());
}

#[test]
fn a_broken_network_container_is_made_anew() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let address = target.expose(&interface, &[]);
    // One machine all the time: another one at its address would be answered where the first one was.
    let (name, client) = (target.network_container(), lan.client());
    for breaking in [&["docker", "kill", &*name][..], &["docker", "restart", "-t", "1", &name]] {
        run(breaking);
        assert_eq!(target.expose(&interface, &[]), address, "after {breaking:?}");
        assert!(fetch(&client, (address, 80)).is_ok(), "after {breaking:?}");
    }
    // A target that came back at another address is followed
    let blocker = Target::reserve();
    run(&["docker", "stop", "-t", "1", &target.name]);
    blocker.start(&[IDLE]);
    run(&["docker", "start", &target.name]);
    target.wait_until_it_serves();
    assert_eq!(target.expose(&interface, &[]), address);
    assert!(fetch(&client, (address, 80)).is_ok());
}

#[test]
fn two_at_once_are_one() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let addresses: Vec<Ipv4Addr> = thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| target.expose(&interface, &[]))).collect();
        runs.into_iter().map(|run| run.join().expect("it succeeds")).collect()
    });
    assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
    let names = run(&[
        "docker",
        "ps",
        "-a",
        "--format",
        "{{.Names}}",
        "--filter",
        &format!("name=^/?{}$", target.network_container()),
    ]);
    assert_eq!(names.lines().count(), 1, "{names}");
}

#[test]
fn targets_on_networks_of_their_own_are_reached_there() {
    let mut lan = Lan::new();
    let (network, interface) = (Network::new(), lan.host_port());
    let target = Target::run(&["--network", &network.name, WEB]);
    let address = target.expose(&interface, &[]);
    assert!(fetch(&lan.client(), (address, 80)).expect("an answer").contains("hello from"));
}

#[test]
fn the_network_container_has_two_capabilities_and_little_else() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    target.expose(&interface, &[]);
    let host = |key: &str| inspect(&target.network_container(), &format!("{{{{json .HostConfig.{key}}}}}"));
    assert_eq!(
        (host("ReadonlyRootfs"), host("Privileged"), host("PidsLimit")),
        ("true".into(), "false".into(), "32".into())
    );
    assert_eq!(
        (host("SecurityOpt"), host("Memory")),
        (r#"["no-new-privileges"]"#.into(), (128 << 20).to_string())
    );
    let pid = inspect(&target.network_container(), "{{.State.Pid}}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    // CAP_NET_ADMIN is bit 12, CAP_NET_RAW bit 13. What is asked for, engines show each in its own way.
    for line in ["CapEff:\t0000000000003000", "CapBnd:\t0000000000003000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{status}");
    }
    for label in ["target", "interface", "path", "spec", "version"] {
        assert_ne!(
            inspect(
                &target.network_container(),
                &format!("{{{{index .Config.Labels \"landfall.{label}\"}}}}")
            ),
            "",
            "{label}"
        );
    }
}

#[test]
fn down_gives_the_lease_back_and_leaves_nothing() {
    let mut lan = Lan::new();
    let (first, second, interface) = (Target::web(), Target::web(), lan.host_port());
    first.expose(&interface, &[]);
    second.expose(&interface, &[]);
    let said = landfall(&["down", &first.name, &second.name]).done();
    for target in [&first, &second] {
        assert!(
            said.contains(&format!("{}: stopped and removed {}", target.name, target.network_container())),
            "{said}"
        );
        assert!(!target.is_exposed());
    }
    wait_until("both leases are released", || lan.log().matches("DHCPRELEASE").count() == 2);
    // It is safe to repeat, and knows no target that never was
    assert!(
        landfall(&["down", &first.name, "nobody-at-all"]).done().contains("nobody-at-all: nothing to do")
    );
    let macvlans = run(&["ip", "-o", "link", "show", "type", "macvlan"]);
    assert!(!macvlans.contains(&format!("@{interface}")), "{macvlans}");
}

#[test]
fn ls_shows_each_state() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    target.expose(&interface, &[]);
    assert_eq!(target.listed()["state"], "leased");
    assert!(landfall(&["ls"]).done().contains(&target.network_container()));
    run(&["docker", "stop", "-t", "1", &target.name]);
    assert_eq!(target.listed()["state"], "orphaned");
    run(&["docker", "kill", &target.network_container()]);
    let stopped = target.listed();
    assert_eq!(
        (&stopped["state"], stopped["address"].is_null(), stopped["lease"].is_null()),
        (&"stopped".into(), true, true)
    );
    assert_eq!(stopped["forwards"][0]["port"], 80);
}

#[test]
fn inspect_and_logs_show_what_the_agent_did() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let address = target.expose(&interface, &[]);
    let object = target.inspected();
    assert_eq!(
        (&object["address"], &object["agent"]["phase"]),
        (&address.to_string().into(), &"leased".into())
    );
    assert_eq!(object["labels"]["landfall.target"], *target.name);
    let logs = landfall(&["logs", &target.name]);
    assert!(
        logs.stdout.contains(r#""event":"leased""#) && logs.stderr.contains("found the uplink"),
        "{logs:?}"
    );
    assert!(
        landfall(&["inspect", "nobody-at-all"]).failed(1).contains("nobody-at-all has no network container")
    );
}
