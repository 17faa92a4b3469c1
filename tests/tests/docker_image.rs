//! The agent image: what is in it, that it can be made again, and that a registry takes it.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use landfall_tests::{
    docker::Target,
    lan::Lan,
    landfall::landfall,
    run::{output, path, run, unique, wait_until},
};

/// Packs an image; gives its id.
fn pack(arguments: &[&str], archive: &Path) -> String {
    let out = archive.to_str().expect("a plain path");
    let program = path("LANDFALL_IMAGES");
    let program = program.to_str().expect("a plain path");
    run(&[&[program], &arguments[..1], &["--out", out], &arguments[1..]].concat());
    fs::read_to_string(archive.with_extension("").with_extension("id"))
        .expect("the packer writes it")
        .trim()
        .to_owned()
}

#[test]
fn two_packings_are_one_image_of_at_most_eight_mebibytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let agent = path("LANDFALL_AGENT");
    let arguments = ["agent", "--agent", agent.to_str().expect("a plain path"), "--version", "9.9.9"];
    let [first, second] = ["first.tar.gz", "second.tar.gz"].map(|name| directory.path().join(name));
    assert_eq!(pack(&arguments, &first), pack(&arguments, &second));
    assert_eq!(fs::read(&first).expect("a file"), fs::read(&second).expect("a file"));
    run(&["docker", "load", "--quiet", "--input", first.to_str().expect("a plain path")]);
    let size: u64 = run(&["docker", "image", "inspect", "--format", "{{.Size}}", "landfall-agent:9.9.9"])
        .trim()
        .parse()
        .expect("a number");
    output(&["docker", "rmi", "landfall-agent:9.9.9"]);
    assert!(size <= 8 << 20, "{size} bytes");
}

#[test]
fn the_image_is_loaded_where_it_is_not() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    landfall(&["up", "-q", &target.name, &interface]).done();
    let image = landfall_tests::docker::inspect(&target.network_container(), "{{.Image}}");
    let id = fs::read_to_string(path("LANDFALL_TEST_IMAGES").join("../image/landfall-agent.id"))
        .expect("make build");
    assert_eq!(image, id.trim());
}

#[test]
fn there_is_no_shell_and_nft_runs_with_one_capability() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    landfall(&["up", "-q", &target.name, &interface]).done();
    let name = target.network_container();
    for shell in ["sh", "/bin/sh", "bash", "busybox"] {
        assert!(
            !output(&["docker", "exec", &name, shell, "-c", "true"]).status.success(),
            "there is a {shell}"
        );
    }
    assert!(run(&["docker", "exec", &name, "/usr/sbin/nft", "list", "tables"]).contains("inet landfall"));
}

/// A registry on loopback, in a directory of its own.
struct Registry {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let free =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let config = directory.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{free}\"}}\n",
            directory.path().display()
        );
        fs::write(&config, text).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("`make deps` installs docker-registry");
        wait_until("the registry listens", || std::net::TcpStream::connect(free).is_ok());
        Self { child, address: free.to_string(), _directory: directory }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_registry_takes_the_image_and_gives_it_back() {
    let registry = Registry::start();
    let name = format!("{}/lft-{}/agent", registry.address, unique());
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    // When it is pushed as a user pushes it
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut make = Command::new("make");
    make.args(["-C", repository, "push", &format!("REGISTRY={name}")])
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL");
    let pushed = make.output().expect("make is there");
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let said = String::from_utf8_lossy(&pushed.stdout);
    // Then it can be pulled by its digest, and used
    let digest =
        said.split("digest: ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a digest");
    let by_digest = format!("{name}@{digest}");
    run(&["docker", "pull", "--quiet", &by_digest]);
    let ran = landfall(&["up", "-q", &target.name, &interface, "--image", &by_digest]);
    landfall(&["down", &target.name]).done();
    output(&["docker", "rmi", &by_digest]);
    ran.done();
}
