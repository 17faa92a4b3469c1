//! What an agent's reports say about it, all together. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use landfall_api::{Event, Forward, Ipv6, Ipv6Search, Lease, Report, Search};
use serde::Serialize;

use crate::families::Families;

/// An agent, as far as it has reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AgentState {
    /// What it is about.
    pub phase: Phase,
    /// The forwards in force.
    pub forward: Option<Vec<Forward>>,
    /// The lease, and when it was granted or extended.
    pub lease: Option<Held>,
    /// The address that the uplink has given itself, while there is no lease.
    pub link_local: Option<Ipv4Net>,
    /// What it has of IPv6.
    pub ipv6: Option<Ipv6>,
    /// How the search for an address goes.
    pub search: Option<Search>,
    /// How that for an IPv6 address goes.
    pub ipv6_search: Option<Ipv6Search>,
    /// The last warning.
    pub warning: Option<String>,
    /// Why it ended.
    pub fatal: Option<String>,
}

/// A lease, and since when it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// When it was granted or extended.
    pub since: Timestamp,
    /// What was granted.
    #[serde(flatten)]
    pub lease: Lease,
}

/// What an agent is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It has not found its uplink.
    #[default]
    Starting,
    /// It looks for an address.
    Searching,
    /// It has one.
    Leased,
    /// It has given itself one, and goes on looking.
    LinkLocal,
    /// It had one, and looks for another.
    Lost,
    /// It gave its address back.
    Released,
    /// It ended with an error.
    Failed,
}

impl AgentState {
    /// The state after all of `reports`, in their order.
    pub fn of(reports: impl IntoIterator<Item = Report>) -> Self {
        let mut state = Self::default();
        for report in reports {
            state.apply(report);
        }
        state
    }

    /// Takes the next report.
    pub fn apply(&mut self, Report { time, event }: Report) {
        match event {
            Event::Started { .. } => *self = Self::default(),
            Event::UplinkFound { .. } => self.phase = Phase::Searching,
            Event::Forwarding { forward } => self.forward = Some(forward),
            Event::Searching(search) => self.search = Some(search),
            Event::Leased { lease, .. } | Event::Renewed { lease } => {
                *self = Self {
                    phase: Phase::Leased,
                    lease: Some(Held { since: time, lease }),
                    link_local: None,
                    search: None,
                    ..self.clone()
                };
            }
            Event::LinkLocal { address } => {
                *self = Self { phase: Phase::LinkLocal, link_local: Some(address), ..self.clone() }
            }
            Event::Lost { .. } => *self = Self { phase: Phase::Lost, lease: None, ..self.clone() },
            Event::Released { .. } => {
                *self = Self { phase: Phase::Released, lease: None, link_local: None, ..self.clone() }
            }
            Event::Ipv6(ipv6) => {
                self.ipv6 = Some(ipv6).filter(|ipv6| !ipv6.addresses.is_empty());
                self.ipv6_search = None;
            }
            Event::SearchingIpv6(search) => self.ipv6_search = Some(search),
            Event::Warning { message } => self.warning = Some(message),
            Event::Fatal { message } => {
                *self = Self {
                    phase: Phase::Failed,
                    lease: None,
                    ipv6: None,
                    fatal: Some(message),
                    ..self.clone()
                }
            }
            // Which of them are reached the kernel says.
            Event::Replica { .. } | Event::Unknown => {}
        }
    }

    /// Whether the target answers: there are addresses of the families that are waited for, and the forwards are those wanted.
    pub fn answers(&self, families: Families, wanted: &[Forward]) -> bool {
        let are_there = families.are_content(self.address().is_some(), self.ipv6.is_some());
        are_there && self.forward.as_deref() == Some(wanted)
    }

    /// Whether there is an address of any family.
    pub fn has_address(&self) -> bool {
        self.address().is_some() || self.ipv6.is_some()
    }

    /// The IPv6 addresses under which the target answers, the first one first.
    pub fn ipv6_addresses(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.ipv6.iter().flat_map(|ipv6| &ipv6.addresses).map(|address| address.address.addr())
    }

    /// The address under which the target answers, leased or self-assigned.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.lease.as_ref().map(|held| held.lease.address).or(self.link_local).map(|net| net.addr())
    }
}

impl Held {
    /// Seconds until the lease ends; none if it never does.
    pub fn remaining(&self, now: Timestamp) -> Option<i64> {
        let total = i64::from(self.lease.lease_time?);
        Some((total - now.duration_since(self.since).as_secs()).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden lines of the contract, one for each event.
    const GOLDEN: &str = include_str!("../../agent/api/tests/reports.jsonl");

    fn reports(events: &[&str]) -> Vec<Report> {
        let line = |event: &&str| {
            GOLDEN.lines().find(|line| line.contains(&format!("\"event\":\"{event}\""))).expect(event)
        };
        events.iter().map(line).map(|line| Report::from_line(line).expect(line)).collect()
    }

    fn phase(events: &[&str]) -> Phase {
        AgentState::of(reports(events)).phase
    }

    #[test]
    fn the_last_word_on_the_lease_decides_the_phase() {
        assert_eq!(phase(&[]), Phase::Starting);
        assert_eq!(phase(&["started"]), Phase::Starting);
        assert_eq!(phase(&["started", "uplink_found"]), Phase::Searching);
        assert_eq!(phase(&["started", "uplink_found", "leased", "forwarding"]), Phase::Leased);
        assert_eq!(phase(&["leased", "renewed", "lost"]), Phase::Lost);
        assert_eq!(phase(&["leased", "lost", "leased"]), Phase::Leased);
        assert_eq!(phase(&["leased", "released"]), Phase::Released);
        assert_eq!(phase(&["started", "fatal"]), Phase::Failed);
        assert_eq!(phase(&["leased", "started"]), Phase::Starting);
        assert_eq!(phase(&["uplink_found", "searching", "link_local"]), Phase::LinkLocal);
        assert_eq!(phase(&["link_local", "leased"]), Phase::Leased);
    }

    #[test]
    fn a_target_answers_once_both_lease_and_forwards_are_there() {
        let wanted = AgentState::of(reports(&["forwarding"])).forward.expect("forwards");
        for order in [["leased", "forwarding"], ["forwarding", "leased"]] {
            assert!(AgentState::of(reports(&order)).answers(Families::V4, &wanted));
            assert!(!AgentState::of(reports(&order)).answers(Families::V4, &wanted[..1]));
            assert!(!AgentState::of(reports(&order)).answers(Families::Both, &wanted));
        }
        for events in
            [&["forwarding"][..], &["leased"], &["leased", "forwarding", "lost"], &["forwarding", "ipv6"]]
        {
            assert!(!AgentState::of(reports(events)).answers(Families::V4, &wanted), "{events:?}");
        }
        assert!(
            AgentState::of(reports(&["forwarding", "searching_ipv6", "ipv6"])).answers(Families::V6, &wanted)
        );
        assert!(AgentState::of(reports(&["forwarding", "leased", "ipv6"])).answers(Families::Both, &wanted));
    }

    #[test]
    fn a_lease_ends_when_its_report_says() {
        let held = AgentState::of(reports(&["leased"])).lease.expect("a lease");
        let later = |seconds: i64| held.since + jiff::SignedDuration::from_secs(seconds);
        assert_eq!(held.remaining(held.since), Some(3600));
        assert_eq!(held.remaining(later(600)), Some(3000));
        assert_eq!(held.remaining(later(9999)), Some(0));
        assert_eq!(AgentState::of(reports(&["renewed"])).lease.expect("a lease").remaining(later(0)), None);
    }
}
