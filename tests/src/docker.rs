//! Containers to expose, and what is left of them.

use std::sync::Once;

use crate::{
    landfall::landfall,
    run::{output, path, run, unique, wait_until},
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
}

impl Target {
    /// A running web server.
    pub fn web() -> Self {
        Self::run(&[WEB])
    }

    /// A running container: options, image and arguments of `docker run`.
    pub fn run(arguments: &[&str]) -> Self {
        let target = Self::reserve();
        run(&[&["docker", "run", "--detach", "--name", &target.name], arguments].concat());
        target
    }

    /// A name for a container that somebody will make.
    pub fn reserve() -> Self {
        load_images();
        Self { name: format!("lft-{}", unique()) }
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

impl Drop for Target {
    fn drop(&mut self) {
        drop(landfall(&["down", &self.name]));
        output(&["docker", "rm", "--force", "--volumes", &self.name, &self.network_container()]);
    }
}

/// A Docker network of its own, which is removed in the end; declare it before the containers on it.
pub struct Network {
    /// Its name.
    pub name: String,
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Network {
    /// A bridge network.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// One that has IPv6, too, of which Docker gives no subnet by itself.
    pub fn with_ipv6(subnet: &str) -> Self {
        Self::with(&["--ipv6", "--subnet", subnet])
    }

    fn with(options: &[&str]) -> Self {
        let name = format!("lft-{}", unique());
        run(&[&["docker", "network", "create"], options, &[&name]].concat());
        Self { name }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        output(&["docker", "network", "rm", &self.name]);
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

/// Loads the images that targets are made of.
///
/// # Panics
/// If they are not there, or Docker is not.
pub fn load_images() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        for name in [WEB, IDLE] {
            let archive = path("LANDFALL_TEST_IMAGES").join(format!("{name}.tar.gz"));
            let archive = archive.to_str().expect("a plain path");
            load(archive);
        }
    });
}

/// Loads an archive, which Podman 4.3 takes only as it was before it was compressed.
pub fn load(archive: &str) {
    run(&["sh", "-c", "gzip -dc \"$0\" | docker load --quiet", archive]);
}
