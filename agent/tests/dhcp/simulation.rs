//! Thousands of virtual hours on a bad network with bad servers (Z-03). `LANDFALL_SEED=n` replays one world;
//! `LANDFALL_WORLDS=n` makes more of them.

use std::{env, thread, time::Duration};

use landfall_agent::dhcp::Event;
use nix::time::ClockId;
use rand::{SeedableRng as _, rngs::StdRng};

use crate::{
    bench::{seconds, settings},
    watch::Watch,
    world::{Weather, World, any_settings},
};

const WORLDS: u64 = 300;
const STEPS: usize = 1500;

/// Names the seed if the test fails, wherever that is.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "the one thing to know about a simulation that failed")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("replay with LANDFALL_SEED={}", self.0);
        }
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("LANDFALL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LANDFALL_WORLDS").unwrap_or(WORLDS),
    }
}

/// Lives through one world; at its end all is well again, and a lease must be found.
fn live(seed: u64) -> (Duration, Watch) {
    let _named = Seed(seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(seed, Weather::any(&mut rng), any_settings(&mut rng));
    for _ in 0..STEPS {
        if !world.advance() {
            break;
        }
    }
    world.calm_down();
    // A pause of up to 300 s after refusals, a DISCOVER after up to 70 s, an exchange; a rogue's lease must end first.
    let limit = world.elapsed() + seconds(600);
    while !world.was_hostile && world.host.client.lease().is_none() {
        assert!(world.advance() && world.elapsed() < limit, "no lease although all is well");
    }
    world.happen(&Event::Stop);
    (world.elapsed(), world.watch)
}

#[test]
fn z_03_the_invariants_hold_in_every_world() {
    let (mut hours, mut grants) = (0, 0);
    for seed in seeds() {
        let (elapsed, watch) = live(seed);
        hours += elapsed.as_secs() / 3600;
        grants += watch.grants;
    }
    let spent =
        ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("Linux has that clock").tv_sec().unsigned_abs() + 1;
    let worlds = seeds().end - seeds().start;
    assert!(
        worlds == 1 || hours > 1000 * spent,
        "only {hours} virtual hours in {spent} s of the processor's time"
    );
    assert!(worlds == 1 || grants > WORLDS.try_into().expect("few"), "only {grants} leases");
}

#[test]
fn a_world_is_the_same_again_from_its_seed() {
    let summary = |seed| {
        let (elapsed, watch) = live(seed);
        (elapsed, watch.grants, watch.losses, watch.busiest_minute)
    };
    for seed in 0..10 {
        assert_eq!(summary(seed), summary(seed));
    }
}

#[test]
fn n_10_a_calm_month_of_short_leases_loses_nothing() {
    let mut world = World::new(0, Weather::CALM, settings());
    world.servers = vec![crate::servers::Honest::new(0, 60)];
    world.calm_down();
    while world.elapsed() < seconds(30 * 86400) {
        assert!(world.advance());
    }
    assert_eq!((world.watch.grants, world.watch.losses), (1, 0));
    assert!(world.watch.busiest_minute <= 6, "{} packets in a minute", world.watch.busiest_minute);
}
