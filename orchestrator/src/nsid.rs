//! The numbers by which this network namespace knows others, and what is done in another one by its number. By rtnetlink.
//!
//! A number reaches a namespace that no process is in and no file leads to, whatever keeps it alive.

use std::os::fd::AsRawFd as _;

use futures_util::{StreamExt as _, TryStreamExt as _};
use nix::errno::Errno;
use rtnetlink::{
    Error,
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage},
        nsid::{NsidAttribute, NsidMessage},
    },
};

use crate::{
    netlink::{Netlink, NetlinkError, ignore, refused},
    netns::Netns,
};

/// The number of a network namespace in another one, for as long as it exists. The kernel gives it to another one then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nsid(i32);

impl Nsid {
    /// That number, if it is one.
    pub fn new(number: i32) -> Option<Self> {
        (number != NOT_ASSIGNED).then_some(Self(number))
    }
}

/// The kernel's value for a namespace without a number.
const NOT_ASSIGNED: i32 = -1;

impl std::fmt::Display for Nsid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Netlink {
    /// Gives a namespace a number in this one, if it has none.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn assign_nsid(&self, namespace: &Netns) -> Result<(), NetlinkError> {
        let wanted = RouteNetlinkMessage::NewNsId(message(vec![
            NsidAttribute::Fd(fd(namespace)),
            NsidAttribute::Id(NOT_ASSIGNED),
        ]));
        let assigned = self.request(wanted, NLM_F_ACK).await;
        ignore(assigned, Errno::EEXIST).map(drop).map_err(refused("give a network namespace a number"))
    }

    /// The number of a namespace in this one, if it has one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn nsid(&self, namespace: &Netns) -> Result<Option<Nsid>, NetlinkError> {
        let question = RouteNetlinkMessage::GetNsId(message(vec![NsidAttribute::Fd(fd(namespace))]));
        let answers = self.request(question, 0).await;
        let answers = answers.map_err(refused("ask for the number of a network namespace"))?;
        Ok(answers.iter().find_map(number))
    }

    /// The numbers of all namespaces that have one in this one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn nsids(&self) -> Result<Vec<Nsid>, NetlinkError> {
        let question = RouteNetlinkMessage::GetNsId(NsidMessage::default());
        let answers = self.request(question, NLM_F_DUMP).await;
        let answers = answers.map_err(refused("list the numbers of network namespaces"))?;
        Ok(answers.iter().filter_map(number).collect())
    }

    /// All interfaces of the namespace with that number; empty if the namespace is gone.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn links_in(&self, Nsid(nsid): Nsid) -> Result<Vec<LinkMessage>, NetlinkError> {
        let in_there = LinkAttribute::IfNetnsId(nsid);
        let mut getting = self.handle.link().get();
        getting.message_mut().attributes.push(in_there.clone());
        let found = getting.execute().try_collect::<Vec<_>>().await;
        let found =
            ignore(found, Errno::EINVAL).map_err(refused("list the interfaces of a network namespace"))?;
        // A kernel that does not know the attribute lists its own ones.
        let is_there = |link: &LinkMessage| link.attributes.contains(&in_there);
        Ok(found.unwrap_or_default().into_iter().filter(is_there).collect())
    }

    /// Removes an interface from the namespace of that number, if both are still there.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn remove_in(&self, Nsid(nsid): Nsid, index: u32) -> Result<(), NetlinkError> {
        let mut removing = self.handle.link().del(index);
        removing.message_mut().attributes.push(LinkAttribute::IfNetnsId(nsid));
        let removed = removing.execute().await;
        let removed = ignore(removed, Errno::ENODEV).map(drop);
        ignore(removed, Errno::EINVAL)
            .map(drop)
            .map_err(refused("remove an interface of a network namespace"))
    }

    async fn request(&self, content: RouteNetlinkMessage, flags: u16) -> Result<Vec<NsidMessage>, Error> {
        let mut message = NetlinkMessage::from(content);
        message.header.flags = NLM_F_REQUEST | flags;
        let mut answers = self.handle.clone().request(message)?;
        let mut found = Vec::new();
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(message)) = answer.payload {
                found.push(message);
            } else if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(Error::NetlinkError(error));
            }
        }
        Ok(found)
    }
}

fn message(attributes: Vec<NsidAttribute>) -> NsidMessage {
    let mut message = NsidMessage::default();
    message.attributes = attributes;
    message
}

fn fd(namespace: &Netns) -> u32 {
    u32::try_from(namespace.as_raw_fd()).expect("an open file")
}

fn number(message: &NsidMessage) -> Option<Nsid> {
    message.attributes.iter().find_map(|a| if let NsidAttribute::Id(id) = a { Nsid::new(*id) } else { None })
}
