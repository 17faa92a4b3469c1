//! What is forwarded: a protocol, a public port or range, and where in a target it leads.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::{
    access::{Rate, Source},
    family::Family,
    namespace::{HERE, HERE6},
    port::{PortRange, Protocol},
};

/// Where a forward leads: an address, and the ports there if they are not the public ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The target's address, on a network that the agent shares with it.
    pub address: Ipv4Addr,
    /// The ports there, as many as the public ones; none if they are the same.
    pub port: Option<PortRange>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let (address, port) = match text.split_once(':') {
            Some((address, port)) => (address, Some(port.parse().map_err(de::Error::custom)?)),
            None => (&*text, None),
        };
        let address = address.parse().map_err(|_| {
            let text = text.escape_debug();
            de::Error::custom(format!(
                "'{text}' is no destination: ADDRESS or ADDRESS:PORT, as in 172.17.0.2:8080"
            ))
        })?;
        Ok(Self { address, port })
    }
}

/// One forward: what arrives at the public port goes to the destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawForward")]
pub struct Forward {
    protocol: Protocol,
    port: PortRange,
    to: Destination,
    #[serde(skip_serializing_if = "Option::is_none")]
    to6: Option<Ipv6Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replicas: Vec<Ipv4Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replicas6: Vec<Ipv6Addr>,
    #[serde(skip_serializing_if = "Clone::clone")]
    masquerade: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Rate>,
}

/// Why two ends do not make a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ForwardError {
    /// A range must lead to a range of the same size.
    #[error("{public} has {} ports and {private} has {}: as many must come out as go in", .public.count(), .private.count())]
    SizesDiffer {
        /// The public ports.
        public: PortRange,
        /// The target's ports.
        private: PortRange,
    },
    /// A replica is reached over both families, or none is over IPv6.
    #[error(
        "there are {v4} replicas and {v6} of them over IPv6: say `replicas6` in the order of `replicas`, where there is a `to6`"
    )]
    ReplicasDiffer {
        /// How many.
        v4: usize,
        /// How many over IPv6.
        v6: usize,
    },
    /// A list of sources with nothing on it.
    #[error("an empty list of sources lets nobody in; leave `from` out to let in everybody")]
    Nobody,
}

impl Forward {
    /// A forward of `port` to `to`, with masquerade, from everywhere. Private ports that equal the public ones are left out of the destination.
    ///
    /// # Errors
    /// If the destination names more ports than the public range has, or fewer.
    pub fn new(protocol: Protocol, port: PortRange, to: Destination) -> Result<Self, ForwardError> {
        match to.port {
            Some(private) if private.count() != port.count() => {
                Err(ForwardError::SizesDiffer { public: port, private })
            }
            private => {
                let to = Destination { port: private.filter(|private| *private != port), ..to };
                Ok(Self {
                    protocol,
                    port,
                    to,
                    to6: None,
                    replicas: Vec::new(),
                    replicas6: Vec::new(),
                    masquerade: true,
                    from: Vec::new(),
                    limit: None,
                })
            }
        }
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The public port or ports.
    pub fn port(&self) -> PortRange {
        self.port
    }

    /// The same forward, with or without masquerade.
    #[must_use]
    pub fn with_masquerade(self, masquerade: bool) -> Self {
        Self { masquerade, ..self }
    }

    /// The same forward, for connections from these sources, no more often than that. An empty list is everybody.
    #[must_use]
    pub fn with_access(self, from: Vec<Source>, limit: Option<Rate>) -> Self {
        Self { from, limit, ..self }
    }

    /// The same forward, which leads what comes over IPv6 to that address of the target's, and to the same ports there; to
    /// nowhere if there is none.
    #[must_use]
    pub fn with_to6(self, to6: Option<Ipv6Addr>) -> Self {
        Self { to6, ..self }
    }

    /// The same forward, whose connections are spread over these, too: others that serve the same on the same ports.
    ///
    /// # Errors
    /// If it leads on over IPv6 and not each of them is reached so, or the other way round.
    pub fn with_replicas(
        self,
        replicas: Vec<Ipv4Addr>,
        replicas6: Vec<Ipv6Addr>,
    ) -> Result<Self, ForwardError> {
        let (v4, v6) = (replicas.len(), replicas6.len());
        let wanted = if self.to6.is_some() { v4 } else { 0 };
        if v6 == wanted {
            Ok(Self { replicas, replicas6, ..self })
        } else {
            Err(ForwardError::ReplicasDiffer { v4, v6 })
        }
    }

    /// The same forward without what leads to these addresses, unless nothing would be left.
    #[must_use]
    pub fn without(&self, out: &BTreeSet<Ipv4Addr>) -> Self {
        let all: Vec<Ipv4Addr> = self.addresses().collect();
        let kept: Vec<usize> = (0..all.len()).filter(|i| !out.contains(&all[*i])).collect();
        let Some((first, others)) = kept.split_first() else { return self.clone() };
        let all6: Vec<Ipv6Addr> = self.addresses6().collect();
        Self {
            to: Destination { address: all[*first], ..self.to },
            to6: all6.get(*first).copied(),
            replicas: others.iter().map(|i| all[*i]).collect(),
            replicas6: others.iter().filter_map(|i| all6.get(*i).copied()).collect(),
            ..self.clone()
        }
    }

    /// The same forward, which stays in the agent's namespace, where what comes is of these families.
    #[must_use]
    pub fn here(self, family: Family) -> Self {
        let to6 = Some(HERE6).filter(|_| family.has_v6());
        let (replicas, replicas6) = (Vec::new(), Vec::new());
        Self { to: Destination { address: HERE, ..self.to }, to6, replicas, replicas6, ..self }
    }

    /// Where connections may come from; everywhere if it is empty.
    pub fn sources(&self) -> &[Source] {
        &self.from
    }

    /// How often one may begin, all sources together.
    pub fn limit(&self) -> Option<Rate> {
        self.limit
    }

    /// Whether the target sees the agent's address instead of its clients'. Where it does not, its answers must find
    /// their way back to the agent by themselves. Of a forward that stays in the agent's namespace it says nothing.
    pub fn masquerade(&self) -> bool {
        self.masquerade
    }

    /// The port or ports there.
    pub fn private(&self) -> PortRange {
        self.to.port.unwrap_or(self.port)
    }

    /// The addresses that it leads to: that of the destination, and those of replicas.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        [self.to.address].into_iter().chain(self.replicas.iter().copied())
    }

    /// Those that it leads to over IPv6, in the same order; none if nothing does.
    pub fn addresses6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.to6.into_iter().chain(self.replicas6.iter().copied())
    }

    /// Whether there is more than one place that it leads to.
    pub fn is_replicated(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// Where what comes over IPv6 leads, to the same ports; none if nothing does.
    pub fn to6(&self) -> Option<Ipv6Addr> {
        self.to6
    }

    /// Where it leads. Its ports, if any, are as many as the public ones and differ from them.
    pub fn to(&self) -> Destination {
        self.to
    }

    /// Whether a packet could belong to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.port.overlaps(other.port)
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} -> {}", self.port, self.protocol, self.to)?;
        self.replicas.iter().try_for_each(|replica| write!(f, " or {replica}"))?;
        for (i, source) in self.from.iter().enumerate() {
            write!(f, "{}{source}", if i == 0 { " from " } else { " " })?;
        }
        self.limit.map_or(Ok(()), |limit| write!(f, " limit {limit}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForward {
    protocol: Protocol,
    port: PortRange,
    to: Destination,
    to6: Option<Ipv6Addr>,
    #[serde(default)]
    replicas: Vec<Ipv4Addr>,
    #[serde(default)]
    replicas6: Vec<Ipv6Addr>,
    #[serde(default = "yes")]
    masquerade: bool,
    from: Option<Vec<Source>>,
    limit: Option<Rate>,
}

fn yes() -> bool {
    true
}

impl TryFrom<RawForward> for Forward {
    type Error = ForwardError;

    fn try_from(raw: RawForward) -> Result<Self, ForwardError> {
        if raw.from.as_ref().is_some_and(Vec::is_empty) {
            return Err(ForwardError::Nobody);
        }
        let forward = Self::new(raw.protocol, raw.port, raw.to)?.with_masquerade(raw.masquerade);
        let forward = forward.with_to6(raw.to6).with_replicas(raw.replicas, raw.replicas6)?;
        Ok(forward.with_access(raw.from.unwrap_or_default(), raw.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_leads_to_as_many_ports() {
        let address = Ipv4Addr::new(172, 17, 0, 2);
        let range = |text: &str| text.parse::<PortRange>().expect(text);
        let to = |port: &str| Destination { address, port: Some(range(port)) };
        let forward = Forward::new(Protocol::Tcp, range("8000-8001"), to("80-81")).expect("two to two");
        assert_eq!(forward.to_string(), "8000-8001/tcp -> 172.17.0.2:80-81");
        let error = Forward::new(Protocol::Tcp, range("8000-8002"), to("80-81")).expect_err("three to two");
        assert_eq!(
            error.to_string(),
            "8000-8002 has 3 ports and 80-81 has 2: as many must come out as go in"
        );
    }

    #[test]
    fn the_same_private_port_is_no_remap() {
        let to = Destination { address: Ipv4Addr::LOCALHOST, port: Some("80".parse().expect("a port")) };
        let forward = Forward::new(Protocol::Tcp, "80".parse().expect("a port"), to).expect("one to one");
        assert_eq!(forward.to().port, None);
    }

    #[test]
    fn what_is_out_is_left_out_unless_nothing_would_be_left() {
        let [a, b, c]: [Ipv4Addr; 3] = [1, 2, 3].map(|n| [10, 0, 0, n].into());
        let [a6, b6, c6]: [Ipv6Addr; 3] = [1, 2, 3].map(|n| [0xfd00, 0, 0, 0, 0, 0, 0, n].into());
        let to = Destination { address: a, port: Some("8080".parse().expect("a port")) };
        let forward = Forward::new(Protocol::Tcp, "80".parse().expect("a port"), to).expect("one to one");
        let forward = forward.with_to6(Some(a6)).with_replicas(vec![b, c], vec![b6, c6]).expect("as many");
        assert_eq!(forward.to_string(), "80/tcp -> 10.0.0.1:8080 or 10.0.0.2 or 10.0.0.3");
        let without = |out: &[Ipv4Addr]| {
            let reduced = forward.without(&out.iter().copied().collect());
            (
                reduced.addresses().collect::<Vec<_>>(),
                reduced.addresses6().collect::<Vec<_>>(),
                reduced.to().port,
            )
        };
        let port = to.port;
        assert_eq!(without(&[]), (vec![a, b, c], vec![a6, b6, c6], port));
        assert_eq!(without(&[a]), (vec![b, c], vec![b6, c6], port));
        assert_eq!(without(&[b]), (vec![a, c], vec![a6, c6], port));
        assert_eq!(without(&[a, c]), (vec![b], vec![b6], port));
        assert_eq!(without(&[a, b, c]), (vec![a, b, c], vec![a6, b6, c6], port));
        assert!(forward.with_replicas(vec![b], vec![]).is_err());
    }

    #[test]
    fn forwards_overlap_within_a_protocol_only() {
        let to = Destination { address: Ipv4Addr::LOCALHOST, port: None };
        let forward =
            |protocol, port: &str| Forward::new(protocol, port.parse().expect(port), to).expect(port);
        let range = forward(Protocol::Tcp, "80-90");
        assert!(range.overlaps(&forward(Protocol::Tcp, "90-100")));
        assert!(!range.overlaps(&forward(Protocol::Tcp, "91")));
        assert!(!range.overlaps(&forward(Protocol::Udp, "80")));
    }
}
