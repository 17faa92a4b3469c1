//! Watches which interfaces have IPv4 addresses, and in which networks.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use ipnet::Ipv4Net;
use landfall_api::InterfaceName;
use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
};
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
        Ok(Self { uplink, handle, messages, connection })
    }

    /// Waits until they have changed, or may have. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel closes the socket.
    pub async fn next(&mut self) -> Result<(), LinkError> {
        self.messages.next().await.map(drop).ok_or(LinkError::Closed)
    }

    /// What they are now, each with its interface. Not to be begun where something else may put an end to it: a question that is
    /// asked again and again is one that the kernel answers again and again.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn look(&self) -> Result<Vec<(String, Ipv4Net)>, LinkError> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet;
        let all: Vec<AddressMessage> =
            request.execute().try_collect().await.attempt(&self.uplink, || "list the addresses".into())?;
        Ok(all.iter().filter_map(|message| Some((label(message)?, subnet(message)?))).collect())
    }
}

/// The interface's name, as it is written on its IPv4 addresses.
fn label(message: &AddressMessage) -> Option<String> {
    message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Label(label) = attribute { Some(label.clone()) } else { None }
    })
}
