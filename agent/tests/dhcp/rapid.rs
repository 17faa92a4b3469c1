//! A lease in two messages (RFC 4039), and what servers make of it.

use landfall_agent::dhcp::{Action, Event, Ignored};
use landfall_api::Dhcp;

use crate::bench::*;

const RAPID_COMMIT: u8 = 80;

fn committed(discover: &Sent) -> Answer {
    Answer::ack(discover).with(RAPID_COMMIT, [])
}

#[test]
fn c_18_an_ack_to_a_discover_is_a_lease() {
    let (mut host, discover) = Host::selecting();
    assert_eq!(discover.option(RAPID_COMMIT), Some(&[][..]));
    let sent_at = host.now;
    host.pass(seconds(0));
    let actions = host.hear(&committed(&discover));
    assert!(matches!(actions[0], Action::Granted(_)), "{actions:?}");
    assert_eq!(host.lease().requested, sent_at);
}

#[test]
fn c_18_its_time_runs_from_the_first_discover() {
    let (mut host, discover) = Host::selecting();
    let begin = host.now;
    host.wait();
    host.hear(&committed(&discover));
    assert_eq!(host.lease().requested, begin);
}

#[test]
fn c_18_an_ack_to_a_discover_that_comes_after_the_request_runs_from_the_discover() {
    let (mut host, discover) = Host::selecting();
    let begin = host.now;
    host.pass(seconds(1));
    host.hear(&Answer::offer(&discover));
    host.hear(&committed(&discover));
    assert_eq!(host.lease().requested, begin);
}

#[test]
fn c_18_an_offer_with_the_option_is_an_offer() {
    let (mut host, discover) = Host::selecting();
    let actions = host.hear(&Answer::offer(&discover).with(RAPID_COMMIT, []));
    assert_eq!(only_sent(&actions).kind(), REQUEST);
    assert_eq!(host.client.lease(), None);
}

#[test]
fn c_18_an_ack_counts_only_if_it_was_wanted() {
    let settings = Dhcp { rapid_commit: false, ..settings() };
    let (mut host, discover) = Host::selecting_with(settings);
    assert_eq!(discover.option(RAPID_COMMIT), None);
    host.ignores(&committed(&discover), Ignored::Unexpected);
}

#[test]
fn c_19_an_ack_without_the_option_is_dropped_and_the_option_left_out() {
    let (mut host, discover) = Host::selecting();
    host.hear(&Answer::ack(&discover));
    assert_eq!(host.client.lease(), None);
    let second = only_sent(&host.wait());
    assert!(second.option(RAPID_COMMIT).is_some());
    host.hear(&Answer::ack(&second));
    let third = only_sent(&host.wait());
    assert_eq!(third.option(RAPID_COMMIT), None, "from the third DISCOVER on");
    // And the server that only did so for the option gives a lease in four.
    let request = only_sent(&host.hear(&Answer::offer(&third)));
    assert!(matches!(host.hear(&Answer::ack(&request))[0], Action::Granted(_)));
}

#[test]
fn c_18_only_a_discover_has_the_option() {
    let (mut host, request) = Host::requesting();
    assert_eq!(request.option(RAPID_COMMIT), None);
    host.hear(&Answer::ack(&request));
    assert_eq!(only_sent(&host.wait()).option(RAPID_COMMIT), None);
    assert_eq!(only_sent(&host.step(Event::Stop)).option(RAPID_COMMIT), None);
}

#[test]
fn c_18_an_ack_to_a_discover_without_the_option_is_no_lease() {
    // Given a search that has come to the other client identifier, whose DISCOVERs never had the option
    let (mut host, first) = Host::selecting_with(Dhcp { rapid_commit: true, ..settings() });
    let discovers: Vec<Sent> = (0..6).map(|_| only_sent(&host.wait())).collect();
    let other = discovers.iter().find(|discover| discover.xid() != first.xid()).expect("another transaction");
    assert_eq!(other.option(80), None);
    // when an ACK comes for it, then it commits nobody; one for the first still does.
    host.ignores(&Answer::ack(other).with(80, []), Ignored::Unexpected);
    assert!(matches!(host.hear(&Answer::ack(&first).with(80, []))[..], [Action::Granted(_), ..]));
}
