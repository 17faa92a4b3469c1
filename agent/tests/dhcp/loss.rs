//! How long a lease takes where packets get lost, or answers are slow.

use std::time::Duration;

use crate::{
    bench::*,
    servers::Honest,
    world::{Weather, World},
};

/// How long each of many clients waits for its first lease, sorted.
fn waits(weather: Weather) -> Vec<Duration> {
    let wait = |seed| {
        let mut world = World::new(seed, weather, settings());
        world.servers = vec![Honest::new(0, 3600)];
        world.servers[0].power_on();
        while world.host.client.lease().is_none() {
            assert!(world.advance() && world.elapsed() < seconds(86400), "seed {seed}");
        }
        world.elapsed()
    };
    let mut waits: Vec<_> = (0..1000).map(wait).collect();
    waits.sort_unstable();
    waits
}

#[test]
fn f_01_loss_costs_seconds_and_never_the_lease() {
    // Where half of all packets get lost each way, eleven DISCOVERs are needed for 19 clients of 20 to hear an offer, and at
    // the intervals of RFC 2131 that is minutes.
    for (loss, limit) in [(0.0, 0.1), (0.1, 3.5), (0.3, 25.0), (0.5, 500.0)] {
        let waits = waits(Weather { loss, ..Weather::CALM });
        let p95 = waits[waits.len() * 95 / 100].as_secs_f64();
        assert!(p95 <= limit, "{p95:.1} s for 19 of 20 with {loss} lost each way");
    }
}

#[test]
fn f_05_a_server_that_takes_three_seconds_needs_no_second_search() {
    let (mut host, discover) = Host::selecting();
    let mut discovers = 1;
    let offered = host.now + seconds(3);
    while host.client.deadline() < Some(offered) {
        assert_eq!(only_sent(&host.wait()).xid(), discover.xid());
        discovers += 1;
    }
    assert!(discovers <= 3, "{discovers} DISCOVERs");
    // Given an offer for each DISCOVER, when one is asked for, then the others are ignored and the ACK is awaited.
    host.now = offered;
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    let acknowledged = host.now + seconds(3);
    assert_eq!(sent(&host.hear(&Answer::offer(&discover))), []);
    while host.client.deadline() < Some(acknowledged) {
        assert_eq!(only_sent(&host.wait()).octets, request.octets);
    }
    host.now = acknowledged;
    host.hear(&Answer::ack(&request));
    assert_eq!(host.lease().requested, offered);
}
