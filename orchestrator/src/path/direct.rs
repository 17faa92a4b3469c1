//! The direct path: the uplink is in the target itself, and the agent shares its network namespace. Nothing is forwarded.

use std::{fs, path::Path};

use tracing::debug;

use crate::{
    netlink::{Netlink, NetlinkError, namespace, short_name},
    netns::Netns,
};

/// What is set for the uplink, so that neither network learns the addresses of the other, and as on all paths without IPv6.
const SETTINGS: [(&str, &str); 3] = [
    ("ipv4/conf/NAME/arp_ignore", "1"),
    ("ipv4/conf/NAME/arp_announce", "2"),
    ("ipv6/conf/NAME/disable_ipv6", "1"),
];

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
    pub fn lay(&self) {
        let set = || {
            SETTINGS.into_iter().try_for_each(|(setting, value)| {
                fs::write(format!("/proc/sys/net/{}", setting.replace("NAME", &self.name)), value)
            })
        };
        if let Err(error) = self.namespace.within(set) {
            debug!(%error, name = self.name, "some settings stay as they are");
        }
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
