//! Decides what to do, from what was asked and what exists. Pure.

use landfall_api::Forward;

use crate::{families::Families, identity::Identity, state::AgentState};

/// The container that has the name of the network container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Existing {
    /// There is none.
    Nothing,
    /// It is not ours.
    Stranger,
    /// It is ours, but not whole: stopped, half made, or of another version.
    Broken,
    /// It is ours and runs.
    Running(Box<(Identity, AgentState)>),
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Make it.
    Create,
    /// Remove it and make it again.
    Replace,
    /// Tell it the forwards, and wait until they are in force and all addresses are there.
    Update,
    /// It is as it should be.
    Keep,
    /// Touch nothing.
    Refuse,
}

/// What brings the network container to what was asked.
pub fn plan(existing: &Existing, identity: &Identity, families: Families, forward: &[Forward]) -> Plan {
    match existing {
        Existing::Nothing => Plan::Create,
        Existing::Stranger => Plan::Refuse,
        Existing::Broken => Plan::Replace,
        Existing::Running(running) => {
            let (current, state) = &**running;
            if current != identity || !state.has_address() {
                Plan::Replace
            } else if state.answers(families, forward) {
                Plan::Keep
            } else {
                Plan::Update
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use landfall_api::{Dhcp, Family, MacAddr, Report};

    use super::*;
    use crate::{path::Path, state::Phase};

    fn identity() -> Identity {
        Identity {
            interface: "eth0".into(),
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            dhcp: Dhcp::default(),
            family: Family::V4,
            offload: false,
            others: Vec::new(),
            path: Path::Wire,
            image: "sha256:1".into(),
        }
    }

    fn leased() -> AgentState {
        let lines = include_str!("../../agent/api/tests/reports.jsonl").lines().take(4);
        AgentState::of(lines.map(|line| Report::from_line(line).expect(line)))
    }

    #[test]
    fn what_exists_decides_what_is_done() {
        let forward = leased().forward.expect("forwards");
        let running = |state| Existing::Running(Box::new((identity(), state)));
        let searching = AgentState { phase: Phase::Searching, lease: None, ..leased() };
        let cases = [
            (Existing::Nothing, Plan::Create),
            (Existing::Stranger, Plan::Refuse),
            (Existing::Broken, Plan::Replace),
            (running(AgentState::default()), Plan::Replace),
            (running(searching), Plan::Replace),
            (running(leased()), Plan::Keep),
        ];
        for (existing, expected) in cases {
            assert_eq!(plan(&existing, &identity(), Families::V4, &forward), expected, "{existing:?}");
        }
    }

    #[test]
    fn other_forwards_are_told_to_the_one_that_runs() {
        let forward = leased().forward.expect("forwards");
        assert_eq!(
            plan(
                &Existing::Running(Box::new((identity(), leased()))),
                &identity(),
                Families::V4,
                &forward[..1]
            ),
            Plan::Update
        );
    }

    #[test]
    fn an_address_that_is_missing_is_waited_for_and_costs_none_that_is_there() {
        let forward = leased().forward.expect("forwards");
        let both = Identity { family: Family::Both, ..identity() };
        let existing = Existing::Running(Box::new((both.clone(), leased())));
        assert_eq!(plan(&existing, &both, Families::Both, &forward), Plan::Update);
        assert_eq!(plan(&existing, &both, Families::Any, &forward), Plan::Keep);
    }

    #[test]
    fn another_identity_needs_another_container() {
        let forward = leased().forward.expect("forwards");
        let existing = Existing::Running(Box::new((identity(), leased())));
        let others = [
            Identity { interface: "eth1".into(), ..identity() },
            Identity { mac: MacAddr([2, 0, 0, 0, 0, 2]), ..identity() },
            Identity { dhcp: Dhcp { hostname: "web".parse().ok(), ..Dhcp::default() }, ..identity() },
            Identity { path: Path::Bridge("bridge".into()), ..identity() },
            Identity { image: "sha256:2".into(), ..identity() },
            Identity { family: Family::Both, ..identity() },
            Identity { offload: true, ..identity() },
            Identity { others: vec!["mail".into()], ..identity() },
        ];
        for other in others {
            assert_eq!(plan(&existing, &other, Families::Any, &forward), Plan::Replace, "{other:?}");
        }
    }
}
