//! What the kernel does of IPv6 in a network container, as the host sets it: an agent may not write there.

use std::{fs, io, path::Path};

use super::UplinkError;
use crate::netlink::{NetlinkError, namespace};

/// Of the uplink: routers are the agent's business, and a container begins at once. On last.
const UPLINK: [(&str, &str); 4] = [
    ("accept_ra", "0"),
    ("router_solicitations", "0"),
    ("router_solicitation_delay", "0"),
    ("disable_ipv6", "0"),
];

/// Gives the uplink called `name` IPv6, in the network namespace at `path`.
///
/// # Errors
/// If the kernel has none.
pub fn enable(path: &Path, name: &str) -> Result<(), UplinkError> {
    let namespace = namespace(path, "the network container")?;
    let set = || UPLINK.into_iter().try_for_each(|(setting, value)| write(name, setting, value));
    namespace.within(set).map_err(UplinkError::NoIpv6)
}

/// Lets the network container pass on what comes over IPv6. Its uplink stays a host for its neighbours.
///
/// # Errors
/// If the kernel has no IPv6.
pub fn forward(path: &Path, name: &str) -> Result<(), UplinkError> {
    let namespace = match namespace(path, "the network container") {
        Ok(namespace) => namespace,
        // It has ended meanwhile, which others notice.
        Err(NetlinkError::Namespace(..)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let set = || {
        // Setting it again would make the uplink a router for a moment.
        let now = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding");
        if !now.is_ok_and(|now| now.trim() == "1") {
            write("all", "forwarding", "1")?;
        }
        write(name, "forwarding", "0")
    };
    namespace.within(set).map_err(UplinkError::NoIpv6)
}

fn write(interface: &str, setting: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/{setting}"), value)
}
