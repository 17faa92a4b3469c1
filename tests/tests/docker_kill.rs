//! Killed and interrupted at any point: the next run repairs it, and nothing is left.

use std::{
    cell::Cell,
    fs::File,
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use landfall_tests::{
    client::fetch,
    docker::{Target, inspect},
    lan::Lan,
    landfall::{Ran, command, in_vain, patient},
    run::{output, path, run, slowness},
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
    let status = strace
        .arg(path("LANDFALL"))
        .args(patient(arguments, slowness()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("`make deps` installs strace").success()
}

/// What is left of a target: its network container, macvlans on the interface, and what a path has made in it.
fn left(target: &Target, interface: &str) -> Vec<String> {
    let container = target.is_exposed().then(|| target.network_container());
    let links = run(&["ip", "-o", "link", "show", "type", "macvlan"]);
    let macvlan = links.lines().find(|line| line.contains(&format!("@{interface}"))).map(str::to_owned);
    container.into_iter().chain(macvlan).chain(target.traces()).collect()
}

/// Exposes a target.
type Exposing<'a> = dyn Fn() -> Ipv4Addr + 'a;

/// Kills `up` at every `nth` effect, from the `first` on, and has what is left repaired. All of them in one test would keep
/// one processor busy for minutes.
fn kill_up((first, nth): (u32, usize), path: &str, repair: impl Fn(&Exposing<'_>) -> Option<Ipv4Addr>) {
    let mut lan = Lan::on_host();
    let (target, interface) = (Target::web(), lan.host_port());
    let client = lan.client();
    let host = lan.give_host(&interface, 20);
    let options = ["-p", "80", "-p", "53/udp", "--host-access", "--path", path];
    let line = [&["up", "-q", &target.name, &interface], &options[..]].concat();
    let mut kills = 0;
    for n in (first..).step_by(nth) {
        if killed_at(n, &line) {
            break;
        }
        kills += 1;
        if let Some(address) = repair(&|| target.expose(&interface, &options)) {
            assert!(
                fetch(&client, (address, 80)).is_ok(),
                "killed at effect {n}, and `up` did not repair it"
            );
        }
        target.down();
        assert_eq!(left(&target, &interface), [""; 0], "killed at effect {n}");
        let companion = run(&["ip", "-o", "addr", "show", "to", &format!("{host}/32")]);
        assert!(!companion.contains(" lh"), "killed at effect {n}: {companion}");
    }
    assert!(kills > 5, "only {kills} effects: the injection does not work");
}

#[test]
fn up_that_is_killed_after_any_step_is_repaired_by_the_next_up() {
    kill_up((2, 2), "wire", |up| Some(up()));
}

#[test]
fn up_that_is_killed_after_any_step_is_repaired_by_down() {
    kill_up((1, 2), "wire", |_| None);
}

#[test]
fn up_that_is_killed_where_the_target_has_the_uplink_is_repaired() {
    let turn = Cell::new(false);
    kill_up((1, 5), "direct", |up| turn.replace(!turn.get()).then(up));
}

#[test]
fn down_that_is_killed_after_any_step_is_repaired() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    for n in 1.. {
        target.expose(&interface, &[]);
        let is_done = killed_at(n, &["down", &target.name]);
        target.down();
        assert_eq!(left(&target, &interface), [""; 0], "killed at effect {n}");
        if is_done {
            assert!(n > 4, "only {n} effects: the injection does not work");
            break;
        }
    }
}

#[test]
fn half_a_spec_that_a_killed_up_left_in_the_pipe_is_no_answer_to_the_next() {
    // Given a target whose agent has read the beginning of a spec, up to the middle of a line
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    target.expose(&interface, &[]);
    let pid = inspect(&target.network_container(), "{{.State.Pid}}");
    let mut pipe = File::options().write(true).open(format!("/proc/{pid}/fd/0")).expect("its agent runs");
    pipe.write_all(b"---\ninterface: lan0\nforw").expect("it reads");
    // When it is told new forwards
    let said = target.up(&interface, &["-p", "8080:80"]).done();
    // Then they are in force, although the agent has warned of the half
    assert!(said.contains("8080/tcp"), "{said}");
    let log = run(&["docker", "logs", &target.network_container()]);
    assert!(log.contains("the new spec is refused"), "the agent did not see the half: {log}");
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
    let child = command(&["up", &target.name, &interface, "--wait", &in_vain()])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    output(&["docker", "rm", "--force", &target.name]);
    let ran: Ran = child.expect("make build").wait_with_output().expect("it ends").into();
    assert!(matches!(ran.code, Some(1 | 3 | 4)), "{ran:?}");
    assert_eq!(left(&target, &interface), [""; 0]);
}
