//! The macvlan kind: a MAC address of its own on the parent's wire.

use std::{os::fd::AsRawFd as _, path::Path, time::Duration};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use landfall_api::MacAddr;
use nix::errno::Errno;
use rtnetlink::{
    LinkMacVlan,
    packet_core::NetlinkPayload,
    packet_route::{RouteNetlinkMessage, link::MacVlanMode},
};
use sha2::{Digest as _, Sha256};
use tokio::time::{interval, timeout};
use tracing::debug;

use super::{
    Parent, UplinkError,
    holder::{InUse, Verdict, decide},
    search,
};
use crate::{
    netlink::{Event, Netlink, NetlinkError, ignore, namespace, refused},
    patience::Patience,
};

/// How often to try at most, and at least: the kernel says when a macvlan goes from its parent, but drops what nobody has read in time.
const TRY_EVERY: Duration = Duration::from_millis(10);
const TRY_AFTER: Duration = Duration::from_millis(500);

/// The first index of uplinks, which have 24 bits of their own. Companions, in the same namespaces, have lower ones.
const FIRST_INDEX: u32 = 0x6d00_0000;

/// An uplink that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Uplink<'a> {
    /// The network container that it is for.
    pub container: &'a str,
    /// The network namespace that it is to be in.
    pub namespace: &'a Path,
    /// What it is to be called there.
    pub name: &'a str,
    /// Its MAC address.
    pub mac: MacAddr,
}

/// The interface index of that network container's uplink, which identifies an uplink that a dead agent left behind. It also differs
/// from the index of its parent: where the two are equal, the kernel takes up to a second until the uplink can send.
pub fn index_of(container: &str) -> u32 {
    let digest: [u8; 32] = Sha256::digest(container).into();
    FIRST_INDEX + u32::from_be_bytes([0, digest[0], digest[1], digest[2]])
}

/// Makes the uplink straight in its network namespace, in one step: there is no moment at which it could be
/// left on the host. It is up, so that the kernel sees to it that nobody else on the parent has its MAC address.
///
/// An uplink that an agent has left behind is removed, wherever it is; for a while one that is about to go is waited for.
///
/// # Errors
/// If somebody else has the MAC address, or the kernel refuses.
pub async fn create(parent: &Parent, uplink: Uplink<'_>, patience: Patience) -> Result<(), UplinkError> {
    let (netlink, mut events) = Netlink::listen_to_links()?;
    let namespace = namespace(uplink.namespace, "the network container")?;
    // The number leads to the uplink when no process and no file does.
    netlink.assign_nsid(&namespace).await?;
    let macvlan = LinkMacVlan::new(uplink.name, parent.index, MacVlanMode::Bridge)
        .address(uplink.mac.0.to_vec())
        .index(index_of(uplink.container))
        .setns_by_fd(namespace.as_raw_fd())
        .up()
        .build();
    let what = format!("create a macvlan of {} with the MAC address {}", parent.name, uplink.mac);
    let attempt = async || {
        let made = netlink.handle.link().add(macvlan.clone()).execute().await;
        ignore(made, Errno::EADDRINUSE).map_err(refused(&*what))
    };
    if attempt().await?.is_some() {
        return Ok(());
    }
    // The first search has no limit: the error names the holder even where no time is left.
    let mut holder = search::holder(&netlink, parent, uplink.mac).await?;
    let mut pace = interval(TRY_EVERY);
    let trying = async {
        loop {
            match decide(&holder, uplink.container) {
                Verdict::Remove(nsid, index) => {
                    debug!(%nsid, index, "removing an uplink that was left behind");
                    netlink.remove_in(nsid, index).await?;
                }
                Verdict::Refuse => return Ok::<_, NetlinkError>(None),
                Verdict::Wait => drop(timeout(TRY_AFTER, change_of(parent, &mut events)).await),
            }
            pace.tick().await;
            if let Some(made) = attempt().await? {
                return Ok(Some(made));
            }
            // What the attempt has made the kernel say is no news.
            while let Some(Some(_)) = events.next().now_or_never() {}
            holder = search::holder(&netlink, parent, uplink.mac).await?;
        }
    };
    let made = patience.limit(trying).await.unwrap_or(Ok(None))?;
    let in_use = || InUse { mac: uplink.mac, parent: parent.name.to_string(), holder };
    made.ok_or_else(|| UplinkError::MacInUse(in_use().into()))
}

/// Waits until the kernel says that something about the parent has changed, as it does when a macvlan goes.
async fn change_of(parent: &Parent, events: &mut (impl Stream<Item = Event> + Unpin)) {
    let is_its = |(message, _): Event| {
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = message.payload else {
            return false;
        };
        link.header.index == parent.index
    };
    while let Some(event) = events.next().await {
        if is_its(event) {
            return;
        }
    }
}
