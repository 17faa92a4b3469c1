//! Address conflict detection (RFC 5227): probing before an address is used, and watching over it afterwards.

use std::{net::Ipv4Addr, time::Duration};

use landfall_api::{ConflictDetection, MacAddr};
use rand::{Rng, RngExt as _};

use super::{
    arp::{Audience, Claim, Query},
    retransmit::spread,
};
use crate::clock::Instant;

/// RFC 5227, section 1.1.
const PROBES: u32 = 3;
const ANNOUNCEMENTS: u32 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// How long after the fast probes a claim still counts as if it had been heard among them.
const TENTATIVE: Duration = Duration::from_secs(2);

/// The times of a thoroughness.
struct Times {
    /// The first probe waits for a random part of it.
    longest_wait: Duration,
    /// Between two probes, in seconds.
    interval: std::ops::Range<f64>,
    /// After the last probe.
    listen: Duration,
}

/// RFC 5227, section 1.1.
const RFC5227: Times =
    Times { longest_wait: Duration::from_secs(1), interval: 1.0..2.0, listen: Duration::from_secs(2) };

/// Long enough for any neighbour on a LAN to answer; the watch afterwards covers the slow ones.
const FAST: Times =
    Times { longest_wait: Duration::ZERO, interval: 0.08..0.12, listen: Duration::from_millis(180) };

fn times(thoroughness: ConflictDetection) -> Option<&'static Times> {
    match thoroughness {
        ConflictDetection::Fast => Some(&FAST),
        ConflictDetection::Rfc5227 => Some(&RFC5227),
        ConflictDetection::Off => None,
    }
}

/// Those whose claims are none: ourselves, on whatever interface, and the one that offered the address.
#[derive(Clone, Debug)]
pub(super) struct Friends<'a> {
    pub own: MacAddr,
    pub others: &'a [MacAddr],
    /// A server, relay or router that answers for every address (proxy ARP) answers for the one that it has just
    /// offered, too.
    pub server: Option<MacAddr>,
}

impl Friends<'_> {
    fn is_one(&self, mac: MacAddr) -> bool {
        mac == self.own || self.others.contains(&mac) || self.server == Some(mac)
    }
}

/// The probes for one address.
#[derive(Clone, Debug)]
pub(super) struct Check {
    address: Ipv4Addr,
    thoroughness: ConflictDetection,
    sent: u32,
    /// When the next probe is due, or the verdict.
    pub at: Instant,
    /// Who probes for the same address; once is no evidence, because switches do so too.
    suspect: Option<MacAddr>,
    /// Who has it.
    pub holder: Option<MacAddr>,
}

impl Check {
    /// A check that begins now; none if there is to be none.
    pub fn new(
        address: Ipv4Addr,
        thoroughness: ConflictDetection,
        now: Instant,
        rng: &mut dyn Rng,
    ) -> Option<Self> {
        let wait = times(thoroughness)?.longest_wait.mul_f64(rng.random_range(0.0..1.0));
        Some(Self { address, thoroughness, sent: 0, at: now + wait, suspect: None, holder: None })
    }

    /// Whether nothing more is going to be done.
    pub fn is_done(&self, now: Instant) -> bool {
        self.holder.is_some() || self.sent == PROBES && self.at <= now
    }

    /// The probe that is due, if one is.
    pub fn due(&mut self, now: Instant, rng: &mut dyn Rng) -> Option<Query> {
        let times = times(self.thoroughness)?;
        if now < self.at || self.sent == PROBES {
            return None;
        }
        self.sent += 1;
        self.at = now
            + if self.sent == PROBES {
                times.listen
            } else {
                Duration::from_secs_f64(rng.random_range(times.interval.clone()))
            };
        Some(Query::Probe(self.address))
    }

    /// Takes a claim; it may say that the address is somebody's (RFC 5227, section 2.1.1).
    pub fn hear(&mut self, claim: &Claim, friends: &Friends<'_>) {
        if friends.is_one(claim.mac) {
        } else if claim.address == self.address {
            self.holder = Some(claim.mac);
        } else if is_probe(claim, self.address) {
            // Another host probes three times; a switch that tracks devices asks once, or each of them.
            if self.suspect == Some(claim.mac) {
                self.holder = Some(claim.mac);
            }
            self.suspect = Some(claim.mac);
        }
    }
}

/// Whether another host wants to use the address. A host asks everybody, with its own MAC address in frame and packet; a
/// switch that tracks devices asks one of them, or in another's name.
fn is_probe(claim: &Claim, address: Ipv4Addr) -> bool {
    claim.address.is_unspecified()
        && claim.target == address
        && claim.from == claim.mac
        && claim.audience == Audience::Everybody
}

/// What follows from a claim of an address that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// It is said once more whose it is (RFC 5227, section 2.4, b).
    Defend,
    /// It is somebody else's.
    GiveUp(MacAddr),
}

/// The watch over an address that is in use.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    address: Ipv4Addr,
    thoroughness: ConflictDetection,
    /// The probes that the address was not made to wait for.
    check: Option<Check>,
    announcements: u32,
    at: Instant,
    tentative_until: Instant,
    defended: Option<Instant>,
}

impl Guard {
    /// The watch over an address that was found free.
    pub fn new(address: Ipv4Addr, thoroughness: ConflictDetection, now: Instant) -> Self {
        let announcements = if times(thoroughness).is_some() { ANNOUNCEMENTS } else { 0 };
        let tentative_until = now + TENTATIVE;
        Self { address, thoroughness, check: None, announcements, at: now, tentative_until, defended: None }
    }

    /// The watch over an address that is probed while it is in use.
    pub fn probing(
        address: Ipv4Addr,
        thoroughness: ConflictDetection,
        now: Instant,
        rng: &mut dyn Rng,
    ) -> Self {
        let check = Check::new(address, thoroughness, now, rng);
        Self { check, ..Self::new(address, thoroughness, now) }
    }

    /// Whether claims matter.
    pub fn is_on(&self) -> bool {
        times(self.thoroughness).is_some()
    }

    /// When something is to be sent.
    pub fn deadline(&self) -> Option<Instant> {
        let probe = self.check.as_ref().map(|check| check.at);
        let announcement = (self.announcements > 0).then_some(self.at);
        probe.into_iter().chain(announcement).min()
    }

    /// What is due.
    pub fn due(&mut self, now: Instant, rng: &mut dyn Rng) -> Vec<Query> {
        let mut queries = Vec::new();
        if let Some(check) = &mut self.check {
            queries.extend(check.due(now, rng));
        }
        self.check.take_if(|check| check.is_done(now));
        if self.announcements > 0 && self.at <= now {
            self.announcements -= 1;
            self.at = now + ANNOUNCE_INTERVAL;
            queries.push(Query::Announcement(self.address));
        }
        queries
    }

    /// Announces the address again, because the network may have changed.
    pub fn announce(&mut self, now: Instant) {
        if self.is_on() {
            (self.announcements, self.at) = (ANNOUNCEMENTS, now);
        }
    }

    /// Takes a claim.
    pub fn hear(&mut self, claim: &Claim, friends: &Friends<'_>, now: Instant) -> Verdict {
        if !self.is_on() {
            return Verdict::Fine;
        }
        if let Some(check) = &mut self.check {
            check.hear(claim, friends);
            if let Some(holder) = check.holder {
                return Verdict::GiveUp(holder);
            }
        }
        // The one that offered the address has no claim to it, but it may answer for it.
        if claim.address != self.address || friends.is_one(claim.mac) {
            return Verdict::Fine;
        }
        let is_again = self.defended.is_some_and(|then| now < then + DEFEND_INTERVAL);
        if now < self.tentative_until || is_again {
            return Verdict::GiveUp(claim.mac);
        }
        self.defended = Some(now);
        Verdict::Defend
    }
}

/// How long to leave the servers alone after the `conflicts`th address in a row that somebody else uses: at least the ten
/// seconds of RFC 2131, section 3.1, 5.
pub(super) fn after_conflict(conflicts: u32, rng: &mut dyn Rng) -> Duration {
    const FIRST: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_mins(5);
    spread(FIRST.saturating_mul(1 << conflicts.saturating_sub(1).min(5)).min(LONGEST), 1.0..1.1, rng)
}
