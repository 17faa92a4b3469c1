//! Thousands of virtual hours on a bad network with a bad server.

use super::{
    bench::{Host, seconds},
    watch::Watch,
    world::World,
};
use crate::dhcp6::{Action, Event};

const WORLDS: u64 = 100;
const STEPS: usize = 1000;

/// The longest pause of a search is an hour, and a tenth; then a lease from before may end first.
const PATIENCE: u32 = 2 * 3600;
const DAY: u32 = 86_400;

fn hours(host: &Host) -> u64 {
    host.since(Host::new(0).now).as_secs() / 3600
}

/// Lives through one world; at its end all is well again: a lease is found, and is not lost any more.
fn live(seed: u64) -> (u64, Watch) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.advance();
    }
    world.calm_down();
    let calm = world.host.now;
    while world.host.since(calm) < seconds(PATIENCE) {
        world.advance();
    }
    let losses = world.watch.losses;
    assert!(world.watch.held.is_some(), "world {seed}: no lease although all is well");
    while world.host.since(calm) < seconds(DAY) {
        world.advance();
    }
    assert_eq!(world.watch.losses, losses, "world {seed}: a lease was lost although all is well");
    world.happen(Event::Stop);
    assert_eq!(world.watch.held, None);
    (hours(&world.host), world.watch)
}

#[test]
fn the_invariants_hold_in_every_world() {
    let lives: Vec<(u64, Watch)> = (0..WORLDS).map(live).collect();
    let sum = |of: fn(&Watch) -> u32| lives.iter().map(|(_, watch)| of(watch)).sum::<u32>();
    let hours: u64 = lives.iter().map(|(hours, _)| hours).sum();
    assert!(hours > 3000, "only {hours} virtual hours");
    assert!(sum(|watch| watch.grants) > 1000, "only {} leases", sum(|watch| watch.grants));
    assert!(sum(|watch| watch.losses) > 1000, "only {} losses", sum(|watch| watch.losses));
    assert!(sum(|watch| watch.extensions) > 1000, "only {} extensions", sum(|watch| watch.extensions));
}

#[test]
fn a_world_is_the_same_again_from_its_seed() {
    for seed in 0..3 {
        let summary =
            |(hours, watch): (u64, Watch)| (hours, watch.grants, watch.losses, watch.busiest_minute);
        assert_eq!(summary(live(seed)), summary(live(seed)));
    }
}

#[test]
fn a_herd_is_not_in_step() {
    let first = |seed| {
        let mut host = Host::new(seed);
        host.step(Event::LinkUp);
        host.step(Event::Wanted(crate::dhcp6::Want::Address));
        let actions = host.wait();
        assert!(matches!(actions[..], [Action::Send(_)]));
        host.now
    };
    assert_ne!(first(1), first(2));
}
