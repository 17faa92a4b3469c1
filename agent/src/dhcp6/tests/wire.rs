//! What anybody may send.

use landfall_api::MacAddr;
use proptest::prelude::*;

use super::bench::{ADDRESS, Answer, CLIENT_ID, DUID, Host, IAID, MAC, OTHER_SERVER, SERVER_ID, Sent, sent};
use crate::dhcp6::{Action, Event, Identity, Ignored, Lease};

const RECONFIGURE: u8 = 10;
const LONGEST: usize = 65_527;

#[test]
fn the_identity_is_that_of_the_mac_address() {
    let identity = Identity::of(MAC, None);
    assert_eq!((&identity.duid[..], identity.iaid), (&DUID[..], u32::from_be_bytes(IAID)));
    let other = Identity::of(MacAddr([1, 2, 3, 4, 5, 6]), None);
    assert_eq!(other.iaid, 0x0304_0506);
}

#[test]
fn a_message_that_is_not_for_us_is_dropped() {
    let (mut host, solicit) = Host::soliciting();
    let offer = Answer::advertise(&solicit).usual();
    let cases = [
        (offer.clone().without(CLIENT_ID), Ignored::OtherClient),
        (offer.clone().with(CLIENT_ID, [&DUID[..], &[0]].concat()), Ignored::OtherClient),
        (offer.clone().without(SERVER_ID), Ignored::NoServer),
        (offer.clone().with(SERVER_ID, Vec::new()), Ignored::NoServer),
        (offer.clone().with(SERVER_ID, [1; 131]), Ignored::NoServer),
        (Answer { kind: RECONFIGURE, ..offer.clone() }, Ignored::OtherKind),
        (Answer { kind: solicit.kind, ..offer.clone() }, Ignored::OtherKind),
        (
            Answer { xid: [solicit.xid[0] ^ 1, solicit.xid[1], solicit.xid[2]], ..offer.clone() },
            Ignored::OtherTransaction,
        ),
    ];
    for (answer, why) in cases {
        host.assert_ignored(&answer, why);
    }
    assert_eq!(host.step(Event::Received(&[7, 0, 0])), [Action::Ignore(Ignored::Short)]);
}

#[test]
fn a_reply_of_another_server_than_the_one_that_was_asked_is_dropped() {
    let (mut host, request) = Host::requesting();
    host.assert_ignored(&Answer::reply(&request).usual().with(SERVER_ID, OTHER_SERVER), Ignored::OtherServer);
    host.assert_ignored(&Answer::advertise(&request).usual(), Ignored::Unexpected);
}

#[test]
fn one_bad_option_does_not_take_the_message_with_it() {
    let (mut host, solicit) = Host::soliciting();
    let mut offer = Answer::advertise(&solicit).usual();
    // A status, a vendor class, vendor options, authentication, name servers and times that are too short.
    offer.options.splice(0..0, [13, 16, 17, 11, 23, 24, 82, 3, 5].map(|code| (code, vec![1])));
    let bytes = [&offer.bytes()[..], &[0, 23, 0, 99, 1]].concat();
    let actions = host.step(Event::Received(&bytes));
    let request = sent(&actions, host.now).pop().expect("a REQUEST");
    assert_eq!(request.address(), Some(ADDRESS));
}

#[test]
fn options_within_options_within_options_are_not_followed() {
    let (mut host, solicit) = Host::soliciting();
    // An IA_TA in an IA_TA, and so on; vendor options in the same way; and in the IA that is ours.
    for code in [4, 17, 3] {
        let mut nested = Vec::new();
        let mut length = LONGEST - 200;
        while length > 20 {
            length -= if code == 3 { 16 } else { 8 };
            nested.extend([0, code]);
            nested.extend(u16::try_from(length).expect("it began as one").to_be_bytes());
            nested.extend(IAID);
            nested.extend(&[0; 8][..if code == 3 { 8 } else { 0 }]);
        }
        let mut bytes = Answer::advertise(&solicit).bytes();
        bytes.extend(&nested);
        bytes.resize(LONGEST, 0);
        assert_eq!(host.step(Event::Received(&bytes)), [Action::Ignore(Ignored::NoAddress)]);
    }
}

fn options() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let code = prop_oneof![1..=26_u16, Just(32), 82..=83_u16, any::<u16>()];
    prop::collection::vec((code, prop::collection::vec(any::<u8>(), 0..60)), 0..8)
}

/// Hosts that wait for something, and what they have just sent.
fn hosts() -> [(Host, Sent); 3] {
    let mut bound = Host::bound();
    let renew = bound.next_sent();
    [Host::soliciting(), Host::requesting(), (bound, renew)]
}

proptest! {
    #[test]
    fn whatever_comes_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (mut host, _) in hosts() {
            prop_assert!(matches!(host.step(Event::Received(&bytes))[..], [Action::Ignore(_)]));
        }
    }

    #[test]
    fn whatever_a_server_says_is_survived(kind in 2..=7_u8, options in options(), cut in 0..9_usize) {
        for (mut host, asked) in hosts() {
            let mut answer = Answer::reply(&asked);
            answer.kind = kind;
            answer.options.extend(options.clone());
            let bytes = answer.bytes();
            host.step(Event::Received(&bytes[..bytes.len().saturating_sub(cut)]));
            for _ in 0..20 {
                let Some(deadline) = host.client.deadline() else { break };
                prop_assert!(host.client.lease().and_then(Lease::expiry).is_none_or(|end| deadline <= end));
                host.wait();
            }
        }
    }
}
