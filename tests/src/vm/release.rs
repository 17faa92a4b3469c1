//! The releases of Debian that machines are made of, and what is on them.

use std::env;

/// What every machine has: what a host of landfall has, and what the Docker tier runs.
const PACKAGES: &[&str] = &[
    "apparmor",
    "ca-certificates",
    "curl",
    "dbus",
    "dnsmasq-base",
    "docker-registry",
    "docker.io",
    "firewalld",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "login",
    "nftables",
    "podman",
    "procps",
    "qemu-guest-agent",
    "strace",
    "systemd",
    "systemd-sysv",
    "tcpdump",
    "udev",
    "ufw",
];

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Debian 12: kernel 6.1, Docker 20.10, Podman 4.3.
    Bookworm,
    /// Debian 13: kernel 6.12, Docker 26, Podman 5.4.
    Trixie,
    /// Debian unstable: the newest kernel, Docker 28, Podman 5.8.
    Sid,
}

impl Release {
    /// The one that this run is about, which the Makefile says in `LANDFALL_VM`.
    ///
    /// # Panics
    /// If it is none of ours.
    pub fn of_this_run() -> Self {
        match env::var("LANDFALL_VM").as_deref() {
            Ok("bookworm") | Err(_) => Self::Bookworm,
            Ok("trixie") => Self::Trixie,
            Ok("sid") => Self::Sid,
            Ok(other) => {
                panic!("LANDFALL_VM={other} is no release that machines are made of: bookworm, trixie, sid")
            }
        }
    }

    /// As its archive is called.
    pub fn codename(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// Whether its archive has updates and security updates beside it: unstable is its own.
    pub fn has_updates(self) -> bool {
        match self {
            Self::Bookworm | Self::Trixie => true,
            Self::Sid => false,
        }
    }

    /// What is installed.
    pub fn packages(self) -> Vec<&'static str> {
        let mut packages = PACKAGES.to_vec();
        match self {
            Self::Bookworm => packages.push("containernetworking-plugins"),
            // docker.io no longer brings its client, nor systemd its cryptography.
            Self::Trixie => packages.extend(["docker-cli", "netavark"]),
            // Nor does every system have mount any more, which systemd runs.
            Self::Sid => packages.extend(["docker-cli", "netavark", "mount"]),
        }
        packages
    }
}
