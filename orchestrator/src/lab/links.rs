//! Interfaces and addresses in one network namespace, by rtnetlink.
//! Does what it is told; refuses to know what the interfaces are for.

use std::{fs, net::IpAddr};

use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use nix::errno::Errno;
use rtnetlink::{
    Error as Netlink, Handle,
    packet_route::{
        address::{AddressAttribute, AddressMessage},
        link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
    },
};

use super::error::LabError;
use crate::netns::Netns;

/// A conversation with the kernel about the interfaces of one network namespace.
pub struct Links(Handle);

/// Whether a step had something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was there.
    Found,
    /// It was not, and is now.
    Made,
}

impl Change {
    /// Of two steps together: something was made if either made something.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Found, Self::Found) => Self::Found,
            (Self::Made, _) | (_, Self::Made) => Self::Made,
        }
    }
}

/// Talks about the interfaces of `namespace`, or of the caller's own, for as long as `work` lasts.
pub async fn converse<T>(
    namespace: Option<&Netns>,
    work: impl AsyncFnOnce(&Links) -> Result<T, LabError>,
) -> Result<T, LabError> {
    let runtime = tokio::runtime::Handle::current();
    let open = || {
        let _reactor = runtime.enter();
        rtnetlink::new_connection()
    };
    // A netlink socket stays in the namespace that it was opened in.
    let opened = namespace.map_or_else(open, |namespace| namespace.within(open));
    let (connection, handle, _) = opened.map_err(LabError::io("open a netlink socket"))?;
    let talk = async move {
        let links = Links(handle);
        work(&links).await
    };
    // The connection ends when its handle is dropped.
    let ((), result) = tokio::join!(connection, talk);
    result
}

impl Links {
    /// The interface of that name.
    pub async fn find(&self, name: &str) -> Result<Option<LinkMessage>, LabError> {
        let mut found = std::pin::pin!(self.0.link().get().match_name(name.to_owned()).execute());
        match found.try_next().await {
            Err(error) if is(&error, Errno::ENODEV) => Ok(None),
            result => result.map_err(LabError::link("look for an interface")),
        }
    }

    /// The interface of that name, made as the message says if there is none.
    pub async fn ensure(&self, name: &str, link: LinkMessage) -> Result<(LinkMessage, Change), LabError> {
        if let Some(found) = self.find(name).await? {
            return Ok((found, Change::Found));
        }
        self.add(link).await?;
        let vanished = || LabError::Vanished { interface: name.to_owned() };
        self.find(name).await?.map(|made| (made, Change::Made)).ok_or_else(vanished)
    }

    /// Makes the interface.
    pub async fn add(&self, link: LinkMessage) -> Result<(), LabError> {
        self.0.link().add(link).execute().await.map_err(LabError::link("make an interface"))
    }

    /// Brings the interface to what the message says.
    pub async fn set(&self, link: LinkMessage) -> Result<(), LabError> {
        self.0.link().set(link).execute().await.map_err(LabError::link("configure an interface"))
    }

    /// Removes the interface; a veth takes its other end along.
    pub async fn remove(&self, link: &LinkMessage) -> Result<(), LabError> {
        match self.0.link().del(link.header.index).execute().await {
            Err(error) if is(&error, Errno::ENODEV) => Ok(()),
            result => result.map_err(LabError::link("remove an interface")),
        }
    }

    /// The first IPv4 address of the interface.
    pub async fn address(&self, link: &LinkMessage) -> Result<Option<Ipv4Net>, LabError> {
        let addresses = self.0.address().get().set_link_index_filter(link.header.index).execute();
        let net_of = |message: AddressMessage| {
            let local = message.attributes.iter().find_map(|attribute| {
                let AddressAttribute::Local(IpAddr::V4(address)) = attribute else { return None };
                Some(*address)
            });
            local.and_then(|address| Ipv4Net::new(address, message.header.prefix_len).ok())
        };
        let mut nets = std::pin::pin!(addresses.try_filter_map(async |message| Ok(net_of(message))));
        nets.try_next().await.map_err(LabError::link("read the addresses of an interface"))
    }

    /// Gives the interface the address.
    pub async fn add_address(&self, link: &LinkMessage, net: Ipv4Net) -> Result<(), LabError> {
        let request = self.0.address().add(link.header.index, net.addr().into(), net.prefix_len());
        request.execute().await.map_err(LabError::link("give an interface its address"))
    }
}

/// Whether the interface is one end of a veth pair.
pub fn is_veth(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(info) if info.contains(&LinkInfo::Kind(InfoKind::Veth)))
    })
}

/// Whether the two are each other's other end.
pub fn are_pair(one: &LinkMessage, other: &LinkMessage) -> bool {
    let leads_to = |from: &LinkMessage, to: &LinkMessage| {
        from.attributes.contains(&LinkAttribute::Link(to.header.index))
    };
    is_veth(one) && is_veth(other) && leads_to(one, other) && leads_to(other, one)
}

/// Keeps the host from speaking IPv6 on the interface; one that cannot be told so is noisy, and works.
pub fn silence_ipv6(interface: &str) {
    let setting = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    if let Err(error) = fs::write(&setting, "1") {
        tracing::debug!(setting, %error, "IPv6 stays as it is");
    }
}

fn is(error: &Netlink, errno: Errno) -> bool {
    matches!(error, Netlink::NetlinkError(message) if message.raw_code() == -(errno as i32))
}
