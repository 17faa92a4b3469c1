//! A netlink socket in a network namespace, and what the kernel's refusals mean. By rtnetlink.

use std::{io, net::IpAddr, path::Path, time::Duration};

use futures_util::{Stream, TryStreamExt as _};
use ipnet::Ipv4Net;
use landfall_api::ROUTE_PROTOCOL;
use nix::errno::Errno;
use rtnetlink::{
    Error, Handle, MulticastGroup,
    packet_core::NetlinkMessage,
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkMessage, State},
        route::RouteProtocol,
    },
    sys::SocketAddr,
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::time::interval;
use tracing::debug;

use crate::netns::Netns;

/// Whose rules and routes ours are.
pub const OURS: RouteProtocol = RouteProtocol::Other(ROUTE_PROTOCOL);

/// Why the kernel did not do what was asked.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// No capability.
    #[error(
        "cannot {0}: the kernel does not permit it\n  landfall needs root (CAP_NET_ADMIN in the host's network namespace): run it with sudo"
    )]
    NotPermitted(String),
    /// The namespace is not there: the container has ended, or it is Docker in another mount namespace.
    #[error(
        "cannot open the network namespace {0} of {1}\n  has it just stopped? landfall must run on the host itself, as Docker does"
    )]
    Namespace(String, &'static str, #[source] io::Error),
    /// No netlink socket.
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
    /// The kernel cannot do it.
    #[error("cannot {0}")]
    Refused(String, #[source] Error),
}

/// How often, and how many times, to look whether an end can send.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const LOOKS: u32 = 1000;

/// What the kernel says unasked, and where from.
pub type Event = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr);

/// A netlink socket, for as long as this is kept.
pub struct Netlink {
    /// What is asked of it.
    pub handle: Handle,
    connection: tokio::task::JoinHandle<()>,
}

impl Netlink {
    /// Opens one in this process's own network namespace.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn open() -> Result<Self, NetlinkError> {
        Self::new(rtnetlink::new_connection)
    }

    /// Opens one in another namespace; it stays there.
    ///
    /// # Errors
    /// If the kernel gives none, or does not let us in.
    pub fn open_in(namespace: &Netns) -> Result<Self, NetlinkError> {
        let runtime = tokio::runtime::Handle::current();
        Self::new(|| {
            namespace.within(|| {
                let _reactor = runtime.enter();
                rtnetlink::new_connection()
            })
        })
    }

    /// Opens one in this process's own network namespace, and hears what happens to its interfaces.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn listen_to_links() -> Result<(Self, impl Stream<Item = Event> + Unpin), NetlinkError> {
        let (connection, handle, events) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link]).map_err(NetlinkError::Socket)?;
        Ok((Self { handle, connection: tokio::spawn(connection) }, events))
    }

    fn new<C: Future<Output = ()> + Send + 'static, M>(
        open: impl FnOnce() -> io::Result<(C, Handle, M)>,
    ) -> Result<Self, NetlinkError> {
        let (connection, handle, _) = open().map_err(NetlinkError::Socket)?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// The interface of that name, if there is one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn link(&self, name: &str) -> Result<Option<LinkMessage>, NetlinkError> {
        let found =
            self.handle.link().get().match_name(name.to_owned()).execute().try_collect::<Vec<_>>().await;
        let found = ignore(found, Errno::ENODEV).map_err(refused("look for an interface"))?;
        Ok(found.unwrap_or_default().pop())
    }

    /// All interfaces.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn links(&self) -> Result<Vec<LinkMessage>, NetlinkError> {
        let found = self.handle.link().get().execute().try_collect().await;
        found.map_err(refused("list the interfaces"))
    }

    /// The names of all interfaces.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn names(&self) -> Result<Vec<String>, NetlinkError> {
        let name = |link: LinkMessage| {
            link.attributes.into_iter().find_map(|attribute| {
                if let LinkAttribute::IfName(name) = attribute { Some(name) } else { None }
            })
        };
        Ok(self.links().await?.into_iter().filter_map(name).collect())
    }

    /// The IPv4 addresses of all interfaces, each with its interface's index.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn addresses(&self) -> Result<Vec<(u32, Ipv4Net)>, NetlinkError> {
        let found = self.handle.address().get().execute().try_collect::<Vec<_>>().await;
        let net = |message: &AddressMessage| {
            let local = message.attributes.iter().find_map(|attribute| {
                if let AddressAttribute::Local(IpAddr::V4(address)) = attribute {
                    Some(*address)
                } else {
                    None
                }
            });
            Some((message.header.index, Ipv4Net::new(local?, message.header.prefix_len).ok()?))
        };
        Ok(found.map_err(refused("list addresses"))?.iter().filter_map(net).collect())
    }

    /// Waits until one end of a pair of interfaces can send. The kernel sees to that a moment after both ends are up, and until then drops
    /// what is sent.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn settle(&self, name: &str) -> Result<(), NetlinkError> {
        let mut pace = interval(LOOK_EVERY);
        for _ in 0..LOOKS {
            let link = self.link(name).await?;
            if link.is_some_and(|link| link.attributes.contains(&LinkAttribute::OperState(State::Up))) {
                return Ok(());
            }
            pace.tick().await;
        }
        debug!(name, "not ready yet");
        Ok(())
    }

    /// Removes an interface, if it is still there; a veth takes its other end along.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn remove(&self, index: u32) -> Result<(), NetlinkError> {
        let removed = self.handle.link().del(index).execute().await;
        ignore(removed, Errno::ENODEV).map(drop).map_err(refused("remove an interface"))
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What an interface is called that belongs to a network container: where it is, in two letters, and eight digits that tell
/// the network container from others.
pub fn short_name(place: &str, container: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(container).into();
    format!("{place}{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

/// Whether an interface is called like one in that place.
pub fn is_short_name(place: &str, name: &str) -> bool {
    let digits = name.strip_prefix(place).unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Opens the network namespace at `path`, which is `whose`.
///
/// # Errors
/// If it is not there.
pub fn namespace(path: &Path, whose: &'static str) -> Result<Netns, NetlinkError> {
    Netns::open(path).map_err(|error| NetlinkError::Namespace(path.display().to_string(), whose, error))
}

/// What the kernel said to an attempt.
pub fn refused(attempt: impl Into<String>) -> impl FnOnce(Error) -> NetlinkError {
    let attempt = attempt.into();
    move |error| {
        if is(&error, Errno::EPERM) || is(&error, Errno::EACCES) {
            return NetlinkError::NotPermitted(attempt);
        }
        NetlinkError::Refused(attempt, error)
    }
}

/// None where the kernel's answer is `errno`: what was asked for is so already.
///
/// # Errors
/// All others.
pub fn ignore<T>(result: Result<T, Error>, errno: Errno) -> Result<Option<T>, Error> {
    match result {
        Err(error) if is(&error, errno) => Ok(None),
        result => result.map(Some),
    }
}

/// Whether the kernel's answer is `errno`.
pub fn is(error: &Error, errno: Errno) -> bool {
    matches!(error, Error::NetlinkError(message) if message.raw_code() == -(errno as i32))
}

/// Whether the two are each other's other end, each in its own namespace.
pub fn are_pair(one: &LinkMessage, other: &LinkMessage) -> bool {
    let leads_to = |from: &LinkMessage, to: &LinkMessage| {
        from.attributes.contains(&LinkAttribute::Link(to.header.index))
    };
    leads_to(one, other) && leads_to(other, one)
}
