//! A host among routers, in virtual time.

mod faults;

use std::{net::Ipv6Addr, time::Duration};

use landfall_api::{MacAddr, Origin};
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    configuration::Configuration,
    host::{Action, Event, Found, Host, Presence},
    router::{Advertisement, Malformed, Preference, Prefix, solicitation},
    slaac::{self, Told},
};
use crate::{clock::Instant, dhcp::Context, dhcp6::Identity};

const MAC: MacAddr = MacAddr([0x02, 0x5e, 0x10, 0, 0, 1]);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn prefix(net: &str, valid: u64, preferred: u64) -> Prefix {
    Prefix {
        net: net.parse().expect("a network"),
        on_link: true,
        autonomous: true,
        valid: Some(seconds(valid)),
        preferred: Some(seconds(preferred)),
    }
}

fn advertisement(prefixes: Vec<Prefix>) -> Advertisement {
    Advertisement { lifetime: seconds(1800), prefixes, ..Advertisement::default() }
}

/// A host whose kernel finds every address free, unless it is taken.
struct World {
    host: Host,
    now: Instant,
    rng: StdRng,
    taken: Vec<Ipv6Addr>,
    checked: Vec<Ipv6Addr>,
    /// Nobody sees how it checks.
    is_fast: bool,
    done: Vec<Action>,
}

impl World {
    /// On a link, with a link-local address.
    fn new() -> Self {
        let mut world = Self::unchecked();
        world.step(Event::Addresses(vec![Self::link_local()]));
        world
    }

    /// On a link.
    fn unchecked() -> Self {
        let host = Host::new(MAC, Identity::of(MAC, None));
        let rng = StdRng::seed_from_u64(1);
        let (taken, checked, is_fast, done) = (Vec::new(), Vec::new(), false, Vec::new());
        let mut world = Self { host, now: Instant::BOOT, rng, taken, checked, is_fast, done };
        world.step(Event::LinkUp);
        world
    }

    fn last_configuration(&self) -> Configuration {
        let last = self.done.iter().rev().find_map(|action| {
            if let Action::Configure(configuration) = action { Some(configuration.clone()) } else { None }
        });
        last.expect("a configuration")
    }

    fn link_local() -> Found {
        let address = slaac::address("fe80::/64".parse().expect("a network"), MAC);
        Found { address, presence: Presence::Ready }
    }

    fn step(&mut self, event: Event<'_>) {
        let mut context = Context { now: self.now, rng: &mut self.rng };
        let actions = self.host.step(event, &mut context);
        self.done.extend(actions.iter().cloned());
        for action in actions {
            let Action::Configure(configuration) = action else { continue };
            let addresses: Vec<Ipv6Addr> =
                configuration.addresses.iter().map(|address| address.net.addr()).collect();
            let link_local = Self::link_local();
            let with = |checked: &[Ipv6Addr], addresses: &[Ipv6Addr]| {
                let presence = |address: &Ipv6Addr| {
                    if checked.contains(address) { Presence::Ready } else { Presence::Tentative }
                };
                let found =
                    addresses.iter().map(|address| Found { address: *address, presence: presence(address) });
                [link_local].into_iter().chain(found).collect::<Vec<_>>()
            };
            let before = with(&self.checked, &addresses);
            self.checked = addresses.into_iter().filter(|address| !self.taken.contains(address)).collect();
            let after = with(&self.checked, &self.checked);
            if !self.is_fast {
                self.step(Event::Addresses(before));
            }
            self.step(Event::Addresses(after));
            return;
        }
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.host.deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.step(Event::Deadline);
            assert!(self.host.deadline().is_none_or(|next| next > self.now), "the deadline stands still");
        }
        self.now = end;
    }

    fn hear(&mut self, from: Ipv6Addr, said: Advertisement) {
        self.step(Event::Advertised(from, said));
    }

    fn count(&self, is_it: impl Fn(&Action) -> bool) -> usize {
        self.done.iter().filter(|action| is_it(action)).count()
    }

    /// The addresses and routers that were reported last.
    fn in_use(&self) -> (Vec<Ipv6Addr>, Vec<Ipv6Addr>) {
        let reported =
            self.done.iter().rev().find_map(|action| {
                if let Action::InUse(in_use) = action { Some(in_use.clone()) } else { None }
            });
        let in_use = reported.unwrap_or_default();
        (in_use.addresses.iter().map(|address| address.net.addr()).collect(), in_use.routers)
    }
}

fn is_solicitation(action: &Action) -> bool {
    matches!(action, Action::Solicit)
}

#[test]
fn an_advertisement_is_read_as_routers_write_it() {
    // flags M and O, high preference, 1800 s; a prefix, an MTU, a name server, an option nobody knows
    let mut message = vec![134, 0, 0, 0, 64, 0xc8, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([3, 4, 64, 0xc0, 0, 0, 0, 120, 0, 0, 0, 60, 0, 0, 0, 0]);
    message.extend(ip("2001:db8:99::").octets());
    message.extend([5, 1, 0, 0, 0, 0, 5, 0xdc]);
    message.extend([25, 3, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    message.extend(ip("2001:db8:99::53").octets());
    message.extend([99, 1, 0, 0, 0, 0, 0, 0]);
    let read = Advertisement::decode(&message, ROUTER).expect("an advertisement");
    let wanted = Advertisement {
        managed: true,
        other: true,
        preference: Preference::High,
        lifetime: seconds(1800),
        mtu: Some(1500),
        prefixes: vec![prefix("2001:db8:99::/64", 120, 60)],
        dns: vec![(ip("2001:db8:99::53"), None)],
    };
    assert_eq!(read, wanted);
    assert_eq!(Advertisement::decode(&message, ip("2001:db8::1")), Err(Malformed::Source));
    assert_eq!(Advertisement::decode(&message[..15], ROUTER), Err(Malformed::Short));
    assert_eq!(Advertisement::decode(&message[..40], ROUTER), Err(Malformed::Short));
    message[17] = 0;
    assert_eq!(Advertisement::decode(&message, ROUTER), Err(Malformed::Option));
    message[0] = 133;
    assert_eq!(Advertisement::decode(&message, ROUTER), Err(Malformed::Kind));
    assert_eq!(solicitation(MAC), [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x02, 0x5e, 0x10, 0, 0, 1]);
}

#[test]
fn routers_are_asked_until_one_answers_and_ever_more_rarely() {
    let mut world = World::new();
    assert_eq!(world.count(is_solicitation), 1);
    world.advance(seconds(60));
    let in_a_minute = world.count(is_solicitation);
    assert!((4..=5).contains(&in_a_minute), "{in_a_minute}");
    world.advance(Duration::from_hours(24));
    let in_a_day = world.count(is_solicitation);
    assert!(in_a_day < 45, "{in_a_day}");
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    world.advance(seconds(3000));
    assert_eq!(world.count(is_solicitation), in_a_day);
    assert!(world.count(|action| matches!(action, Action::Searching(_))) > 3);
}

#[test]
fn an_address_is_used_once_it_is_checked_and_as_long_as_it_is_announced() {
    let mut world = World::new();
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    let address = ip("2001:db8:99:0:5e:10ff:fe00:1");
    assert_eq!(world.in_use(), (vec![address], vec![ROUTER]));
    world.advance(seconds(1799));
    assert_eq!(world.in_use(), (vec![address], vec![ROUTER]));
    world.advance(seconds(2));
    assert_eq!(world.in_use(), (vec![address], vec![]), "the router is silent for too long");
    world.advance(seconds(5400));
    assert_eq!(world.in_use(), (vec![], vec![]));
}

#[test]
fn what_is_announced_again_is_reported_once() {
    let mut world = World::new();
    for _ in 0..100 {
        world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
        world.advance(seconds(200));
    }
    assert_eq!(world.count(|action| matches!(action, Action::InUse(_))), 1);
}

#[test]
fn nobody_can_end_an_addresss_life_at_once() {
    let mut world = World::new();
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 86400, 3600)]));
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 0, 0)]));
    world.advance(seconds(7000));
    assert_eq!(world.in_use().0.len(), 1);
    world.advance(seconds(300));
    assert_eq!(world.in_use().0.len(), 0);
}

#[test]
fn the_better_router_comes_first_and_a_thing_that_is_none_is_not_asked() {
    let mut world = World::new();
    let prefixes = vec![prefix("2001:db8:99::/64", 7200, 3600)];
    world.hear(OTHER, Advertisement { lifetime: Duration::ZERO, ..advertisement(prefixes.clone()) });
    assert!(world.in_use().1.is_empty());
    world.advance(seconds(60));
    assert!(world.count(is_solicitation) > 1, "the search for a router goes on");
    world.hear(ROUTER, advertisement(prefixes.clone()));
    world.hear(OTHER, Advertisement { preference: Preference::High, ..advertisement(prefixes.clone()) });
    assert_eq!(world.in_use().1, [OTHER, ROUTER]);
    world.hear(OTHER, Advertisement { lifetime: Duration::ZERO, ..advertisement(prefixes) });
    assert_eq!(world.in_use().1, [ROUTER]);
}

#[test]
fn a_dhcpv6_server_is_asked_where_a_router_says_so() {
    let mut world = World::new();
    let is_dhcp = |action: &Action| matches!(action, Action::Dhcp(_));
    world.advance(seconds(100));
    assert_eq!(world.count(is_dhcp), 0);
    world.hear(ROUTER, Advertisement { managed: true, ..advertisement(Vec::new()) });
    world.advance(seconds(1));
    assert!(world.count(is_dhcp) > 0);
    let Some(Action::Dhcp(message)) = world.done.iter().find(|action| is_dhcp(action)) else {
        panic!("none")
    };
    assert_eq!(message[0], 1, "a Solicit");
    world.advance(seconds(60));
    let search =
        world.done.iter().rev().find_map(|action| {
            if let Action::Searching(search) = action { Some(search.clone()) } else { None }
        });
    let cause = search.expect("it says how it goes").cause();
    assert_eq!(cause, "the router sends hosts to a DHCPv6 server, and none answers");
}

#[test]
fn a_link_that_was_down_is_asked_about_again() {
    let mut world = World::new();
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    let before = world.count(is_solicitation);
    world.step(Event::LinkDown);
    world.advance(seconds(100));
    assert_eq!(world.count(is_solicitation), before);
    world.step(Event::LinkUp);
    assert_eq!(world.count(is_solicitation), before + 1);
}

#[test]
fn addresses_that_somebody_took_away_are_set_again() {
    let mut world = World::new();
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    let is_configuration = |action: &Action| matches!(action, Action::Configure(_));
    let before = world.count(is_configuration);
    world.step(Event::Addresses(vec![World::link_local()]));
    assert_eq!(world.count(is_configuration), before + 1);
    assert_eq!(world.in_use().0.len(), 1);
}

#[test]
fn after_the_end_nothing_is_left_and_nothing_begins() {
    let mut world = World::new();
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    world.step(Event::Stop);
    assert_eq!(world.in_use(), (vec![], vec![]));
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:98::/64", 7200, 3600)]));
    world.step(Event::LinkDown);
    world.step(Event::LinkUp);
    world.advance(seconds(1000));
    assert_eq!(world.in_use(), (vec![], vec![]));
    assert_eq!(world.count(is_solicitation), 1);
}

#[test]
fn an_address_has_an_origin() {
    let mut world = World::new();
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    let Some(Action::InUse(in_use)) = world.done.iter().find(|action| matches!(action, Action::InUse(_)))
    else {
        panic!("{:?}", world.done)
    };
    assert_eq!(in_use.addresses[0].origin, Origin::Slaac);
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = Advertisement::decode(&[&[134, 0][..], &message].concat(), ROUTER) {
            for prefix in read.prefixes {
                prop_assert!(prefix.net.trunc() == prefix.net);
            }
        }
    }
}
