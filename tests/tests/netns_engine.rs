//! `tests/engine`, which the tiers of both engines are run by: it leaves the machine as it was.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use landfall_tests::run::{output, run};

const ENGINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/engine");

/// A shell script beside a Podman, and what the script says first.
fn beside_podman(script: &str) -> (Child, String) {
    let mut command = Command::new(ENGINE);
    command.args(["podman", "sh", "-c", script]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("tests/engine is there");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("text");
    (child, line)
}

/// The machine's control groups of that engine, which can only be removed when nobody is in them. Those of other engines come and go.
fn groups(child: &Child) -> Vec<PathBuf> {
    let name = format!("landfall-engine-{}", child.id());
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).expect("it is mounted").filter_map(Result::ok);
    let places = hierarchies.map(|entry| entry.path()).chain([root.to_owned()]);
    places.map(|place| place.join(&name)).filter(|group| group.exists()).collect()
}

#[test]
fn an_engine_that_is_killed_leaves_no_process_and_no_control_group() {
    // Given one that works
    let (mut child, said) = beside_podman("echo up; exec sleep 600");
    assert_eq!(said, "up\n");
    assert_ne!(groups(&child), Vec::<PathBuf>::new());
    // When it is told to end
    run(&["kill", "-TERM", &child.id().to_string()]);
    // Then it ends, with what was in its groups
    assert_eq!(child.wait().expect("it was started").code(), Some(143));
    assert_eq!(groups(&child), Vec::<PathBuf>::new());
}

#[test]
fn an_engine_sees_no_control_group_but_its_own() {
    let (mut child, said) = beside_podman("find /sys/fs/cgroup -name landfall-engine-\\* | wc -l; exit 7");
    assert_eq!(said, "0\n");
    assert_eq!(child.wait().expect("it was started").code(), Some(7));
    assert_eq!(groups(&child), Vec::<PathBuf>::new());
}

#[test]
fn an_engine_that_nobody_knows_is_refused_with_those_that_are_known() {
    let refused = output(&[ENGINE, "containerd", "true"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("docker|docker28|"), "{refused:?}");
}
