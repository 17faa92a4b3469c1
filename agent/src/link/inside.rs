//! Watches which IPv4 networks there are beside the uplink's.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use ipnet::Ipv4Net;
use landfall_api::InterfaceName;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage, address::AddressMessage};
use rtnetlink::{
    Handle, MulticastGroup, new_multicast_connection, packet_core::NetlinkMessage, sys::SocketAddr,
};
use tokio::task::JoinHandle;

use super::{Attempt as _, LinkError, address::subnet};

/// The networks, as they come and go.
pub struct Inside {
    uplink: InterfaceName,
    handle: Handle,
    messages: Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Unpin>,
    connection: JoinHandle<()>,
    told: Option<Vec<Ipv4Net>>,
    /// Whether something may have changed since the last look.
    is_stale: bool,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Inside {
    /// Watches from now on.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket.
    pub fn watch(uplink: InterfaceName) -> Result<Self, LinkError> {
        let (connection, handle, messages) =
            new_multicast_connection(&[MulticastGroup::Ipv4Ifaddr]).map_err(LinkError::Socket)?;
        let (messages, connection) = (Box::new(messages), tokio::spawn(connection));
        Ok(Self { uplink, handle, messages, connection, told: None, is_stale: true })
    }

    /// Waits until they are not what they were: what they are now, those of all interfaces. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel closes the socket, or refuses.
    pub async fn next(&mut self) -> Result<Vec<Ipv4Net>, LinkError> {
        loop {
            if self.is_stale {
                let now = self.look().await?;
                self.is_stale = false;
                if self.told.as_ref() != Some(&now) {
                    self.told = Some(now.clone());
                    return Ok(now);
                }
            }
            self.messages.next().await.ok_or(LinkError::Closed)?;
            self.is_stale = true;
        }
    }

    async fn look(&self) -> Result<Vec<Ipv4Net>, LinkError> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet;
        let all: Vec<AddressMessage> =
            request.execute().try_collect().await.attempt(&self.uplink, || "list the addresses".into())?;
        Ok(all.iter().filter_map(subnet).collect())
    }
}
