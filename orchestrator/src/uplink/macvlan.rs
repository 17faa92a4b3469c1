//! The macvlan kind: a MAC address of its own on the parent's wire.

use std::{fs::File, os::fd::AsRawFd as _, path::Path};

use landfall_api::MacAddr;
use rtnetlink::{LinkMacVlan, packet_route::link::MacVlanMode};

use super::{Netlinked, Parent, UPLINK, UplinkError, refused};

/// Makes the uplink straight in the network namespace at `namespace`, in one step: there is no moment at which it could be
/// left on the host.
///
/// # Errors
/// If the kernel refuses.
pub async fn create(parent: &Parent, mac: MacAddr, namespace: &Path) -> Result<(), UplinkError> {
    let netlink = Netlinked::open()?;
    let namespace = File::open(namespace)
        .map_err(|error| UplinkError::Namespace(namespace.display().to_string(), error))?;
    let macvlan = LinkMacVlan::new(UPLINK, parent.index, MacVlanMode::Bridge)
        .address(mac.0.to_vec())
        .setns_by_fd(namespace.as_raw_fd())
        .build();
    let attempt = format!("create a macvlan of {} with the MAC address {mac}", parent.name);
    netlink.handle.link().add(macvlan).execute().await.map_err(refused(attempt))
}
