//! Watches one interface by name, through the kernel's own messages: nothing is polled.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use landfall_api::{InterfaceName, MacAddr};
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkMessage},
};
use rtnetlink::{
    Error as Netlink, Handle, LinkUnspec, MulticastGroup, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    sys::SocketAddr,
};
use tokio::task::JoinHandle;

use super::{Attempt as _, Carrier, Link, LinkError};

type Messages = Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Unpin>;

/// The interface of one name: what it is now, and what becomes of it.
pub struct Links {
    pub(super) name: InterfaceName,
    pub(super) handle: Handle,
    messages: Messages,
    connection: JoinHandle<()>,
    link: Option<Link>,
    /// What the first look found, until `next` has told it.
    found: Option<Link>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Links {
    /// Watches for the interface called `name`, from now on.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket, or cannot say which interfaces there are.
    pub async fn watch(name: InterfaceName) -> Result<Self, LinkError> {
        let (connection, handle, messages) =
            new_multicast_connection(&[MulticastGroup::Link]).map_err(LinkError::Socket)?;
        let connection = tokio::spawn(connection);
        let mut links = Self {
            name,
            handle,
            messages: Box::new(messages),
            connection,
            link: None,
            found: None,
        };
        links.found = links.look().await?;
        Ok(links)
    }

    /// Waits until the interface is not what it was: what it is now, or that it is gone. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel closes the socket.
    pub async fn next(&mut self) -> Result<Option<Link>, LinkError> {
        if let Some(found) = self.found.take() {
            self.link = Some(found.clone());
            return Ok(Some(found));
        }
        loop {
            let (message, _) = self.messages.next().await.ok_or(LinkError::Closed)?;
            let changed = self.changed(message);
            if changed != self.link {
                self.link.clone_from(&changed);
                return Ok(changed);
            }
        }
    }

    /// Lets frames pass.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn bring_up(&self, link: &Link) -> Result<(), LinkError> {
        let up = LinkUnspec::new_with_index(link.index).up().build();
        self.handle
            .link()
            .set(up)
            .execute()
            .await
            .attempt(&self.name, || "bring up the link".into())
    }

    /// What the interface is now, if it is there.
    async fn look(&self) -> Result<Option<Link>, LinkError> {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(self.name.to_string())
            .execute();
        match links.try_next().await {
            Ok(link) => Ok(link.as_ref().and_then(to_link)),
            Err(Netlink::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => Ok(None),
            Err(error) => Err(error).attempt(&self.name, || "look for the link".into()),
        }
    }

    /// What the interface is after `message`.
    fn changed(&self, message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Link> {
        let index = self.link.as_ref().map(|link| link.index);
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link))
                if is_called(&link, &self.name) =>
            {
                to_link(&link)
            }
            // Renamed away.
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link))
                if Some(link.header.index) == index =>
            {
                None
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
                if Some(link.header.index) == index =>
            {
                None
            }
            _ => self.link.clone(),
        }
    }
}

fn is_called(link: &LinkMessage, name: &InterfaceName) -> bool {
    link.attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::IfName(is) if is == name.as_str()))
}

/// The link of a message, if it is of the kind that has a MAC address.
fn to_link(message: &LinkMessage) -> Option<Link> {
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(address) => address.as_slice().try_into().ok().map(MacAddr),
        _ => None,
    })?;
    let mtu = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    })?;
    let passes = message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    Some(Link {
        index: message.header.index,
        mac,
        mtu,
        carrier: if passes { Carrier::Up } else { Carrier::Down },
    })
}
