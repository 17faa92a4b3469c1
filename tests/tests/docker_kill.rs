//! Killed and interrupted at any point: the next run repairs it, and nothing is left.

use std::{
    net::SocketAddrV4,
    process::{Command, Stdio},
};

use landfall_tests::{
    client::fetch,
    docker::Target,
    lan::Lan,
    landfall::{Ran, command, landfall},
    run::{output, path, run},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Every effect of landfall on the world goes through one of these.
const EFFECTS: &str = "write,writev,sendto,sendmsg";

/// Runs landfall, and kills it at its `n`th effect, before that takes place. Gives whether it lived to the end.
fn killed_at(n: u32, arguments: &[&str]) -> bool {
    let inject = format!("inject={EFFECTS}:signal=KILL:when={n}");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={EFFECTS}"), "-e", &inject]);
    let status =
        strace.arg(path("LANDFALL")).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.expect("`make deps` installs strace").success()
}

/// What is left on the host of a target: its network container, and macvlans on the interface.
fn left(target: &Target, interface: &str) -> Vec<String> {
    let container = target.is_exposed().then(|| target.network_container());
    let links = run(&["ip", "-o", "link", "show", "type", "macvlan"]);
    let macvlan = links.lines().find(|line| line.contains(&format!("@{interface}"))).map(str::to_owned);
    container.into_iter().chain(macvlan).collect()
}

#[test]
fn up_that_is_killed_after_any_step_is_repaired() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let client = lan.client();
    let up = ["up", "-q", &target.name, &interface];
    let mut kills = 0;
    for n in 1.. {
        landfall(&["down", &target.name]).done();
        if killed_at(n, &up) {
            break;
        }
        kills += 1;
        // Either the next `up` repairs it, or the next `down` does
        if n % 2 == 0 {
            let address = landfall(&up).done();
            let address = SocketAddrV4::new(address.trim().parse().expect("an address"), 80);
            assert!(fetch(&client, address).is_ok(), "killed at effect {n}, and `up` did not repair it");
        }
        landfall(&["down", &target.name]).done();
        assert_eq!(left(&target, &interface), [""; 0], "killed at effect {n}");
    }
    assert!(kills > 10, "only {kills} effects: the injection does not work");
}

#[test]
fn down_that_is_killed_after_any_step_is_repaired() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    for n in 1.. {
        landfall(&["up", "-q", &target.name, &interface]).done();
        let is_done = killed_at(n, &["down", &target.name]);
        landfall(&["down", &target.name]).done();
        assert_eq!(left(&target, &interface), [""; 0], "killed at effect {n}");
        if is_done {
            assert!(n > 4, "only {n} effects: the injection does not work");
            break;
        }
    }
}

#[test]
fn an_interruption_takes_back_what_was_made() {
    // Nobody gives an address, so that there is always something to interrupt
    let mut lan = Lan::without_server();
    let (target, interface) = (Target::web(), lan.host_port());
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        for step in ["creating", "starting", "attaching", "waiting for an address"] {
            let mut child = command(&["up", &target.name, &interface])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("make build");
            let mut steps = std::io::BufReader::new(child.stderr.take().expect("piped"));
            let mut line = String::new();
            while !line.starts_with(step) {
                line.clear();
                assert_ne!(
                    std::io::BufRead::read_line(&mut steps, &mut line).expect("text"),
                    0,
                    "it ended before {step}"
                );
            }
            kill(Pid::from_raw(child.id().try_into().expect("a process number")), signal).expect("it runs");
            let said = std::io::read_to_string(steps).expect("text");
            let ran: Ran = child.wait_with_output().expect("it ends").into();
            assert_eq!(ran.code, Some(code), "{step}: {said}");
            assert!(said.contains(&format!("interrupted by {signal}")), "{step}: {said}");
            assert_eq!(left(&target, &interface), [""; 0], "{signal} at {step}");
        }
    }
}

#[test]
fn a_target_that_vanishes_in_the_middle_leaves_nothing() {
    let mut lan = Lan::without_server();
    let (target, interface) = (Target::web(), lan.host_port());
    let child = command(&["up", &target.name, &interface, "--wait", "2s"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    output(&["docker", "rm", "--force", &target.name]);
    let ran: Ran = child.expect("make build").wait_with_output().expect("it ends").into();
    assert!(matches!(ran.code, Some(1 | 3 | 4)), "{ran:?}");
    assert_eq!(left(&target, &interface), [""; 0]);
}
