//! Which engine is meant: the one that is named, or else the one that is there.

use std::{env, process::Command};

use landfall_tests::{
    landfall::{Ran, command},
    lock::Lock,
    removal::Folder,
    run::{path, run, wait_until},
};

fn ls(host: &[&str], docker_host: Option<&str>) -> Ran {
    let mut command = command(&[host, &["ls", "--format", "json"]].concat());
    command.env_remove("DOCKER_HOST").envs(docker_host.map(|host| ("DOCKER_HOST", host)));
    command.output().expect("make build").into()
}

#[test]
fn the_engine_that_is_there_is_found() {
    let _engine = Lock::of("engine");
    assert_eq!(ls(&[], None).done(), "[]\n");
    assert_eq!(ls(&[], Some("")).done(), "[]\n");
}

#[test]
fn the_flag_comes_before_the_environment_and_that_before_the_usual_places() {
    let _engine = Lock::of("engine");
    let named = env::var("DOCKER_HOST").expect("tests/engine sets it");
    assert_eq!(ls(&["--host", &named], Some("unix:///nowhere")).done(), "[]\n");
    assert!(ls(&[], Some("unix:///nowhere")).failed(5).contains("there is no socket /nowhere"));
    assert!(ls(&["--host", "unix:///nowhere"], Some(&named)).failed(5).contains("/nowhere"));
    assert!(ls(&["--host", "ssh://other"], None).failed(5).contains("on this host"));
}

/// `landfall ls` where nothing is in `/run`, with these variables.
fn ls_alone(variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$0\" ls"])
        .arg(path("LANDFALL"));
    command.env_remove("DOCKER_HOST").envs(variables.iter().copied());
    Ran::from(command.output().expect("unshare is part of util-linux")).failed(5)
}

#[test]
fn a_host_without_an_engine_is_told_so() {
    let said = ls_alone(&[]);
    assert!(
        said.contains("docker.sock") && said.contains("podman.sock") && said.contains("systemctl"),
        "{said}"
    );
}

const NOBODYS_PODMAN: &str = r#"
    mount -t tmpfs -o mode=755 tmpfs /dev
    mknod -m 666 /dev/null c 1 3
    mkdir -m 1777 /dev/shm
    cd /
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --reset-env --pdeathsig KILL \
        env "HOME=$0" "XDG_RUNTIME_DIR=$0" podman system service --time 0 "$1""#;

#[test]
fn a_rootless_engine_is_refused_with_the_reason() {
    // Given a Podman that runs as nobody, where it may be, and with devices that it may open
    let directory = Folder::new();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let socket = at("podman/podman.sock");
    run(&["mkdir", &at("podman")]);
    run(&["chown", "-R", "65534:65534", &at("")]);
    let mut podman = Command::new("unshare");
    podman.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    podman.args(["sh", "-c", NOBODYS_PODMAN, &at(""), &format!("unix://{socket}")]);
    let mut podman = podman.spawn().expect("unshare is part of util-linux");
    wait_until("it listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    // When it is named, or is all that there is
    let named = ls(&["--host", &format!("unix://{socket}")], None);
    let found = ls_alone(&[("XDG_RUNTIME_DIR", &at(""))]);
    drop(podman.kill());
    drop(podman.wait());
    // Then it is refused
    for said in [named.failed(5), found] {
        assert!(said.contains("it is rootless") && said.contains(&socket), "{said}");
    }
}
