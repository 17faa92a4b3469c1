//! Containers to expose, and what is left of them.

use std::sync::Once;

use crate::{
    landfall::landfall,
    run::{output, path, run, unique},
};

/// The image of a web server that exposes 80/tcp.
pub const WEB: &str = "landfall-test-web";
/// The image of a container that does nothing and exposes nothing.
pub const IDLE: &str = "landfall-test-idle";

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

    /// Its address on Docker's default network.
    pub fn address(&self) -> String {
        inspect(&self.name, "{{.NetworkSettings.IPAddress}}")
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
        let name = format!("lft-{}", unique());
        run(&["docker", "network", "create", &name]);
        Self { name }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        output(&["docker", "network", "rm", &self.name]);
    }
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
            run(&["docker", "load", "--quiet", "--input", archive]);
        }
    });
}
