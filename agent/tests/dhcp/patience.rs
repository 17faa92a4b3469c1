//! What is done when no server answers.

use std::net::Ipv4Addr;

use landfall_agent::dhcp::{Action, Event, Query};
use landfall_api::{ConflictDetection, Dhcp, NoServer};

use crate::bench::*;

fn with(no_server: NoServer, timeout: u32) -> Dhcp {
    Dhcp { no_server, timeout, ..settings() }
}

/// The link-local addresses that are taken and given up, in their order.
fn link_local(actions: &[Action]) -> Vec<Option<Ipv4Addr>> {
    let address =
        |action: &Action| if let Action::LinkLocal(address) = action { Some(*address) } else { None };
    actions.iter().filter_map(address).collect()
}

/// A client that nobody answered, and that has a link-local address now.
fn self_assigned() -> (Host, Ipv4Addr) {
    let (mut host, _) = Host::selecting_with(with(NoServer::LinkLocal, 10));
    let actions = host.pass_until(host.now + seconds(20));
    let [Some(address)] = link_local(&actions)[..] else { panic!("{actions:?}") };
    (host, address)
}

#[test]
fn f_02_waiting_never_ends() {
    let (mut host, _) = Host::selecting_with(with(NoServer::Wait, 10));
    let mut last = host.now;
    for count in 0..1000 {
        let discover = only_sent(&host.wait());
        assert_eq!(discover.kind(), DISCOVER);
        let interval = host.now.saturating_duration_since(last);
        assert!(count < 7 || (seconds(57)..seconds(71)).contains(&interval), "{interval:?}");
        last = host.now;
    }
}

#[test]
fn failing_ends_the_search_in_time_and_tells_how_it_went() {
    let (mut host, _) = Host::selecting_with(with(NoServer::Fail, 10));
    let begin = host.now;
    let actions = host.pass_until(host.now + seconds(100));
    let Some(Action::GaveUp(search)) = actions.last() else { panic!("{actions:?}") };
    assert!(search.discovers >= 3, "{search:?}");
    assert_eq!(host.client.deadline(), None);
    assert_eq!(host.step(Event::LinkUp), []);
    assert_eq!(begin + seconds(100), host.now);
}

#[test]
fn failing_does_not_happen_to_who_has_a_lease() {
    let (mut host, actions) = Host::bound_with(with(NoServer::Fail, 10));
    assert!(matches!(actions[0], Action::Granted(_)));
    let renew = sent(&host.pass_until(host.lease().renewal().expect("T1"))).pop().expect("a renewal");
    assert!(matches!(host.hear(&Answer::ack(&renew))[..], [Action::Extended(_)]));
}

#[test]
fn a_link_local_address_is_probed_announced_and_the_same_every_time() {
    let (mut host, _) = Host::selecting_with(with(NoServer::LinkLocal, 10));
    let begin = host.now;
    let mut actions = host.pass_until(begin + seconds(10));
    assert_eq!(link_local(&actions), []);
    actions.extend(host.pass_until(begin + seconds(20)));
    let [Some(address)] = link_local(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(address.octets()[..2], [169, 254]);
    assert!((1..=254).contains(&address.octets()[2]));
    let announcement = Query::Announcement(address);
    let probe = Query::Probe(address);
    assert_eq!(asked(&actions), [probe, probe, probe, announcement, announcement]);
    assert_eq!(host.client.link_local(), Some(address));
    assert_eq!(self_assigned().1, address);
}

#[test]
fn a_link_local_address_gives_way_to_a_lease() {
    let (mut host, _) = self_assigned();
    let discover = sent(&host.pass_until(host.now + seconds(100))).pop().expect("the search goes on");
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert!(matches!(host.hear(&Answer::ack(&request))[0], Action::Granted(_)));
    assert_eq!(host.client.link_local(), None);
}

#[test]
fn a_link_local_address_that_is_somebody_elses_is_another_one() {
    let (mut host, first) = self_assigned();
    let actions = host.overhear(claim(NEIGHBOUR, first, first));
    let again = host.overhear(claim(NEIGHBOUR, first, first));
    assert_eq!(link_local(&[actions, again].concat()), [None]);
    let actions = host.pass_until(host.now + seconds(20));
    let [Some(second)] = link_local(&actions)[..] else { panic!("{actions:?}") };
    assert_ne!(first, second);
}

#[test]
fn without_a_link_there_is_no_link_local_address() {
    let (mut host, _) = self_assigned();
    assert_eq!(host.step(Event::LinkDown), [Action::LinkLocal(None)]);
    assert_eq!(host.client.link_local(), None);
    let (mut host, _) = self_assigned();
    assert_eq!(host.step(Event::Stop), [Action::LinkLocal(None)]);
}

#[test]
fn a_link_local_address_goes_with_the_agent_that_checks_a_better_one() {
    let settings = Dhcp { conflict_detection: ConflictDetection::Rfc5227, ..with(NoServer::LinkLocal, 10) };
    let (mut host, _) = Host::selecting_with(settings);
    while host.client.link_local().is_none() {
        host.wait();
    }
    let discover = sent(&host.pass_until(host.now + seconds(100))).pop().expect("the search goes on");
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    host.hear(&Answer::ack(&request));
    assert_eq!(host.client.lease(), None, "it is being checked");
    let actions = host.step(Event::Stop);
    assert_eq!((link_local(&actions), host.client.deadline()), (vec![None], None));
}
