//! Containers to expose, and what is left of them.

use std::fs;

use crate::{
    lock::Lock,
    removal::{Removal, make, remove},
    run::{output, path, run, unique, wait_until},
    subnet::Subnet,
};

/// The image of a web server that exposes 80/tcp.
pub const WEB: &str = "landfall-test-web";
/// The image of a container that does nothing and exposes nothing.
pub const IDLE: &str = "landfall-test-idle";

/// What `docker run` is to start for a target that serves in every way, and what `landfall up` is to forward to it.
pub const SERVICES: [&str; 5] = [WEB, "--udp", "53", "--udp-connected", "54"];
/// See `SERVICES`.
pub const FORWARDS: [&str; 6] = ["-p", "80", "-p", "53/udp", "-p", "54/udp"];

/// A container, which is removed in the end with whatever landfall made for it.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    _removal: Removal,
}

impl Target {
    /// A running web server.
    pub fn web() -> Self {
        Self::run(&[WEB])
    }

    /// A running container: options, image and arguments of `docker run`.
    pub fn run(arguments: &[&str]) -> Self {
        let target = Self::reserve();
        target.start(arguments);
        target
    }

    /// Makes the container of a name that was reserved: options, image and arguments of `docker run`.
    pub fn start(&self, arguments: &[&str]) {
        let ours = |word: &&str| if [WEB, IDLE].contains(word) { mark(word) } else { (*word).to_owned() };
        let arguments: Vec<String> = arguments.iter().map(ours).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        make(&[&["docker", "run", "--detach", "--name", &self.name], &*arguments].concat());
    }

    /// A name for a container that somebody will make.
    pub fn reserve() -> Self {
        load_images();
        let name = format!("lft-{}", unique());
        let (target, network_container, program) =
            (name.clone(), format!("landfall-{name}"), path("LANDFALL"));
        let removal = Removal::new(move || {
            remove(&[program.to_str().expect("a plain path"), "down", &target]);
            remove(&["docker", "rm", "--force", "--volumes", &target, &network_container]);
        });
        Self { name, _removal: removal }
    }

    /// The name of its network container.
    pub fn network_container(&self) -> String {
        format!("landfall-{}", self.name)
    }

    /// Its address on the engine's default network.
    pub fn address(&self) -> String {
        address_of(&self.name)
    }

    /// What a command prints in its network namespace.
    pub fn inside(&self, line: &[&str]) -> String {
        let net = format!("--net=/proc/{}/ns/net", inspect(&self.name, "{{.State.Pid}}"));
        run(&[&["nsenter", &*net], line].concat())
    }

    /// Waits until its web server listens, which may take longer than it takes to start.
    pub fn wait_until_it_serves(&self) {
        wait_until("the target serves", || self.inside(&["ss", "-Htln"]).contains(":80 "));
    }

    /// What a path has made in it, if it is there: links, addresses, routes and rules.
    pub fn traces(&self) -> Vec<String> {
        if !output(&["docker", "inspect", &self.name]).status.success() {
            return Vec::new();
        }
        let shown = self.inside(&[
            "sh",
            "-c",
            "ip -o link; for v in 4 6; do ip -$v -o addr; ip -$v route show table all; ip -$v rule; done",
        ]);
        let ours = ["169.254.", "fd6c:", " lf", " ll", " lh", "proto 108"];
        let is_ours = |line: &&str| ours.iter().any(|mark| line.contains(mark));
        shown.lines().filter(is_ours).map(str::to_owned).collect()
    }

    /// Whether it has a network container, whatever its state.
    pub fn is_exposed(&self) -> bool {
        output(&["docker", "inspect", &self.network_container()]).status.success()
    }
}

/// A Docker network of its own, which is removed in the end; declare it before the containers on it.
pub struct Network {
    /// Its name.
    pub name: String,
    _removal: Removal,
    subnet: Subnet,
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Network {
    /// A bridge network.
    pub fn new() -> Self {
        Self::with(|_| Vec::new())
    }

    /// One that has IPv6, too.
    pub fn with_ipv6() -> Self {
        Self::with(|subnet| ["--ipv6", "--subnet", &subnet.of_containers6()].map(str::to_owned).into())
    }

    // Docker itself has 31 subnets for all networks.
    fn with(options: impl FnOnce(&Subnet) -> Vec<String>) -> Self {
        let (name, subnet) = (format!("lft-{}", unique()), Subnet::claim());
        let (more, own) = (options(&subnet), subnet.of_containers());
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let removal = Removal::by(&["docker", "network", "rm", &name]);
        make(&[&["docker", "network", "create", "--subnet", &own], &*more, &[&name]].concat());
        Self { name, _removal: removal, subnet }
    }

    /// Its subnet of IPv6, where it has one.
    pub fn subnet6(&self) -> String {
        self.subnet.of_containers6()
    }
}

/// Takes the agent image away, so that the next `up` finds an engine that never saw it.
pub fn forget_agent_image() {
    let images = run(&["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"]);
    for image in images.lines().filter(|image| image.contains("landfall-agent:")) {
        run(&["docker", "image", "rm", "--force", image]);
    }
}

/// The address of a container on the engine's default network.
pub fn address_of(name: &str) -> String {
    inspect(name, "{{.NetworkSettings.IPAddress}}")
}

/// A value from `docker inspect`.
pub fn inspect(name: &str, format: &str) -> String {
    run(&["docker", "inspect", "--format", format, name]).trim().to_owned()
}

/// Loads the images that targets are made of, unless they are there.
///
/// # Panics
/// If they are not there, or Docker is not.
pub fn load_images() {
    for name in [WEB, IDLE] {
        if !is_loaded(name) {
            // Tests are processes of their own, and engines load one image twice at once badly.
            let _lock = Lock::of("images");
            if !is_loaded(name) {
                load_marked(name);
            }
        }
    }
}

/// A tag that says which archive was loaded, for another checkout may have another one of that name. What an engine takes for the
/// id of an image is its own business.
fn mark(name: &str) -> String {
    let id = path("LANDFALL_TEST_IMAGES").join(format!("{name}.id"));
    let id = fs::read_to_string(id).expect("the packer writes it beside the archive");
    format!("{name}:{}", id.trim().trim_start_matches("sha256:"))
}

fn is_loaded(name: &str) -> bool {
    output(&["docker", "image", "inspect", &mark(name)]).status.success()
}

fn load_marked(name: &str) {
    let archive = path("LANDFALL_TEST_IMAGES").join(format!("{name}.tar.gz"));
    load(archive.to_str().expect("a plain path"));
    run(&["docker", "tag", name, &mark(name)]);
}

/// Loads an archive, which Podman 4.3 takes only as it was before it was compressed.
pub fn load(archive: &str) {
    run(&["sh", "-c", "gzip -dc \"$0\" | docker load --quiet", archive]);
}
