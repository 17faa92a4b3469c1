//! Ends connections that lead where no forward leads any more. The kernel goes on translating what it has begun to translate,
//! for as long as somebody sends: a client that sends its datagrams from one port would wait for ever for a target that has gone.

use std::{collections::BTreeMap, io, net::IpAddr, time::Duration};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, future::ready, stream};
use landfall_api::{Forward, Protocol};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{self, ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Status, Tuple},
};
use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    proto::{ConnectionHandle, new_connection},
    sys::{SocketAddr, protocols::NETLINK_NETFILTER},
};
use thiserror::Error;
use tokio::time::sleep;

/// Why they could not be ended.
#[derive(Debug, Error)]
pub enum ConnectionsError {
    /// No netlink socket.
    #[error("the kernel gives no netlink socket: {0}")]
    Socket(io::Error),
    /// The kernel does not tell, or does not do it.
    #[error("the kernel, which needs nf_conntrack_netlink for it, refuses: {0}")]
    Refused(io::Error),
    /// The kernel does not answer.
    #[error("the kernel does not answer")]
    Silent,
}

/// A connection that was translated, as it was begun and as the kernel has translated it.
#[derive(Debug, PartialEq, Eq)]
struct Connection {
    protocol: Protocol,
    public: u16,
    to: (IpAddr, u16),
    begun: Vec<Tuple>,
}

/// How many are ended at a time: a flood of datagrams can make as many as the kernel tracks, and each takes some memory here.
const BATCH: usize = 16_384;

/// How often one is tried that takes a short cut, which the kernel ends a moment after the rules were replaced; older ones refuse
/// until then. And how long to wait each time.
const ATTEMPTS: usize = 20;
const MOMENT: Duration = Duration::from_millis(50);

/// Ends all translated connections that none of these forwards would lead where they lead; gives their number.
///
/// # Errors
/// If the kernel does not list them, or keeps one.
pub async fn end_stale(forward: &[Forward]) -> Result<usize, ConnectionsError> {
    let (connection, handle, _) =
        new_connection::<NetfilterMessage>(NETLINK_NETFILTER).map_err(ConnectionsError::Socket)?;
    let connection = tokio::spawn(connection);
    let mut before = 0;
    let all = loop {
        match end_some(&handle, forward).await {
            Ok(BATCH) => before += BATCH,
            ended => break ended.map(|ended| before + ended),
        }
    };
    connection.abort();
    all
}

/// Ends as many as are ended at a time.
async fn end_some(
    handle: &ConnectionHandle<NetfilterMessage>,
    forward: &[Forward],
) -> Result<usize, ConnectionsError> {
    let all = ask(handle, NetfilterProtoFamily::Unspec, ConntrackMessage::Get(Vec::new()), NLM_F_DUMP);
    let places = Places::new(forward);
    let stale = all.try_filter_map(|message| {
        let connection = message.and_then(|message| Connection::read(&message));
        ready(Ok(connection.filter(|connection| !places.hold(connection))))
    });
    let stale: Vec<Connection> = stale.take(BATCH).try_collect().await?;
    let mut result = Ok(stale.len());
    for connection in &stale {
        // One that stays is no reason to keep the others.
        if let Err(error) = end(handle, connection).await {
            result = Err(error);
        }
    }
    result
}

#[expect(clippy::disallowed_methods, reason = "the kernel is asked again, and not for ever")]
async fn end(
    handle: &ConnectionHandle<NetfilterMessage>,
    Connection { to, begun, .. }: &Connection,
) -> Result<(), ConnectionsError> {
    let family = if to.0.is_ipv4() { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 };
    let begun = ConntrackAttribute::CtaTupleOrig(begun.clone());
    let mut attempts = 1..ATTEMPTS;
    loop {
        let delete = ConntrackMessage::Delete(vec![begun.clone()]);
        let ending = ask(handle, family, delete, NLM_F_ACK);
        match ending.try_for_each(|_| ready(Ok(()))).await {
            // It has ended by itself meanwhile.
            Err(ConnectionsError::Refused(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(ConnectionsError::Refused(error))
                if error.kind() == io::ErrorKind::ResourceBusy && attempts.next().is_some() =>
            {
                sleep(MOMENT).await;
            }
            result => return result,
        }
    }
}

/// What the kernel answers.
fn ask(
    handle: &ConnectionHandle<NetfilterMessage>,
    family: NetfilterProtoFamily,
    what: ConntrackMessage,
    flags: u16,
) -> impl Stream<Item = Result<Option<ConntrackMessage>, ConnectionsError>> + use<> {
    let message = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), what);
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    let answers = match handle.request(message, SocketAddr::new(0, 0)) {
        Ok(answers) => answers.map(Ok).left_stream(),
        Err(_) => stream::once(ready(Err(ConnectionsError::Silent))).right_stream(),
    };
    answers.and_then(|answer| ready(read(answer.payload)))
}

fn read(payload: NetlinkPayload<NetfilterMessage>) -> Result<Option<ConntrackMessage>, ConnectionsError> {
    if let NetlinkPayload::Error(error) = &payload
        && error.code.is_some()
    {
        return Err(ConnectionsError::Refused(error.to_io()));
    }
    let NetlinkPayload::InnerMessage(message) = payload else { return Ok(None) };
    let NetfilterMessageInner::Conntrack(message) = message.inner else { return Ok(None) };
    Ok(Some(message))
}

impl Connection {
    /// None if it was not translated, or is of no protocol that can be forwarded.
    fn read(message: &ConntrackMessage) -> Option<Self> {
        let ConntrackMessage::New(attributes) = message else { return None };
        let (mut begun, mut answered, mut is_translated) = (None, None, false);
        for attribute in attributes {
            if let ConntrackAttribute::CtaTupleOrig(tuple) = attribute {
                begun = Some(tuple);
            } else if let ConntrackAttribute::CtaTupleReply(tuple) = attribute {
                answered = Some(tuple);
            } else if let ConntrackAttribute::CtaStatus(status) = attribute {
                is_translated = status.contains(Status::DstNat);
            }
        }
        let (begun, answered) = (begun.filter(|_| is_translated)?, answered?);
        let is_of =
            |protocol: &Protocol| ports(begun).any(|it| *it == ProtoTuple::Protocol(tracked(*protocol)));
        let protocol = Protocol::ALL.into_iter().find(is_of)?;
        let public =
            |it: &ProtoTuple| if let ProtoTuple::DestinationPort(it) = it { Some(*it) } else { None };
        let private = |it: &ProtoTuple| if let ProtoTuple::SourcePort(it) = it { Some(*it) } else { None };
        let (public, private) = (ports(begun).find_map(public)?, ports(answered).find_map(private)?);
        Some(Self { protocol, public, to: (source(answered)?, private), begun: begun.clone() })
    }
}

fn tracked(protocol: Protocol) -> conntrack::Protocol {
    match protocol {
        Protocol::Tcp => conntrack::Protocol::Tcp,
        Protocol::Udp => conntrack::Protocol::Udp,
        Protocol::Sctp => conntrack::Protocol::Sctp,
    }
}

fn ports(tuple: &[Tuple]) -> impl Iterator<Item = &ProtoTuple> {
    tuple.iter().flat_map(|part| if let Tuple::Proto(ports) = part { &ports[..] } else { &[] })
}

fn source(tuple: &[Tuple]) -> Option<IpAddr> {
    tuple.iter().find_map(|part| {
        let Tuple::Ip(addresses) = part else { return None };
        addresses.iter().find_map(|it| if let IPTuple::SourceAddress(it) = it { Some(*it) } else { None })
    })
}

/// Forwards by their first public ports.
struct Places<'a>(BTreeMap<(Protocol, u16), &'a Forward>);

impl<'a> Places<'a> {
    fn new(forward: &'a [Forward]) -> Self {
        let first = |forward: &'a Forward| ((forward.protocol(), forward.port().first()), forward);
        Self(forward.iter().map(first).collect())
    }

    /// Whether a forward leads there.
    fn hold(&self, Connection { protocol, public, to: (address, port), .. }: &Connection) -> bool {
        let until = self.0.range((*protocol, 0)..=(*protocol, *public)).next_back();
        until.is_some_and(|((_, first), forward)| {
            let leads = match address {
                IpAddr::V4(address) => forward.addresses().any(|to| to == *address),
                IpAddr::V6(address) => forward.addresses6().any(|to| to == *address),
            };
            let is_its = *public <= forward.port().last();
            leads && is_its && port.checked_sub(forward.private().first()) == Some(*public - *first)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use landfall_api::Destination;

    use super::*;

    fn connection(public: u16, to: &str) -> Connection {
        let (address, port) = to.rsplit_once(':').expect("an address and a port");
        let to = (address.parse().expect("an address"), port.parse().expect("a port"));
        Connection { protocol: Protocol::Udp, public, to, begun: Vec::new() }
    }

    fn forward(port: &str, private: Option<&str>) -> Forward {
        let address = Ipv4Addr::new(10, 0, 0, 1);
        let to = Destination { address, port: private.map(|port| port.parse().expect("a port")) };
        let forward = Forward::new(Protocol::Udp, port.parse().expect("a port"), to).expect("as many");
        let (replica, v6) = (Ipv4Addr::new(10, 0, 0, 2), ["fd00::1", "fd00::2"].map(|it| it.parse().ok()));
        let forward = forward.with_to6(v6[0]).with_replicas(vec![replica], v6[1].into_iter().collect());
        forward.expect("as many")
    }

    #[test]
    fn a_connection_is_stale_if_nothing_leads_where_it_leads() {
        let forward = [forward("53", None), forward("6000-6009", Some("7000-7009"))];
        let places = Places::new(&forward);
        for (public, to) in
            [(53, "10.0.0.1:53"), (53, "10.0.0.2:53"), (53, "fd00::2:53"), (6009, "10.0.0.1:7009")]
        {
            assert!(places.hold(&connection(public, to)), "{public} {to}");
        }
        let stale = [
            (53, "10.0.0.3:53"),
            (53, "10.0.0.1:54"),
            (54, "10.0.0.1:54"),
            (52, "10.0.0.1:52"),
            (53, "fd00::3:53"),
            (6001, "10.0.0.1:7002"),
            (6001, "10.0.0.1:80"),
            (6010, "10.0.0.1:7010"),
        ];
        for (public, to) in stale {
            assert!(!places.hold(&connection(public, to)), "{public} {to}");
        }
        assert!(!places.hold(&Connection { protocol: Protocol::Tcp, ..connection(53, "10.0.0.1:53") }));
    }

    #[test]
    fn what_was_not_translated_is_nobodys() {
        let tuple = |port: fn(u16) -> ProtoTuple| {
            let source = IPTuple::SourceAddress(Ipv4Addr::LOCALHOST.into());
            let ports = vec![ProtoTuple::Protocol(conntrack::Protocol::Tcp), port(80)];
            vec![Tuple::Ip(vec![source]), Tuple::Proto(ports)]
        };
        let read = |status| {
            Connection::read(&ConntrackMessage::New(vec![
                ConntrackAttribute::CtaTupleOrig(tuple(ProtoTuple::DestinationPort)),
                ConntrackAttribute::CtaTupleReply(tuple(ProtoTuple::SourcePort)),
                ConntrackAttribute::CtaStatus(status),
            ]))
        };
        assert_eq!(read(Status::SrcNat), None);
        let read = read(Status::DstNat | Status::Confirmed).expect("a connection");
        assert_eq!(
            (read.protocol, read.public, read.to),
            (Protocol::Tcp, 80, (Ipv4Addr::LOCALHOST.into(), 80))
        );
    }
}
