use std::time::Duration;

use landfall_api::LostReason;

use super::bench::{
    ADDRESS, Answer, CONFIRM, Host, IA_ADDR, NO_ADDRS_AVAIL, NO_BINDING, NOT_ON_LINK, OTHER_ADDRESS,
    OTHER_SERVER, PREFERRED, REBIND, RELEASE, RENEW, REQUEST, SERVER, SERVER_ID, SOLICIT, STATUS, Sent,
    UNSPEC_FAIL, VALID, ia_addr, only_sent, seconds, sent, status_code,
};
use crate::{
    clock::Instant,
    dhcp6::{Action, Event, Ignored, Lease, Want},
};

const USE_MULTICAST: u16 = 5;

/// A client that has just sent this RENEW.
fn renewing() -> (Host, Sent) {
    let mut host = Host::bound();
    let renew = host.next_sent();
    assert_eq!(renew.kind, RENEW);
    (host, renew)
}

fn held(host: &Host) -> &Lease {
    host.client.lease().expect("a lease")
}

/// That the lease ends at once for a reason, and that a search follows.
fn assert_lost(host: &mut Host, answer: &Answer, why: LostReason) {
    let lease = held(host).clone();
    assert_eq!(host.hear(answer), [Action::Lost(lease, why)]);
    assert_eq!(host.client.lease(), None);
    assert_eq!(host.next_sent().kind, SOLICIT);
}

#[test]
fn a_lease_is_renewed_at_t1_and_lasts_longer_from_then() {
    let (mut host, renew) = renewing();
    let first = held(&host).clone();
    assert_eq!(host.since(first.obtained), seconds(900));
    assert_eq!((renew.option(SERVER_ID), renew.address()), (Some(&SERVER[..]), Some(ADDRESS)));
    let again = host.next_sent();
    assert!((seconds(10)..seconds(11)).contains(&again.at.saturating_duration_since(renew.at)));
    assert_eq!((again.kind, again.xid), (RENEW, renew.xid));
    let lease = Lease { obtained: renew.at, ..first };
    assert_eq!(host.hear(&Answer::reply(&again).usual()), [Action::Extended(lease)]);
}

#[test]
fn any_server_is_asked_at_t2_and_the_lease_ends_with_its_time() {
    let mut host = Host::bound();
    let obtained = held(&host).obtained;
    let rebind = host.next_of(REBIND);
    assert_eq!((host.since(obtained), rebind.option(SERVER_ID)), (seconds(1440), None));
    assert_eq!((rebind.address(), rebind.elapsed()), (Some(ADDRESS), 0));
    let lease = held(&host).clone();
    let mut actions = host.wait_for_actions();
    while let [rebind] = &sent(&actions, host.now)[..] {
        assert_eq!(rebind.kind, REBIND);
        actions = host.wait_for_actions();
    }
    assert_eq!(actions, [Action::Lost(lease, LostReason::Expired)]);
    assert_eq!(host.since(obtained), seconds(3600));
    let solicit = host.next_sent();
    assert_eq!((solicit.kind, solicit.address()), (SOLICIT, Some(ADDRESS)));
}

#[test]
fn another_server_may_extend_a_lease_once_it_is_asked() {
    let (mut host, renew) = renewing();
    let other = |to: &Sent| Answer::reply(to).usual().with(SERVER_ID, OTHER_SERVER);
    host.assert_ignored(&other(&renew), Ignored::OtherServer);
    let rebind = host.next_of(REBIND);
    assert!(
        matches!(&host.hear(&other(&rebind))[..], [Action::Extended(lease)] if lease.server == OTHER_SERVER)
    );
}

#[test]
fn a_timer_that_rings_late_ends_the_lease_before_anything_else() {
    let (mut host, renew) = renewing();
    host.now = host.now + seconds(VALID);
    let actions = host.hear(&Answer::reply(&renew).usual());
    assert!(matches!(
        actions[..],
        [Action::Lost(_, LostReason::Expired), Action::Ignore(Ignored::Unexpected)]
    ));
}

#[test]
fn times_that_the_server_leaves_to_us_or_gets_wrong_are_the_rfcs() {
    const INFINITE: u32 = u32::MAX;
    // T1, T2, preferred and valid as told; T1 and T2 as they are then.
    let table = [
        ([0, 0, 1000, 2000], [Some(500), Some(800)]),
        ([100, 0, 1000, 2000], [Some(100), Some(800)]),
        ([900, 0, 1000, 2000], [Some(900), Some(900)]),
        ([0, 300, 1000, 2000], [Some(300), Some(300)]),
        ([100, 300, 1000, 2000], [Some(100), Some(300)]),
        ([2000, 3000, 1000, 2000], [Some(500), Some(800)]),
        ([0, 0, 0, 2000], [Some(1000), Some(1600)]),
        ([1, 1, 1000, 2000], [Some(5), Some(5)]),
        ([0, 0, 1, 1], [Some(5), Some(5)]),
        ([0, 0, INFINITE, INFINITE], [None, None]),
        ([100, 200, INFINITE, INFINITE], [Some(100), Some(200)]),
        ([100, INFINITE, 1000, 2000], [Some(100), None]),
        ([INFINITE, 0, 1000, 2000], [None, None]),
    ];
    for ([t1, t2, preferred, valid], expected) in table {
        let inner = [(IA_ADDR, ia_addr(ADDRESS, preferred, valid))];
        let host = Host::bound_by(|reply| reply.ia(t1, t2, &inner));
        let lease = held(&host);
        assert_eq!(
            [lease.t1, lease.t2],
            expected.map(|time| time.map(seconds)),
            "{t1} {t2} {preferred} {valid}"
        );
    }
}

#[test]
fn a_lease_for_ever_needs_nothing_more() {
    let host = Host::bound_by(|reply| reply.giving(ADDRESS, u32::MAX, u32::MAX));
    let lease = held(&host);
    assert_eq!((lease.preferred, lease.valid, lease.expiry()), (None, None, None));
    assert_eq!(host.client.deadline(), None);
}

#[test]
fn a_lease_that_is_hardly_one_makes_no_storm() {
    let (mut host, mut solicit) = Host::soliciting();
    let began = host.now;
    for _ in 0..10 {
        let actions = host.hear(&Answer::reply(&solicit).giving(ADDRESS, 1, 1).rapid());
        assert!(matches!(actions[..], [Action::Granted(_)]), "{actions:?}");
        solicit = host.next_sent();
        assert_eq!(solicit.kind, SOLICIT);
    }
    assert!(host.since(began) >= seconds(50));
}

#[test]
fn a_server_that_does_not_know_the_lease_is_asked_for_it_anew() {
    let (mut host, renew) = renewing();
    let unknown = Answer::reply(&renew).ia(0, 0, &[(STATUS, status_code(NO_BINDING, ""))]);
    let actions = host.hear(&unknown);
    let request = only_sent(&actions, host.now);
    assert_eq!((request.kind, request.option(SERVER_ID)), (REQUEST, Some(&SERVER[..])));
    assert_eq!((request.address(), held(&host).address), (Some(ADDRESS), ADDRESS));
    let actions = host.hear(&Answer::reply(&request).usual());
    assert!(matches!(&actions[..], [Action::Extended(lease)] if lease.obtained == request.at), "{actions:?}");
}

#[test]
fn a_server_that_does_not_know_the_lease_and_refuses_it_ends_it() {
    for status in [NO_BINDING, NO_ADDRS_AVAIL, NOT_ON_LINK] {
        let (mut host, renew) = renewing();
        host.hear(&Answer::reply(&renew).refusing(NO_BINDING, ""));
        let request = host.next_sent();
        assert_eq!(request.kind, REQUEST);
        assert_lost(&mut host, &Answer::reply(&request).refusing(status, ""), LostReason::Nak);
    }
}

#[test]
fn a_lease_is_kept_when_its_server_forgets_it_and_falls_silent() {
    let (mut host, renew) = renewing();
    host.hear(&Answer::reply(&renew).refusing(NO_BINDING, ""));
    assert_eq!(host.next_of(RENEW).address(), Some(ADDRESS));
}

#[test]
fn an_address_with_no_time_left_is_lost() {
    let (mut host, renew) = renewing();
    assert_lost(&mut host, &Answer::reply(&renew).giving(ADDRESS, 0, 0), LostReason::Nak);
    let (mut host, renew) = renewing();
    assert_lost(&mut host, &Answer::reply(&renew).refusing(NOT_ON_LINK, ""), LostReason::Nak);
}

#[test]
fn a_reply_that_says_nothing_of_the_address_changes_nothing() {
    let (mut host, renew) = renewing();
    let reply = Answer::reply(&renew);
    host.assert_ignored(&reply, Ignored::NoAddress);
    host.assert_ignored(&reply.clone().giving(OTHER_ADDRESS, 0, 0), Ignored::NoAddress);
    host.assert_ignored(&reply.clone().refusing(UNSPEC_FAIL, ""), Ignored::Refused(UNSPEC_FAIL));
    host.assert_ignored(&reply.clone().refusing(USE_MULTICAST, ""), Ignored::Refused(USE_MULTICAST));
    host.assert_ignored(&Answer::advertise(&renew).usual(), Ignored::Unexpected);
}

#[test]
fn a_lan_that_is_renumbered_gives_the_new_address() {
    let (mut host, renew) = renewing();
    let inner = [(IA_ADDR, ia_addr(ADDRESS, 0, VALID)), (IA_ADDR, ia_addr(OTHER_ADDRESS, PREFERRED, VALID))];
    let actions = host.hear(&Answer::reply(&renew).ia(0, 0, &inner));
    assert!(
        matches!(&actions[..], [Action::Extended(lease)] if lease.address == OTHER_ADDRESS),
        "{actions:?}"
    );
}

#[test]
fn a_link_that_was_away_is_asked_about() {
    let mut host = Host::bound();
    let lease = held(&host).clone();
    assert_eq!(host.step(Event::LinkDown), []);
    assert_eq!(host.step(Event::LinkUp), []);
    let began = host.now;
    let confirm = host.next_sent();
    assert!(host.since(began) <= Duration::from_millis(100));
    assert_eq!((confirm.kind, confirm.address(), confirm.option(SERVER_ID)), (CONFIRM, Some(ADDRESS), None));
    assert_eq!(host.hear(&Answer::reply(&confirm).refusing(0, "yes")), []);
    assert_eq!((host.client.lease(), host.client.deadline()), (Some(&lease), lease.renewal()));
}

#[test]
fn an_address_of_another_link_is_lost() {
    let mut host = Host::bound();
    host.step(Event::LinkUp);
    let confirm = host.next_sent();
    host.assert_ignored(&Answer::reply(&confirm).refusing(UNSPEC_FAIL, ""), Ignored::Refused(UNSPEC_FAIL));
    let no = Answer::reply(&confirm).with(SERVER_ID, OTHER_SERVER).refusing(NOT_ON_LINK, "");
    assert_lost(&mut host, &no, LostReason::Nak);
}

#[test]
fn a_link_that_does_not_answer_within_ten_seconds_is_taken_for_the_same() {
    let mut host = Host::bound();
    let lease = held(&host).clone();
    host.step(Event::LinkUp);
    let began = host.next_sent().at;
    let mut sent = 1;
    while host.client.deadline() != lease.renewal() {
        sent += host.wait().len();
    }
    assert_eq!((host.since(began), sent), (seconds(10), 4));
    assert_eq!(host.client.lease(), Some(&lease));
}

#[test]
fn a_lease_is_kept_and_renewed_when_nothing_is_wanted_any_more() {
    let mut host = Host::bound();
    for want in [Want::Nothing, Want::Information] {
        assert_eq!(host.step(Event::Wanted(want)), []);
        let renew = host.next_sent();
        assert_eq!(renew.kind, RENEW);
        assert!(matches!(host.hear(&Answer::reply(&renew).usual())[..], [Action::Extended(_)]));
    }
    host.step(Event::Wanted(Want::Nothing));
    host.now = host.now + seconds(VALID);
    assert!(matches!(host.step(Event::Deadline)[..], [Action::Lost(_, LostReason::Expired)]));
    assert_eq!(host.client.deadline(), None);
}

#[test]
fn a_lease_is_released_once() {
    for mut host in [Host::bound(), renewing().0] {
        let lease = held(&host).clone();
        let actions = host.step(Event::Stop);
        assert_eq!(actions[1..], [Action::Released(lease)]);
        let release = only_sent(&actions[..1], host.now);
        assert_eq!((release.kind, release.address()), (RELEASE, Some(ADDRESS)));
        assert_eq!(release.option(SERVER_ID), Some(&SERVER[..]));
        for event in [Event::Stop, Event::Deadline, Event::LinkUp, Event::Wanted(Want::Address)] {
            assert_eq!(host.step(event), []);
        }
        assert_eq!((host.client.lease(), host.client.deadline()), (None, None));
    }
}

#[test]
fn a_deadline_is_never_later_than_the_end_of_the_lease() {
    let mut host = Host::bound();
    let expiry = held(&host).expiry().expect("it ends");
    while host.client.lease().is_some() {
        let deadline: Instant = host.client.deadline().expect("something is due");
        assert!(deadline <= expiry);
        host.wait();
    }
    assert_eq!(host.now, expiry);
}
