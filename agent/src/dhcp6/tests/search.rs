use std::time::Duration;

use landfall_api::LostReason;

use super::bench::{
    ADDRESS, Answer, CLIENT_ID, DECLINE, DUID, ELAPSED, Host, IA_ADDR, IA_NA, NO_ADDRS_AVAIL, NOT_ON_LINK,
    OTHER_ADDRESS, OTHER_SERVER, RAPID_COMMIT, REQUEST, SERVER, SERVER_ID, SOLICIT, STATUS, UNSPEC_FAIL,
    ia_addr, only_sent, seconds, sent, status_code,
};
use crate::dhcp6::{Action, Client, Event, Identity, Ignored, Information, Want};

const SOL_MAX_RT: u16 = 82;

/// The message of the last refusal, once an answer is overdue.
fn complaint(host: &mut Host) -> Option<String> {
    loop {
        let actions = host.wait();
        if let Some(Action::Searching { message, .. }) =
            actions.iter().find(|action| matches!(action, Action::Searching { .. }))
        {
            return message.clone();
        }
    }
}

#[test]
fn nothing_is_sent_where_nothing_is_wanted() {
    let mut host = Host::wanting(Want::Nothing);
    assert_eq!(host.client.deadline(), None);
    assert_eq!(host.step(Event::Deadline), []);
}

#[test]
fn nothing_is_sent_where_there_is_no_link() {
    let mut host = Host::new(0);
    assert_eq!(host.step(Event::Wanted(Want::Address)), []);
    assert_eq!(host.client.deadline(), None);
    assert_eq!(host.step(Event::LinkUp), []);
    assert!(host.client.deadline().is_some());
    assert_eq!(host.step(Event::LinkDown), []);
    assert_eq!(host.client.deadline(), None);
}

#[test]
fn a_search_ends_when_nothing_is_wanted_any_more() {
    let (mut host, solicit) = Host::soliciting();
    assert_eq!(host.step(Event::Wanted(Want::Nothing)), []);
    assert_eq!(host.client.deadline(), None);
    host.assert_ignored(&Answer::advertise(&solicit).usual(), Ignored::Unexpected);
}

#[test]
fn a_search_begins_soon_and_not_again_when_the_same_is_wanted() {
    let mut host = Host::wanting(Want::Address);
    let began = host.now;
    let solicit = host.next_sent();
    assert!(host.since(began) <= Duration::from_millis(100));
    assert_eq!(host.step(Event::Wanted(Want::Address)), []);
    assert_eq!(host.next_sent().xid, solicit.xid);
}

#[test]
fn a_solicit_says_who_asks_and_for_what() {
    let mut host = Host::new(0);
    let name = "web".parse().expect("a name");
    host.client = Client::new(Identity::of(super::bench::MAC, Some(name)));
    host.step(Event::LinkUp);
    host.step(Event::Wanted(Want::Address));
    let solicit = host.next_sent();
    let ia = [0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0];
    let options: [(u16, &[u8]); 6] = [
        (CLIENT_ID, &DUID),
        (ELAPSED, &[0, 0]),
        (IA_NA, &ia),
        (6, &[0, 23, 0, 24, 0, 82, 0, 83]),
        (39, &[1, 3, b'w', b'e', b'b']),
        (RAPID_COMMIT, &[]),
    ];
    assert_eq!(solicit.kind, SOLICIT);
    assert_eq!(solicit.options, options.map(|(code, value)| (code, value.to_vec())));
}

#[test]
fn the_first_offer_is_requested_at_once() {
    let (mut host, solicit) = Host::soliciting();
    host.now = host.now + Duration::from_millis(3);
    let actions = host.hear(&Answer::advertise(&solicit).usual());
    let request = only_sent(&actions, host.now);
    assert_eq!((request.kind, request.elapsed()), (REQUEST, 0));
    assert_eq!((request.option(SERVER_ID), request.address()), (Some(&SERVER[..]), Some(ADDRESS)));
    assert_ne!(request.xid, solicit.xid);

    let began = host.now;
    host.now = host.now + seconds(1);
    let dns: Vec<u8> = ADDRESS.octets().into();
    let domain = b"\x07example\x03org\0\x04evil\x03\x1b[0\0".to_vec();
    let actions = host.hear(&Answer::reply(&request).usual().with(23, dns).with(24, domain));
    let [Action::Granted(lease)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((lease.address, lease.obtained, &lease.server[..]), (ADDRESS, began, &SERVER[..]));
    assert_eq!((lease.preferred, lease.valid), (Some(seconds(1800)), Some(seconds(3600))));
    assert_eq!((lease.t1, lease.t2), (Some(seconds(900)), Some(seconds(1440))));
    let information = Information { dns: vec![ADDRESS], search: vec!["example.org".to_owned()] };
    assert_eq!((&lease.information, host.client.lease()), (&information, Some(lease)));
}

#[test]
fn rapid_commit_gives_a_lease_from_when_the_solicit_was_sent() {
    let (mut host, solicit) = Host::soliciting();
    let began = host.now;
    host.assert_ignored(&Answer::reply(&solicit).usual(), Ignored::Unexpected);
    host.now = host.now + Duration::from_millis(500);
    let actions = host.hear(&Answer::reply(&solicit).usual().rapid());
    let [Action::Granted(lease)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(lease.obtained, began);
}

#[test]
fn a_late_rapid_commit_does_not_make_a_lease_longer() {
    let (mut host, solicit) = Host::soliciting();
    host.now = host.now + seconds(3600);
    host.assert_ignored(&Answer::reply(&solicit).usual().rapid(), Ignored::Over);
    let rapid: Vec<bool> = (0..6).map(|_| host.next_sent().option(RAPID_COMMIT).is_some()).collect();
    assert_eq!(rapid, [true, true, true, false, false, false]);
}

#[test]
fn an_offer_without_an_address_is_passed_over() {
    let refused = Ignored::Refused(NO_ADDRS_AVAIL);
    let (mut host, solicit) = Host::soliciting();
    let empty = Answer::advertise(&solicit);
    host.assert_ignored(&empty, Ignored::NoAddress);
    host.assert_ignored(&empty.clone().refusing(NO_ADDRS_AVAIL, "full\u{1b}[2J up"), refused);
    assert_eq!(complaint(&mut host).as_deref(), Some("full[2J up"));
    host.assert_ignored(&empty.clone().ia(0, 0, &[(STATUS, status_code(NO_ADDRS_AVAIL, ""))]), refused);
    assert_eq!(complaint(&mut host).as_deref(), Some("NoAddrsAvail"));
    host.assert_ignored(
        &empty.clone().refusing(UNSPEC_FAIL, &"x".repeat(9999)),
        Ignored::Refused(UNSPEC_FAIL),
    );
    assert_eq!(complaint(&mut host).map(|text| text.len()), Some(255));
    let actions = host.hear(&empty.with(SERVER_ID, OTHER_SERVER).usual());
    assert_eq!(only_sent(&actions, host.now).kind, REQUEST);
}

#[test]
fn an_ia_that_contradicts_itself_or_is_no_hosts_is_passed_over() {
    let (mut host, solicit) = Host::soliciting();
    let given = |text: &str| vec![(IA_ADDR, ia_addr(text.parse().expect("an address"), 10, 20))];
    let offer = |t1, t2, inner: &[(u16, Vec<u8>)]| Answer::advertise(&solicit).ia(t1, t2, inner);
    for address in ["::", "::1", "ff02::1", "fe80::1", "::ffff:192.0.2.1"] {
        host.assert_ignored(&offer(0, 0, &given(address)), Ignored::NoAddress);
    }
    host.assert_ignored(&offer(9, 8, &given("2001:db8::1")), Ignored::NoAddress);
    host.assert_ignored(&Answer::advertise(&solicit).giving(ADDRESS, 21, 20), Ignored::NoAddress);
    host.assert_ignored(&Answer::advertise(&solicit).giving(ADDRESS, 0, 0), Ignored::NoAddress);
    let refused = [&ia_addr(ADDRESS, 10, 20)[..], &[0, 13, 0, 2, 0, 1]].concat();
    host.assert_ignored(&offer(0, 0, &[(IA_ADDR, refused)]), Ignored::NoAddress);
    let other_ia = [&[9; 12][..], &[0, 5, 0, 24], &ia_addr(ADDRESS, 10, 20)].concat();
    host.assert_ignored(&Answer::advertise(&solicit).with(IA_NA, other_ia), Ignored::NoAddress);
    assert_eq!(sent(&host.hear(&offer(9, 0, &given("2001:db8::1"))), host.now).len(), 1);
}

#[test]
fn a_request_is_repeated_ten_times_and_then_others_are_asked() {
    let (mut host, request) = Host::requesting();
    let mut last = request.at;
    for (sent, expected) in [1, 2, 4, 8, 16, 30, 30, 30, 30].into_iter().enumerate() {
        let again = host.next_sent();
        assert_eq!((again.kind, again.xid), (REQUEST, request.xid), "{sent}");
        let waited = host.since(last).as_secs_f64() / f64::from(expected);
        assert!((0.75..1.4).contains(&waited), "{waited} of {expected}");
        let elapsed = Duration::from_millis(u64::from(again.elapsed()) * 10);
        assert!(host.since(request.at).abs_diff(elapsed) < Duration::from_millis(10));
        last = again.at;
    }
    let solicit = host.next_sent();
    assert_eq!((solicit.kind, solicit.address()), (SOLICIT, None));
    host.assert_ignored(&Answer::advertise(&solicit).usual(), Ignored::Kept);
    let other = Answer::advertise(&solicit).with(SERVER_ID, OTHER_SERVER).giving(OTHER_ADDRESS, 10, 20);
    let actions = host.hear(&other);
    assert_eq!(only_sent(&actions, host.now).address(), Some(OTHER_ADDRESS));
}

#[test]
fn the_offer_of_a_server_that_was_silent_is_taken_if_there_is_no_other() {
    let (mut host, _) = Host::requesting();
    let solicit = host.next_of(SOLICIT);
    host.assert_ignored(&Answer::advertise(&solicit).usual(), Ignored::Kept);
    assert_eq!(host.next_sent().kind, REQUEST);
    assert!((seconds(1)..seconds(2)).contains(&host.since(solicit.at)));
}

#[test]
fn a_server_that_refuses_what_it_offered_is_asked_less_and_less() {
    let (mut host, mut solicit) = Host::soliciting();
    let mut pauses = Vec::new();
    for _ in 0..14 {
        // From the second time on the offer is kept for a moment.
        let at_once = sent(&host.hear(&Answer::advertise(&solicit).usual()), host.now).pop();
        let request = at_once.unwrap_or_else(|| host.next_of(REQUEST));
        let actions = host.hear(&Answer::reply(&request).refusing(NOT_ON_LINK, "go away"));
        let [Action::Searching { message, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(message.as_deref(), Some("go away"));
        let began = host.now;
        solicit = host.next_of(SOLICIT);
        pauses.push(host.since(began).as_secs());
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
}

#[test]
fn a_search_is_slower_and_slower_up_to_an_hour() {
    let (mut host, solicit) = Host::soliciting();
    let mut last = solicit.at;
    for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600] {
        let actions = host.wait();
        let waited = host.since(last).as_secs_f64() / f64::from(expected);
        assert!((0.7..1.4).contains(&waited), "{waited} of {expected}");
        assert!(matches!(actions[..], [Action::Send(_), Action::Searching { advertises: 0, .. }]));
        last = host.now;
    }
}

#[test]
fn the_longest_pause_of_a_search_is_what_a_server_says() {
    let (mut host, solicit) = Host::soliciting();
    let refusal = Answer::advertise(&solicit).refusing(NO_ADDRS_AVAIL, "");
    host.hear(&refusal.clone().with(SOL_MAX_RT, 60_u32.to_be_bytes()));
    host.hear(&refusal.with(SOL_MAX_RT, 30_u32.to_be_bytes()));
    let times: Vec<_> = (0..12).map(|_| host.next_sent().at).collect();
    let longest = times.windows(2).map(|two| two[1].saturating_duration_since(two[0])).max();
    assert!((seconds(54)..seconds(66)).contains(&longest.expect("there are some")), "{longest:?}");
}

#[test]
fn a_duplicate_is_declined_and_the_next_search_is_later_each_time() {
    let (mut host, mut solicit) = Host::soliciting();
    let mut pauses = Vec::new();
    for _ in 0..4 {
        host.hear(&Answer::reply(&solicit).usual().rapid());
        assert_eq!(host.step(Event::Duplicate(OTHER_ADDRESS)), []);
        let actions = host.step(Event::Duplicate(ADDRESS));
        assert!(
            matches!(actions[..], [Action::Lost(_, LostReason::Conflict), Action::Send(_)]),
            "{actions:?}"
        );
        let decline = sent(&actions, host.now).pop().expect("a message");
        assert_eq!((decline.kind, decline.address()), (DECLINE, Some(ADDRESS)));
        assert_eq!((decline.option(SERVER_ID), host.client.lease()), (Some(&SERVER[..]), None));
        assert_eq!(host.hear(&Answer::reply(&decline)), []);
        let began = host.now;
        solicit = host.next_sent();
        assert_eq!((solicit.kind, solicit.address()), (SOLICIT, None));
        pauses.push(host.since(began).as_secs());
    }
    assert_eq!(pauses, [0, 1, 2, 4]);
}

#[test]
fn a_decline_is_said_four_times() {
    let mut host = Host::bound();
    host.step(Event::Duplicate(ADDRESS));
    let kinds: Vec<u8> = (0..4).map(|_| host.next_sent().kind).collect();
    assert_eq!(kinds, [DECLINE, DECLINE, DECLINE, SOLICIT]);
}
