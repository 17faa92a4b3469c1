//! The macvlan kind: a MAC address of its own on the parent's wire.

use std::{os::fd::AsRawFd as _, path::Path, time::Duration};

use landfall_api::MacAddr;
use nix::errno::Errno;
use rtnetlink::{LinkMacVlan, packet_route::link::MacVlanMode};
use tokio::time::interval;

use super::{Parent, UplinkError};
use crate::netlink::{Netlink, is, namespace, refused};

/// The kernel takes its time to remove the namespace of a container that has ended, and its macvlan with it; it tells
/// nobody when it is done.
const TRY_EVERY: Duration = Duration::from_millis(10);
const TRIES: u32 = 500;

/// Makes the uplink called `name` straight in the network namespace at `namespace`, in one step: there is no moment at which it could be
/// left on the host. It is up, so that the kernel sees to it that nobody else on the parent has its MAC address.
///
/// # Errors
/// If the kernel refuses.
pub async fn create(
    parent: &Parent,
    mac: MacAddr,
    (namespace, name): (&Path, &str),
) -> Result<(), UplinkError> {
    let netlink = Netlink::open()?;
    let namespace = self::namespace(namespace, "the network container")?;
    let macvlan = LinkMacVlan::new(name, parent.index, MacVlanMode::Bridge)
        .address(mac.0.to_vec())
        .setns_by_fd(namespace.as_raw_fd())
        .up()
        .build();
    let mut pace = interval(TRY_EVERY);
    for _ in 0..TRIES {
        pace.tick().await;
        match netlink.handle.link().add(macvlan.clone()).execute().await {
            Err(error) if is(&error, Errno::EADDRINUSE) => {}
            made => {
                let attempt = format!("create a macvlan of {} with the MAC address {mac}", parent.name);
                return Ok(made.map_err(refused(attempt))?);
            }
        }
    }
    Err(UplinkError::MacInUse(mac, parent.name.to_string()))
}
