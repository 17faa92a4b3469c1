//! Which ports are exposed: what was typed, or what the target's image says. Pure.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use landfall_api::{
    Destination, Forward, ForwardError, PortRange, PortRangeError, Protocol, ProtocolError, Rate, RateError,
    Source, SourceError,
};
use thiserror::Error;

use crate::error::Error;

/// One `-p`, not yet led to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    protocol: Protocol,
    public: PortRange,
    private: Option<PortRange>,
    /// Another container than the one that is exposed.
    to: Option<String>,
    access: Access,
}

/// A container that forwards lead to, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The container's name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its address for what comes over IPv6.
    pub address6: Option<Ipv6Addr>,
    /// Whether it serves the same as the one that is exposed.
    pub is_replica: bool,
}

/// Who may begin connections, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Everybody, if it is empty.
    pub from: Vec<Source>,
    /// As often as they like, if there is none.
    pub limit: Option<Rate>,
}

/// What is wrong with a `-p`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortError {
    /// A port.
    #[error(transparent)]
    Range(#[from] PortRangeError),
    /// After the slash.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The two ends together.
    #[error(transparent)]
    Ends(#[from] ForwardError),
    /// After `from=`.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// After `limit=`.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// After a comma.
    #[error(
        "'{0}' says nothing about a port: to=CONTAINER, from=NETWORK or limit=RATE, as in 22,from=10.0.0.0/8,limit=10/minute"
    )]
    Option(String),
    /// A port leads to one container, or to it and its replicas.
    #[error("it leads to two containers; say one, or name the other one with --replica")]
    TwoTargets,
    /// There can be one limit only.
    #[error("it has two limits; say one")]
    TwoLimits,
}

impl Publish {
    /// Reads `PUBLIC[:PRIVATE][/PROTOCOL][,to=CONTAINER][,from=NETWORK...][,limit=RATE]`.
    ///
    /// # Errors
    /// What is wrong with it, with the argument.
    pub fn parse(argument: &str) -> Result<Self, Error> {
        read(argument).map_err(|source| Error::Port { argument: argument.escape_debug().to_string(), source })
    }

    /// Led to an address; what it does not say of who may begin connections, `others` say.
    fn to(&self, address: Ipv4Addr, others: &Access) -> Result<Forward, ForwardError> {
        let Access { from, limit } = &self.access;
        let from = if from.is_empty() { &others.from } else { from };
        let forward = Forward::new(self.protocol, self.public, Destination { address, port: self.private })?;
        Ok(forward.with_access(from.clone(), limit.or(others.limit)))
    }

    /// The container that was named, if it is not the one that is exposed.
    pub fn target(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// The same to the container of that name.
    #[must_use]
    pub fn with_target(self, to: String) -> Self {
        Self { to: Some(to), ..self }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.public.overlaps(other.public)
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.private {
            Some(private) => write!(f, "{}:{private}/{}", self.public, self.protocol),
            None => write!(f, "{}/{}", self.public, self.protocol),
        }
    }
}

/// Reads what was typed, all of it: what is wrong with it is known before there is a target.
///
/// # Errors
/// The first one that is no port, or that claims a port of an earlier one.
pub fn typed(arguments: &[String]) -> Result<Vec<Publish>, Error> {
    let typed = arguments.iter().map(|argument| Publish::parse(argument)).collect::<Result<Vec<_>, _>>()?;
    for (i, later) in typed.iter().enumerate() {
        if let Some(earlier) = typed[..i].iter().find(|earlier| earlier.overlaps(later)) {
            return Err(Error::Overlap { earlier: earlier.to_string(), later: later.to_string() });
        }
    }
    Ok(typed)
}

fn read(argument: &str) -> Result<Publish, PortError> {
    let mut words = argument.split(',');
    let first = words.next().unwrap_or_default();
    let (ports, protocol) = match first.rsplit_once('/') {
        Some((ports, protocol)) => (ports, protocol.to_ascii_lowercase().parse()?),
        None => (first, Protocol::Tcp),
    };
    let (public, private) = match ports.split_once(':') {
        Some((public, private)) => (public, Some(private.parse()?)),
        None => (ports, None),
    };
    let (targets, words): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with("to="));
    let to = match targets[..] {
        [] => None,
        [target] => Some(target["to=".len()..].to_owned()),
        _ => return Err(PortError::TwoTargets),
    };
    let access = access(words.into_iter())?;
    let publish = Publish { protocol, public: public.parse()?, private, to, access };
    publish.to(Ipv4Addr::UNSPECIFIED, &Access::default())?;
    Ok(publish)
}

/// Reads what comes after the commas.
fn access<'a>(words: impl Iterator<Item = &'a str>) -> Result<Access, PortError> {
    let mut access = Access::default();
    for word in words {
        match word.split_once('=') {
            Some(("from", source)) => access.from.push(source.parse()?),
            Some(("limit", _)) if access.limit.is_some() => return Err(PortError::TwoLimits),
            Some(("limit", rate)) => access.limit = Some(rate.parse()?),
            _ => return Err(PortError::Option(word.escape_debug().to_string())),
        }
    }
    Ok(access)
}

/// The forwards to the first of `places`, which is the one that is exposed, and to the others that are named, or replicas of it:
/// those typed, or else one for each of the ports that its image exposes. Where a port does not say who may begin connections,
/// `access` does.
///
/// # Errors
/// If there is nothing to forward.
pub fn forwards(
    places: &[Place],
    typed: &[Publish],
    exposed: &[String],
    access: &Access,
) -> Result<Vec<Forward>, Error> {
    let mut publish = typed.to_vec();
    if publish.is_empty() {
        // Docker writes them itself, so one that cannot be read is of a kind that cannot be forwarded. An image may say which ports
        // it has, and not who may connect.
        let exposed = exposed.iter().filter(|port| !port.contains(','));
        publish.extend(exposed.filter_map(|port| read(port).ok()));
        publish.sort_by_key(|publish| (publish.protocol, publish.public));
    }
    if publish.is_empty() {
        return Err(Error::NoPorts(places[0].name.clone()));
    }
    let to = |publish: Publish| {
        let named = |place: &&Place| publish.to.as_deref().is_none_or(|to| to == place.name);
        let place = places.iter().find(named).expect("every container that is named was looked for");
        let forward = publish.to(place.address, access).expect("its ends fit since it was read");
        let replicas: Vec<&Place> = places[1..]
            .iter()
            .filter(|other| other.is_replica && place.address == places[0].address)
            .collect();
        let v4 = replicas.iter().map(|replica| replica.address).collect();
        let v6 = replicas.iter().filter_map(|replica| replica.address6).collect();
        let forward = forward.with_to6(place.address6).with_replicas(v4, v6);
        forward.expect("all places are reached over the same families")
    };
    Ok(publish.into_iter().map(to).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, number: u8, is_replica: bool) -> Place {
        Place { name: name.into(), address: [172, 17, 0, number].into(), address6: None, is_replica }
    }

    fn decided(typed: &[&str], exposed: &[&str]) -> Result<Vec<String>, String> {
        let arguments: Vec<String> = typed.iter().map(ToString::to_string).collect();
        let typed = super::typed(&arguments);
        let exposed: Vec<String> = exposed.iter().map(ToString::to_string).collect();
        let forwards =
            typed.and_then(|typed| forwards(&[place("web", 2, false)], &typed, &exposed, &Access::default()));
        forwards.map(|all| all.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_port_says_who_may_begin_connections_or_all_ports_together_do() {
        let typed = ["22,from=10.0.0.0/8,from=192.168.1.5", "80/tcp,limit=30/minute", "53/udp"];
        let typed = super::typed(&typed.map(String::from)).expect("ports");
        let all = Access { from: vec!["192.168.0.0/16".parse().expect("a source")], limit: None };
        let forwards = forwards(&[place("web", 2, false)], &typed, &[], &all).expect("forwards");
        let said = forwards.iter().map(|forward| {
            let from: Vec<String> = forward.sources().iter().map(ToString::to_string).collect();
            (from.join(" "), forward.limit().map(|rate| rate.to_string()))
        });
        assert_eq!(
            said.collect::<Vec<_>>(),
            [
                ("10.0.0.0/8 192.168.1.5".to_owned(), None),
                ("192.168.0.0/16".to_owned(), Some("30/minute".to_owned())),
                ("192.168.0.0/16".to_owned(), None),
            ]
        );
    }

    #[test]
    fn typed_ports_lead_where_they_say() {
        assert_eq!(
            decided(&["80", "8080:81", "53/udp", "9000-9001:7000-7001/sctp", "443/TCP"], &["22/tcp"]),
            Ok([
                "80/tcp -> 172.17.0.2",
                "8080/tcp -> 172.17.0.2:81",
                "53/udp -> 172.17.0.2",
                "9000-9001/sctp -> 172.17.0.2:7000-7001",
                "443/tcp -> 172.17.0.2"
            ]
            .map(String::from)
            .to_vec())
        );
    }

    #[test]
    fn a_port_leads_to_the_container_that_it_names_and_the_others_to_the_target_and_its_replicas() {
        let typed = typed(&["80", "25,to=mail", "443,to=web"].map(String::from)).expect("ports");
        let places = [place("web", 2, false), place("mail", 3, false), place("web2", 4, true)];
        let forwards = forwards(&places, &typed, &[], &Access::default()).expect("forwards");
        assert_eq!(
            forwards.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "80/tcp -> 172.17.0.2 or 172.17.0.4",
                "25/tcp -> 172.17.0.3",
                "443/tcp -> 172.17.0.2 or 172.17.0.4"
            ]
        );
    }

    #[test]
    fn exposed_ports_keep_their_protocol() {
        assert_eq!(
            decided(&[], &["53/udp", "443/tcp", "80/tcp"]),
            Ok(["80/tcp -> 172.17.0.2", "443/tcp -> 172.17.0.2", "53/udp -> 172.17.0.2"]
                .map(String::from)
                .to_vec())
        );
    }

    #[test]
    fn a_bad_port_is_named_with_its_argument() {
        let cases = [
            ("0", "cannot publish '0': '0' is no port: a number from 1 to 65535, or a range like 8000-8100"),
            (
                "65536",
                "cannot publish '65536': '65536' is no port: a number from 1 to 65535, or a range like 8000-8100",
            ),
            (
                "80/xyz",
                "cannot publish '80/xyz': 'xyz' is no protocol that can be forwarded: tcp, udp or sctp",
            ),
            ("90-80", "cannot publish '90-80': the range 90-80 ends before it begins; write 80-90"),
            (
                "80:",
                "cannot publish '80:': '' is no port: a number from 1 to 65535, or a range like 8000-8100",
            ),
            (
                "22,from=10.0.0.1/8",
                "cannot publish '22,from=10.0.0.1/8': 10.0.0.1/8 is an address within a network: write 10.0.0.1 or 10.0.0.0/8",
            ),
            (
                "22,limit=often",
                "cannot publish '22,limit=often': 'often' is no rate: a number from 1 to 1000000 per second, minute, hour or day, as in 10/second",
            ),
            (
                "22,limit=1/day,limit=2/day",
                "cannot publish '22,limit=1/day,limit=2/day': it has two limits; say one",
            ),
            (
                "22,form=10.0.0.0/8",
                "cannot publish '22,form=10.0.0.0/8': 'form=10.0.0.0/8' says nothing about a port: to=CONTAINER, from=NETWORK or limit=RATE, as in 22,from=10.0.0.0/8,limit=10/minute",
            ),
            (
                "25,to=mail,to=post",
                "cannot publish '25,to=mail,to=post': it leads to two containers; say one, or name the other one with --replica",
            ),
            (
                "80-82:80-81",
                "cannot publish '80-82:80-81': 80-82 has 3 ports and 80-81 has 2: as many must come out as go in",
            ),
        ];
        for (argument, message) in cases {
            assert_eq!(decided(&[argument], &[]), Err(message.to_owned()));
        }
    }

    #[test]
    fn duplicates_and_overlaps_are_named() {
        assert_eq!(
            decided(&["80", "80"], &[]),
            Err("cannot publish both 80/tcp and 80/tcp: one public port can lead to one place only"
                .to_owned())
        );
        assert_eq!(
            decided(&["80-90", "85:1"], &[]),
            Err("cannot publish both 80-90/tcp and 85:1/tcp: one public port can lead to one place only"
                .to_owned())
        );
        assert!(decided(&["80", "80/udp"], &[]).is_ok());
    }

    #[test]
    fn nothing_to_forward_is_an_error_with_a_remedy() {
        let error = decided(&[], &[]).expect_err("no ports");
        assert!(error.ends_with("say which ones: landfall up web INTERFACE -p 80 -p 53/udp"), "{error}");
    }
}
