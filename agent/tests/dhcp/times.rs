//! How long leases last, and when they are renewed.

use std::time::Duration;

use landfall_agent::dhcp::{Action, Event, Ignored, LeaseTime, Unusable};
use proptest::prelude::*;

use crate::bench::*;

/// T1 and T2 of a granted lease, in seconds.
fn times(change: impl FnOnce(Answer) -> Answer) -> (f64, f64) {
    match Host::bound(change).lease().time {
        LeaseTime::Finite { t1, t2, .. } => (t1.as_secs_f64(), t2.as_secs_f64()),
        LeaseTime::Infinite => (f64::INFINITY, f64::INFINITY),
    }
}

#[test]
fn c_14_t1_and_t2_are_the_servers_where_they_make_sense() {
    let default = (1800.0, 3150.0);
    let cases = [
        ("neither", None, None, default),
        ("both", Some(600), Some(1200), (600.0, 1200.0)),
        ("only T1", Some(600), None, (600.0, 3150.0)),
        ("only T2", None, Some(3000), (1800.0, 3000.0)),
        ("zeros", Some(0), Some(0), default),
        ("T1 zero", Some(0), Some(3000), (1800.0, 3000.0)),
        ("T1 after T2", Some(3000), Some(1200), default),
        ("T1 is T2", Some(1200), Some(1200), default),
        ("T2 is the lease", Some(600), Some(3600), default),
        ("T2 after the lease", Some(600), Some(7200), default),
        ("only T1, after the default T2", Some(3200), None, default),
        ("only T2, before the default T1", None, Some(900), default),
        ("for ever", Some(u32::MAX), Some(u32::MAX), default),
    ];
    for (name, t1, t2, expected) in cases {
        let given = times(|ack| {
            let ack = t1.into_iter().fold(ack, |ack, t1| ack.seconds(58, t1));
            t2.into_iter().fold(ack, |ack, t2| ack.seconds(59, t2))
        });
        assert!((0.95 * expected.0..=expected.0).contains(&given.0), "{name}: T1 {}", given.0);
        assert!((given.1 - expected.1).abs() < 1e-6, "{name}: T2 {}", given.1);
    }
}

#[test]
fn c_14_a_t1_or_t2_of_another_length_is_none() {
    let (t1, t2) = times(|ack| ack.with(58, [0, 1]).with(59, [0, 0, 0, 1, 0]));
    assert!((1710.0..=1800.0).contains(&t1) && (t2 - 3150.0).abs() < 1e-6, "{t1} {t2}");
}

#[test]
fn t1_is_spread_so_that_clones_do_not_renew_in_step() {
    let renewal = |seed| {
        let mut host = Host::new(seed);
        let discover = only_sent(&host.step(Event::LinkUp));
        let request = only_sent(&host.hear(&Answer::offer(&discover)));
        host.hear(&Answer::ack(&request));
        host.lease().renewal().expect("T1").since_boot().as_secs()
    };
    let distinct: std::collections::HashSet<_> = (0..200).map(renewal).collect();
    assert!(distinct.len() > 60, "{} different seconds for 200 clients", distinct.len());
}

proptest! {
    #[test]
    fn c_14_t1_comes_before_t2_before_the_end(
        lease in 6..u32::MAX,
        t1 in proptest::option::of(any::<u32>()),
        t2 in proptest::option::of(any::<u32>()),
        small in any::<bool>(),
    ) {
        let shrink = |t: u32| if small { t % lease } else { t };
        let (t1, t2) = (t1.map(shrink), t2.map(shrink));
        let host = Host::bound(|ack| {
            let ack = t1.into_iter().fold(ack.seconds(51, lease), |ack, t1| ack.seconds(58, t1));
            t2.into_iter().fold(ack, |ack, t2| ack.seconds(59, t2))
        });
        let lease = host.lease();
        let (Some(t1), Some(t2), Some(end)) = (lease.renewal(), lease.rebinding(), lease.expiry()) else {
            panic!("a finite lease has its times: {lease:?}");
        };
        prop_assert!(t1 < t2 && t2 < end, "{:?}", lease.time);
        prop_assert!(lease.requested + Duration::from_secs(5) <= t1);
    }
}

#[test]
fn c_15_a_reply_without_a_lease_time_is_ignored() {
    let (mut host, discover) = Host::selecting();
    let missing = Ignored::Unusable(Unusable::Time);
    for bad in [Answer::offer(&discover).without(51), Answer::offer(&discover).seconds(51, 0)] {
        assert_eq!(host.hear(&bad), [Action::Ignore(missing)]);
    }
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    host.ignores(&Answer::ack(&request).without(51), missing);
    host.ignores(&Answer::ack(&request).seconds(51, 0), missing);
    host.ignores(&Answer::ack(&request).with(51, [0, 0, 14]), missing);
}

#[test]
fn c_15_a_lease_for_ever_has_no_timers() {
    let mut host = Host::bound(|ack| ack.seconds(51, u32::MAX).seconds(58, 10).seconds(59, 20));
    assert_eq!((host.lease().time, host.client.deadline()), (LeaseTime::Infinite, None));
    host.pass(Duration::from_secs(u64::from(u32::MAX) * 10));
    assert_eq!(host.step(Event::Deadline), []);
}

#[test]
fn c_15_a_lease_of_136_years_does_not_overflow() {
    for time in [1 << 31, (1 << 31) + 1, u32::MAX - 1] {
        let host = Host::bound(|ack| ack.seconds(51, time));
        assert_eq!(host.lease().expiry(), Some(host.now + seconds(time.into())));
        assert!(host.client.deadline() > Some(host.now + seconds(1 << 29)));
    }
}

/// Packets in a minute from a client whose server gives leases of so many seconds, and always answers.
fn packets_in_a_minute(lease: u32, t1: Option<u32>) -> usize {
    let (mut host, mut message) = Host::selecting();
    let (begin, mut count) = (host.now, 1);
    while host.now.saturating_duration_since(begin) < seconds(60) {
        let answer = if message.kind() == DISCOVER { Answer::offer(&message) } else { Answer::ack(&message) };
        let answer = t1.into_iter().fold(answer.seconds(51, lease), |answer, t1| answer.seconds(58, t1));
        let mut further = sent(&host.hear(&answer));
        while further.is_empty() {
            further = sent(&host.wait());
        }
        count += further.len();
        message = further.remove(0);
    }
    count
}

#[test]
fn f_17_short_leases_make_no_storm() {
    for lease in [1, 2, 4, 5, 6, 7, 10] {
        let count = packets_in_a_minute(lease, Some(1));
        assert!(count <= 26, "{count} packets in a minute for leases of {lease} s");
    }
    assert!(packets_in_a_minute(3600, Some(1)) <= 14, "nor does a short T1");
}

#[test]
fn a_lease_that_is_over_when_it_comes_is_none() {
    let (mut host, request) = Host::requesting();
    host.pass(Duration::from_millis(2500));
    host.ignores(&Answer::ack(&request).seconds(51, 2), Ignored::Unusable(Unusable::Over));
}
