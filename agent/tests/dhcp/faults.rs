//! Servers that die, clocks that step, and names that lead in circles.

use landfall_agent::{
    clock::Moment,
    dhcp::{Action, Delivery, Event, LeaseTime, saved},
};
use landfall_api::{Dhcp, LostReason};

use crate::bench::*;

#[test]
fn f_11_a_server_that_dies_before_its_offer_or_its_ack_is_asked_again() {
    // Before its offer: DISCOVERs for ever, an hour long and more
    let (mut host, _) = Host::selecting();
    let end = host.now + seconds(7200);
    let discovers = sent(&host.pass_until(end));
    assert!(discovers.len() > 100 && discovers.iter().all(|message| message.kind() == DISCOVER));
    // Before its ACK: four REQUESTs, and then whoever answers
    let (mut host, _) = Host::requesting();
    let mut kinds = vec![REQUEST];
    while kinds.last() == Some(&REQUEST) {
        kinds.extend(sent(&host.wait()).iter().map(Sent::kind));
    }
    assert_eq!(kinds, [REQUEST, REQUEST, REQUEST, REQUEST, DISCOVER]);
}

#[test]
fn f_11_a_server_that_dies_while_its_lease_is_held_is_replaced() {
    // At T1: another one takes over at T2
    let (mut host, rebind) = Host::rebinding();
    host.hear(&Answer::ack(&rebind).with(54, OTHER_SERVER.octets()));
    assert_eq!(host.lease().server, Some(OTHER_SERVER));
    // For good: the address is lost at the end of its lease, and searched for as long as it takes
    let (mut host, _) = Host::rebinding();
    let end = host.lease().expiry().expect("an end");
    let actions = host.pass_until(end);
    assert_eq!(lost(&actions), Some(LostReason::Expired));
    let later = end + seconds(86400);
    host.pass_until(later);
    // When it returns, the next DISCOVER leads to the same address
    let discover = only_sent(&host.wait());
    assert_eq!((discover.kind(), discover.address_option(50)), (DISCOVER, Some(ADDRESS)));
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert!(matches!(host.hear(&Answer::ack(&request))[0], Action::Granted(_)));
}

#[test]
fn f_13_a_wall_clock_that_steps_by_a_year_changes_no_lease() {
    let host = Host::bound(|ack| ack);
    let year = 365 * 86400;
    let moment = |wall| Moment {
        instant: host.now,
        boot_id: "one".into(),
        wall: jiff::Timestamp::from_second(wall).expect("a time"),
    };
    let before = moment(2 * year);
    let text = saved::to_text(host.lease(), MAC, &before);
    for after in [moment(year), before, moment(3 * year)] {
        let lease = saved::from_text(&text, MAC, &after).expect("a lease");
        assert_eq!(lease.expiry(), host.lease().expiry());
    }
}

#[test]
fn h_04_names_that_point_at_themselves_are_octets_and_nothing_more() {
    for name in [&[0xc0, 0][..], &[1, b'a', 0xc0, 0], &[0xc0], &[63], &[1, b'a'].repeat(120), &[0xff; 255]] {
        let ask = ["119", "15", "212"].map(|code| code.parse().expect("a code")).to_vec();
        let (mut host, discover) = Host::selecting_with(Dhcp { ask, ..settings() });
        let named = |answer: Answer| answer.with(119, name).with(15, name).with(212, name);
        let request = only_sent(&host.hear(&named(Answer::offer(&discover))));
        host.hear(&named(Answer::ack(&request)));
        assert_eq!(host.lease().domain, None);
        assert_eq!(host.lease().options.len(), 3);
        assert!(matches!(host.lease().time, LeaseTime::Finite { .. }));
    }
}

#[test]
fn f_11_a_server_that_comes_back_at_t1_finds_the_lease_as_it_was() {
    let (mut host, renew) = Host::renewing();
    let late = only_sent(&host.wait());
    assert_eq!((late.xid(), late.delivery), (renew.xid(), Delivery::Unicast { to: SERVER }));
    assert!(matches!(host.hear(&Answer::ack(&late))[..], [Action::Extended(_)]));
    assert_eq!(only_sent(&host.step(Event::Stop)).kind(), RELEASE);
}
