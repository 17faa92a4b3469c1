//! What can go wrong with a practice LAN: situations, and what the operator can do about each.

use std::{ffi::OsString, io};

use ipnet::Ipv4Net;
use nix::unistd::Pid;
use rtnetlink::Error as Netlink;
use thiserror::Error;

use super::name::Name;

/// Why a practice LAN could not be made, used or removed.
#[derive(Debug, Error)]
pub enum LabError {
    /// The kernel denies it.
    #[error("not permitted to {action}; a practice LAN needs root: run it with sudo")]
    NotPermitted {
        /// What was attempted.
        action: &'static str,
    },
    /// There is no such practice LAN.
    #[error("there is no practice LAN {name}; make it with: landfall lab up{}", name.option())]
    NotUp {
        /// Its name.
        name: Name,
    },
    /// It is up with another subnet than the one asked for.
    #[error("the practice LAN {name} has another subnet, {found}; take it down first: landfall lab down{}", name.option())]
    OtherSubnet {
        /// Its name.
        name: Name,
        /// What it has.
        found: Ipv4Net,
    },
    /// The host has an interface of that name that is no veth.
    #[error("{interface} exists and is not of a practice LAN; remove it, or choose another --name")]
    Taken {
        /// The interface's name.
        interface: String,
    },
    /// An interface that was just made is not there.
    #[error("{interface} was removed by another program; try again")]
    Vanished {
        /// The interface's name.
        interface: String,
    },
    /// The command runs in the practice LAN's own namespace.
    #[error("this runs inside the practice LAN {name}; run it on the host")]
    Inside {
        /// Its name.
        name: Name,
    },
    /// Processes in the namespace outlive SIGKILL.
    #[error("processes of the practice LAN do not end: {pids:?}")]
    Survivors {
        /// Their process ids.
        pids: Vec<Pid>,
    },
    /// The command that was to run in the practice LAN did not start.
    #[error("{} did not start in the practice LAN", command.display())]
    Exec {
        /// The command's name.
        command: OsString,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused something about an interface.
    #[error("could not {action}")]
    Link {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: Netlink,
    },
    /// Anything else that the operating system refused.
    #[error("could not {action}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl LabError {
    /// For `map_err`: the situation in which the operating system refused `action`.
    pub fn io(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source {
            source if source.kind() == io::ErrorKind::PermissionDenied => Self::NotPermitted { action },
            source => Self::System { action, source },
        }
    }

    /// For `map_err`: the situation in which rtnetlink refused `action`.
    pub fn link(action: &'static str) -> impl Fn(Netlink) -> Self {
        let denied = |error: &Netlink| {
            let Netlink::NetlinkError(message) = error else { return false };
            message.to_io().kind() == io::ErrorKind::PermissionDenied
        };
        move |source| {
            if denied(&source) { Self::NotPermitted { action } } else { Self::Link { action, source } }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_denial_is_told_from_a_failure() {
        for errno in [Errno::EPERM, Errno::EACCES] {
            let error = LabError::io("make it")(errno.into());
            assert!(matches!(error, LabError::NotPermitted { action: "make it" }), "{errno}");
        }
        assert!(matches!(LabError::io("make it")(Errno::EBUSY.into()), LabError::System { .. }));
    }
}
