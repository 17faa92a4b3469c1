//! The direct path: the uplink is in the target itself, and the agent shares its network namespace. Nothing is forwarded.

use std::{fs, io, path::Path};

use tracing::debug;

use crate::{
    netlink::{Netlink, NetlinkError, namespace, short_name},
    netns::Netns,
};

/// What is set for the uplink: it answers for its own address only, and takes nothing from the LAN for the target's other ones,
/// whose answers would not go back over it.
const SETTINGS: [(&str, &str); 3] = [("arp_ignore", "1"), ("arp_announce", "2"), ("rp_filter", "1")];

/// What the uplink of a network container is called in its target, where there are interfaces of others.
pub fn uplink(container: &str) -> String {
    short_name("ll", container)
}

/// The uplink in a target, whether it is there or not.
pub struct Direct {
    name: String,
    namespace: Netns,
    netlink: Netlink,
}

impl Direct {
    /// That of the network container of that name, in the target whose namespace is at `path`.
    ///
    /// # Errors
    /// If the target is not there.
    pub fn find(container: &str, path: &Path) -> Result<Self, NetlinkError> {
        let namespace = namespace(path, "the target")?;
        let netlink = Netlink::open_in(&namespace)?;
        Ok(Self { name: uplink(container), namespace, netlink })
    }

    /// Sets what an uplink among others needs.
    ///
    /// # Errors
    /// If a setting that keeps the networks apart cannot be made.
    pub fn lay(&self) -> io::Result<()> {
        let Self { name, namespace, .. } = self;
        namespace.within(|| {
            if let Err(error) = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1") {
                debug!(%error, name, "IPv6 stays as it is");
            }
            SETTINGS.into_iter().try_for_each(|(setting, value)| {
                fs::write(format!("/proc/sys/net/ipv4/conf/{name}/{setting}"), value)
            })
        })
    }

    /// Removes it, if it is there.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn clear(&self) -> Result<(), NetlinkError> {
        match self.netlink.link(&self.name).await? {
            Some(link) => self.netlink.remove(link.header.index).await,
            None => Ok(()),
        }
    }
}
