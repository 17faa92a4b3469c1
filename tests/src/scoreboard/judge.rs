//! What was found: by what was on the wire and in the kernel, never by a client's own words.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    heard::{Heard, Kind},
    server::Wire,
};

/// What can be said of a client so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It keeps the rule.
    Pass,
    /// It breaks the rule, in this way.
    Fail(String),
    /// It does if nothing changes until the end.
    PassIfOver,
    /// It breaks it, in this way, if nothing changes until the end.
    FailIfOver(String),
}

impl Verdict {
    /// Both rules.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fail(why), _) | (_, Self::Fail(why)) => Self::Fail(why),
            (Self::FailIfOver(why), _) | (_, Self::FailIfOver(why)) => Self::FailIfOver(why),
            (Self::PassIfOver, _) | (_, Self::PassIfOver) => Self::PassIfOver,
            (Self::Pass, Self::Pass) => Self::Pass,
        }
    }
}

/// This has to happen.
pub fn must(happens: bool, why: &str) -> Verdict {
    if happens { Verdict::Pass } else { Verdict::FailIfOver(why.into()) }
}

/// This must never happen.
pub fn never(happens: bool, why: &str) -> Verdict {
    if happens { Verdict::Fail(why.into()) } else { Verdict::Pass }
}

/// Once there is something to look at it has to be so.
pub fn once<T>(there_is: Option<T>, what: &str, judge: impl FnOnce(T) -> Verdict) -> Verdict {
    there_is.map_or_else(|| Verdict::FailIfOver(format!("no {what}")), judge)
}

/// An address as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: Ipv4Addr,
    /// The length of its prefix.
    pub prefix: u64,
    /// How many seconds it has left; 2^32 - 1 is for ever.
    pub valid: u64,
}

/// A route as the kernel has it: the destination as `ip` writes it, and the gateway if there is one.
pub type Route = (String, Option<String>);

/// What the kernel had at a moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// When the kernel was asked, from the start of the run.
    pub asked: Duration,
    /// When it had answered.
    pub at: Duration,
    /// The uplink's addresses.
    pub addresses: Vec<Address>,
    /// The uplink's routes.
    pub routes: Vec<Route>,
}

/// A run of a client.
pub struct Run<'a> {
    /// What was on the wire.
    pub wire: &'a Wire,
    /// What was in the kernel, in order.
    pub samples: &'a [Sample],
    /// When the case's act was done.
    pub acted: Option<Duration>,
}

impl Run<'_> {
    /// How long it has lasted.
    pub fn lasted(&self) -> Duration {
        self.samples.last().map(|sample| sample.at).unwrap_or_default()
    }

    /// The addresses of now.
    pub fn addresses(&self) -> &[Address] {
        self.samples.last().map(|sample| &*sample.addresses).unwrap_or_default()
    }

    /// Whether an address is there now.
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.addresses().iter().any(|other| other.address == address)
    }

    /// The routes of now.
    pub fn routes(&self) -> &[Route] {
        self.samples.last().map(|sample| &*sample.routes).unwrap_or_default()
    }

    /// When an address was first there.
    pub fn since(&self, address: Ipv4Addr) -> Option<Duration> {
        let has = |sample: &&Sample| sample.addresses.iter().any(|other| other.address == address);
        self.samples.iter().find(has).map(|sample| sample.at)
    }

    /// The address has to come into use.
    pub fn binds(&self, address: Ipv4Addr) -> Verdict {
        must(self.has(address), &format!("{address} is not in use"))
    }

    /// The address has to come into use, and so many seconds have to pass.
    pub fn keeps(&self, address: Ipv4Addr, seconds: u64) -> Verdict {
        let until = self.since(address).map(|since| since + Duration::from_secs(seconds));
        self.binds(address).and(must(until.is_some_and(|until| until < self.lasted()), "not over"))
    }

    /// The address must not come into use, nor be asked for.
    pub fn shuns(&self, address: Ipv4Addr) -> Verdict {
        let is_asked_for = self.of(Kind::Select).any(|request| request.address(50) == Some(address));
        never(is_asked_for, &format!("asks for {address}"))
            .and(never(self.since(address).is_some(), &format!("uses {address}")))
    }

    /// The messages of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Heard> {
        self.wire.of(kind)
    }

    /// The first message of a kind.
    pub fn first(&self, kind: Kind) -> Option<&Heard> {
        self.of(kind).next()
    }

    /// Those messages by which a lease is extended.
    pub fn extensions(&self) -> impl Iterator<Item = &Heard> {
        self.wire.heard.iter().filter(|heard| matches!(heard.kind, Kind::Renew | Kind::Rebind))
    }

    /// When the lease in use was asked for: its time runs from then.
    pub fn requested(&self) -> Option<Duration> {
        self.first(Kind::Select).map(|request| request.at)
    }

    /// Whether an address was there at some time from then on. A sample shows a moment between question and answer, which a loaded
    /// machine draws apart.
    pub fn had(&self, address: Ipv4Addr, from: Duration) -> bool {
        let later = self.samples.iter().filter(|sample| sample.asked > from);
        later.flat_map(|sample| &sample.addresses).any(|other| other.address == address)
    }

    /// The first message of a kind after a moment.
    pub fn after(&self, kind: Kind, moment: Duration) -> Option<&Heard> {
        self.of(kind).find(|heard| heard.at > moment)
    }
}
