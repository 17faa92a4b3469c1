use super::bench::{ADDRESS, Answer, Host, IA_NA, INFORMATION_REQUEST, SOLICIT, Sent, UNSPEC_FAIL, seconds};
use crate::dhcp6::{Action, Event, Ignored, Information, Want};

const REFRESH_TIME: u16 = 32;
const INF_MAX_RT: u16 = 83;

fn asking() -> (Host, Sent) {
    let mut host = Host::wanting(Want::Information);
    let request = host.next_sent();
    assert_eq!((request.kind, request.option(IA_NA)), (INFORMATION_REQUEST, None));
    (host, request)
}

#[test]
fn what_is_to_be_known_is_asked_for_and_reported() {
    let (mut host, request) = asking();
    assert_eq!(request.option(6), Some(&[0, 23, 0, 24, 0, 82, 0, 83, 0, 32][..]));
    let reply = Answer::reply(&request).with(23, ADDRESS.octets()).with(24, *b"\x03lan\0");
    let information = Information { dns: vec![ADDRESS], search: vec!["lan".to_owned()] };
    assert_eq!(host.hear(&reply), [Action::Information(information)]);
    assert_eq!(host.client.lease(), None);
    host.assert_ignored(&reply, Ignored::Unexpected);
}

#[test]
fn what_is_known_is_asked_for_again_when_the_server_says() {
    let week = 7 * 86_400_u32;
    let times = [(None, 86_400), (Some(0), 600), (Some(601), 601), (Some(week), week)];
    for (told, expected) in times {
        let (mut host, request) = asking();
        let reply = Answer::reply(&request);
        host.hear(&match told {
            Some(told) => reply.with(REFRESH_TIME, u32::to_be_bytes(told)),
            None => reply,
        });
        let began = host.now;
        assert_eq!(host.next_sent().kind, INFORMATION_REQUEST);
        assert_eq!(host.since(began).as_secs(), u64::from(expected));
    }
}

#[test]
fn what_is_known_for_ever_is_asked_for_again_on_another_link() {
    let (mut host, request) = asking();
    host.hear(&Answer::reply(&request).with(REFRESH_TIME, [255; 4]));
    assert_eq!(host.client.deadline(), None);
    host.step(Event::Wanted(Want::Information));
    assert_eq!(host.client.deadline(), None);
    host.step(Event::LinkUp);
    assert_eq!(host.next_sent().kind, INFORMATION_REQUEST);
}

#[test]
fn a_refusal_is_no_information() {
    let (mut host, request) = asking();
    let refusal = Answer::reply(&request).refusing(UNSPEC_FAIL, "");
    host.assert_ignored(&refusal.with(INF_MAX_RT, 60_u32.to_be_bytes()), Ignored::Refused(UNSPEC_FAIL));
    let times: Vec<_> = (0..12).map(|_| host.next_sent().at).collect();
    let longest = times.windows(2).map(|two| two[1].saturating_duration_since(two[0])).max();
    assert!((seconds(54)..seconds(66)).contains(&longest.expect("there are some")), "{longest:?}");
}

#[test]
fn flags_that_change_all_the_time_make_no_storm() {
    let mut host = Host::wanting(Want::Information);
    let began = host.now;
    for _ in 0..50 {
        for (want, kind) in [(Want::Address, SOLICIT), (Want::Information, INFORMATION_REQUEST)] {
            host.step(Event::Wanted(want));
            assert_eq!(host.next_sent().kind, kind);
        }
    }
    assert!(host.since(began) >= seconds(99));
}
