//! The harness itself: a test that a signal ends leaves nothing on the host.

use std::{
    env, fs,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use landfall_tests::{
    docker::{Network, Target, WEB},
    lan::Lan,
    removal::Folder,
    run::{run, wait_until},
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// Set in a test process that is to be ended: where it writes that it has made everything.
const REPORT: &str = "LANDFALL_TEST_REPORT";

/// Makes what tests make, and waits for the end.
fn make_everything(report: &Path) {
    let (mut lan, network) = (Lan::new(), Network::new());
    let (target, interface) = (Target::run(&["--network", &network.name, WEB]), lan.host_port());
    target.expose(&interface, &[]);
    let _client = lan.client();
    fs::write(report, format!("{}\n", lan.file("").display())).expect("our own file");
    loop {
        thread::park();
    }
}

/// A process that runs the test `name` of this file, in a process group of its own as nextest has it. It is ended with this test.
fn start(name: &str, report: &Path) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(env::current_exe().expect("Linux knows it"));
    command.args(["--exact", name]).env(REPORT, report).process_group(0);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("setpriv is part of util-linux")
}

/// How many containers, networks, namespaces and interfaces of the host a test process has.
fn made_by(child: &Child) -> [usize; 4] {
    let (named, link) = (format!("lft-{:x}x", child.id()), format!("lf{:x}x", child.id()));
    [
        (&["docker", "ps", "--all", "--format", "{{.Names}}"][..], &named),
        (&["docker", "network", "ls", "--format", "{{.Name}}"], &named),
        (&["ip", "netns"], &named),
        (&["ip", "-o", "link"], &link),
    ]
    .map(|(line, mark)| run(line).lines().filter(|line| line.contains(&**mark)).count())
}

#[test]
fn a_test_that_a_signal_ends_leaves_nothing_behind() {
    if let Some(report) = env::var_os(REPORT) {
        make_everything(Path::new(&report));
    }
    // Given tests that have made things
    let folder = Folder::new();
    let tests = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].map(|signal| {
        let report = folder.path().join(signal.as_str());
        (signal, start("a_test_that_a_signal_ends_leaves_nothing_behind", &report), report)
    });
    for (signal, mut child, report) in tests {
        wait_until("everything is made", || {
            fs::read_to_string(&report).is_ok_and(|text| text.ends_with('\n'))
        });
        let directory = PathBuf::from(fs::read_to_string(&report).expect("it was just read").trim());
        assert_eq!((made_by(&child), directory.exists()), ([2, 1, 2, 1], true), "{signal}");
        // When a signal ends one
        killpg(Pid::from_raw(child.id().try_into().expect("a process number")), signal).expect("it runs");
        let status = child.wait().expect("it is ours");
        // Then it ends as if the signal had done it, and nothing is left
        assert_eq!((status.code(), status.signal()), (Some(128 + signal as i32), None));
        assert_eq!((made_by(&child), directory.exists()), ([0; 4], false), "{signal}");
    }
}
