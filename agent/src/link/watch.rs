//! Watches one interface by name, through the kernel's own messages: nothing is polled.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use landfall_api::{InterfaceName, MacAddr, Namespace, Seen};
use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkMessage},
};
use rtnetlink::{
    Handle, LinkUnspec, MulticastGroup, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    sys::SocketAddr,
};
use tokio::task::JoinHandle;

use super::{Attempt as _, Carrier, Link, LinkError, Neighbours, address::subnet, errno};

type Messages = Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Unpin>;

/// The interface of one name: what it is now, and what becomes of it.
pub struct Links {
    pub(super) name: InterfaceName,
    pub(super) namespace: Namespace,
    pub(super) handle: Handle,
    messages: Messages,
    connection: JoinHandle<()>,
    /// What the interface is, as far as the kernel has said.
    now: Option<Link>,
    /// What `next` has told of that.
    told: Option<Link>,
    knowledge: Knowledge,
}

/// Whether messages may be missing in what we know.
enum Knowledge {
    Current,
    Stale,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Links {
    /// Watches for the interface called `name` in this namespace, from now on.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket, or cannot say which interfaces there are.
    pub async fn watch(name: InterfaceName, namespace: Namespace) -> Result<Self, LinkError> {
        let (connection, handle, messages) =
            new_multicast_connection(&[MulticastGroup::Link]).map_err(LinkError::Socket)?;
        let mut links = Self {
            name,
            namespace,
            handle,
            messages: Box::new(messages),
            connection: tokio::spawn(connection),
            now: None,
            told: None,
            knowledge: Knowledge::Stale,
        };
        links.look().await?;
        Ok(links)
    }

    /// Waits until the interface is not what it was: what it is now, or that it is gone. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel closes the socket, or cannot say what the interface is.
    pub async fn next(&mut self) -> Result<Option<Link>, LinkError> {
        loop {
            self.look().await?;
            if self.now != self.told {
                self.told.clone_from(&self.now);
                return Ok(self.now.clone());
            }
            let (message, _) = self.messages.next().await.ok_or(LinkError::Closed)?;
            self.learn(message);
        }
    }

    /// Lets frames pass.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn bring_up(&self, link: &Link) -> Result<(), LinkError> {
        let up = LinkUnspec::new_with_index(link.index).up().build();
        self.handle.link().set(up).execute().await.attempt(&self.name, || "bring up the link".into())
    }

    /// Lets no frame pass any more, which gives a macvlan's MAC address free before its namespace is gone.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn bring_down(&self, link: &Link) -> Result<(), LinkError> {
        let down = LinkUnspec::new_with_index(link.index).down().build();
        self.handle.link().set(down).execute().await.attempt(&self.name, || "bring down the link".into())
    }

    /// What the interface has received since it was made.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn seen(&self, link: &Link) -> Result<Seen, LinkError> {
        let mut links = self.handle.link().get().match_index(link.index).execute();
        let message =
            links.try_next().await.attempt(&self.name, || "count what came over the link".into())?;
        Ok(message.as_ref().map(to_seen).unwrap_or_default())
    }

    /// What there is beside the uplink.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn neighbours(&self, link: &Link) -> Result<Neighbours, LinkError> {
        let links: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .attempt(&self.name, || "list the links".into())?;
        let others = links.iter().filter(|other| other.header.index != link.index);
        let addresses = self.addresses().await?;
        let addresses = addresses.iter().filter(|address| address.header.index != link.index);
        Ok(Neighbours {
            macs: others.filter_map(to_link).map(|other| other.mac).collect(),
            addresses: addresses.filter_map(subnet).collect(),
        })
    }

    /// Asks what the interface is, unless that is known.
    async fn look(&mut self) -> Result<(), LinkError> {
        if matches!(self.knowledge, Knowledge::Current) {
            return Ok(());
        }
        let mut links = self.handle.link().get().match_name(self.name.to_string()).execute();
        self.now = match links.try_next().await {
            Ok(link) => link.as_ref().and_then(to_link),
            Err(error) if errno(&error) == Some(libc::ENODEV) => None,
            Err(error) => return Err(error).attempt(&self.name, || "look for the link".into()),
        };
        self.knowledge = Knowledge::Current;
        Ok(())
    }

    fn learn(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) {
        if let NetlinkPayload::Overrun(_) = &message.payload {
            self.knowledge = Knowledge::Stale;
        }
        let NetlinkPayload::InnerMessage(message) = message.payload else {
            return;
        };
        if let RouteNetlinkMessage::NewLink(link) = &message
            && is_of_link(link)
        {
            if is_called(link, &self.name) { self.now = to_link(link) } else { self.forget(link) }
        } else if let RouteNetlinkMessage::DelLink(link) = &message
            && is_of_link(link)
        {
            self.forget(link);
        }
    }

    /// It is removed, moved away, or has another name now.
    fn forget(&mut self, link: &LinkMessage) {
        self.now.take_if(|now| now.index == link.header.index);
    }
}

/// A bridge tells of its ports, too, as a family of its own.
fn is_of_link(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

fn is_called(message: &LinkMessage, name: &InterfaceName) -> bool {
    message
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::IfName(is) if is == name.as_str()))
}

fn to_seen(message: &LinkMessage) -> Seen {
    let statistics = message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Stats64(statistics) = attribute { Some(statistics) } else { None }
    });
    statistics
        .map(|counts| Seen { frames: counts.rx_packets, multicast: counts.multicast })
        .unwrap_or_default()
}

/// The link of a message, if it is of the kind that has a MAC address.
fn to_link(message: &LinkMessage) -> Option<Link> {
    let (mut mac, mut mtu) = (None, None);
    for attribute in &message.attributes {
        if let LinkAttribute::Address(address) = attribute {
            mac = address.as_slice().try_into().ok().map(MacAddr);
        } else if let LinkAttribute::Mtu(octets) = attribute {
            mtu = Some(*octets);
        }
    }
    let passes = message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    Some(Link {
        index: message.header.index,
        mac: mac?,
        mtu: mtu?,
        carrier: if passes { Carrier::Up } else { Carrier::Down },
    })
}
