//! What goes wrong on a link, or is made to.

use super::*;

#[test]
fn hostile_routers_cost_little_and_lock_nobody_out() {
    let mut told = Told::default();
    for n in 0..=u16::MAX {
        let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n);
        let net = format!("2001:db8:{n:x}::/64");
        let dns = vec![(from, Some(seconds(99)))];
        let lifetime = if n % 2 == 0 { Duration::ZERO } else { seconds(1) };
        let said = Advertisement { lifetime, dns, ..advertisement(vec![prefix(&net, 99, 9)]) };
        told.learn(from, &said, Instant::BOOT);
    }
    let counts = [told.routers.len(), told.prefixes.len(), told.on_link.len(), told.dns.len()];
    assert!(counts.iter().all(|count| *count <= 16), "{counts:?}");
    told.learn(ROUTER, &advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]), Instant::BOOT);
    assert!(told.defaults(Instant::BOOT).iter().any(|router| router.address == ROUTER));
    assert!(told.addresses(MAC).iter().any(|(net, _)| net.addr() == ip("2001:db8:99:0:5e:10ff:fe00:1")));
}

#[test]
fn an_advertisement_from_ourselves_is_somebody_elses() {
    let mut world = World::new();
    let own = World::link_local().address;
    world.hear(own, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    assert_eq!(world.in_use(), (vec![], vec![]));
    assert_eq!(world.count(|action| matches!(action, Action::Ignore(_))), 1);
}

#[test]
fn a_flag_that_is_not_set_says_nothing() {
    let mut world = World::new();
    let both = prefix("2001:db8:99::/64", 7200, 3600);
    world.hear(ROUTER, advertisement(vec![both]));
    // Addresses come from a server from now on: that of the prefix ends when its time is over
    world.hear(
        ROUTER,
        advertisement(vec![Prefix { autonomous: false, ..prefix("2001:db8:99::/64", 86400, 86400) }]),
    );
    // And another router, which does not say what is on the link, takes nothing away
    world.hear(OTHER, advertisement(vec![Prefix { on_link: false, autonomous: false, ..both }]));
    assert_eq!(world.last_configuration().on_link.len(), 1);
    assert_eq!(world.in_use().0.len(), 1);
    world.advance(seconds(7201));
    assert_eq!(world.in_use().0.len(), 0);
    assert_eq!(world.last_configuration().on_link.len(), 1);
}

#[test]
fn what_flaps_is_reported_and_configured_now_and_then() {
    let mut world = World::new();
    for round in 0..10_000 {
        let lifetime = seconds(if round % 2 == 0 { 1800 } else { 0 });
        world.hear(
            ROUTER,
            Advertisement { lifetime, ..advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]) },
        );
        world.advance(Duration::from_millis(1));
    }
    // Ten at once, and then one in five seconds
    assert!(world.count(|action| matches!(action, Action::InUse(_))) <= 14);
    assert!(world.count(|action| matches!(action, Action::Configure(_))) <= 14);
    // And what was said last is what holds
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    world.advance(seconds(20));
    assert_eq!(world.in_use().1, [ROUTER]);
    assert_eq!(world.last_configuration().routers, [ROUTER]);
}

#[test]
fn a_duplicate_that_nobody_saw_being_checked_is_one_and_is_tried_again_later() {
    let mut world = World::new();
    world.is_fast = true;
    let address = ip("2001:db8:99:0:5e:10ff:fe00:1");
    world.taken.push(address);
    let infinite = Prefix { valid: None, preferred: None, ..prefix("2001:db8:99::/64", 0, 0) };
    world.hear(ROUTER, Advertisement { lifetime: seconds(9000), ..advertisement(vec![infinite]) });
    assert_eq!(world.count(|action| matches!(action, Action::Warn(_))), 1);
    world.advance(seconds(500));
    assert!(world.in_use().0.is_empty());
    world.taken.clear();
    world.advance(seconds(200));
    assert_eq!(world.in_use().0, [address]);
}

#[test]
fn somebody_elses_link_local_address_is_said() {
    let mut world = World::unchecked();
    let address = World::link_local().address;
    world.step(Event::Addresses(vec![Found { address, presence: Presence::Duplicate }]));
    world.step(Event::Addresses(vec![Found { address, presence: Presence::Duplicate }]));
    let said = world
        .done
        .iter()
        .filter_map(|action| if let Action::Warn(said) = action { Some(said) } else { None });
    let said: Vec<&String> = said.collect();
    let [said] = said[..] else { panic!("{said:?}") };
    assert!(said.contains("there is no IPv6") && said.contains("02:5e:10:00:00:01"), "{said}");
    world.advance(seconds(5));
    let Some(Action::Searching(search)) = world.done.last() else { panic!("{:?}", world.done) };
    assert!(search.cause().contains("link-local"), "{search:?}");
}

#[test]
fn what_the_kernel_refuses_is_tried_again() {
    let mut world = World::new();
    world.hear(ROUTER, advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600)]));
    let is_configuration = |action: &Action| matches!(action, Action::Configure(_));
    let before = world.count(is_configuration);
    world.step(Event::Refused);
    assert_eq!(world.in_use().0.len(), 1, "what is there says the kernel");
    assert_eq!(world.count(is_configuration), before);
    world.advance(seconds(6));
    assert_eq!(world.count(is_configuration), before + 1);
    assert_eq!(world.in_use().0.len(), 1);
}

#[test]
fn a_link_that_lost_everything_gets_it_again_when_it_is_up() {
    let mut world = World::new();
    let infinite = Prefix { valid: None, preferred: None, ..prefix("2001:db8:99::/64", 0, 0) };
    world.hear(ROUTER, Advertisement { lifetime: seconds(9000), ..advertisement(vec![infinite]) });
    let is_configuration = |action: &Action| matches!(action, Action::Configure(_));
    // The kernel says that the addresses are gone before it says that the link is down, or after
    for is_first in [true, false] {
        let before = world.count(is_configuration);
        if is_first {
            world.step(Event::LinkDown);
        }
        world.checked.clear();
        world.step(Event::Addresses(Vec::new()));
        world.step(Event::LinkDown);
        world.step(Event::LinkUp);
        world.step(Event::Addresses(vec![World::link_local()]));
        assert!(world.count(is_configuration) > before);
        assert_eq!(world.in_use(), (vec![ip("2001:db8:99:0:5e:10ff:fe00:1")], vec![ROUTER]));
    }
}

#[test]
fn somebody_elses_address_is_not_used() {
    let mut world = World::new();
    world.taken.push(ip("2001:db8:99:0:5e:10ff:fe00:1"));
    let said =
        advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600), prefix("2001:db8:98::/64", 7200, 3600)]);
    world.hear(ROUTER, said.clone());
    world.hear(ROUTER, said);
    assert_eq!(world.in_use().0, [ip("2001:db8:98:0:5e:10ff:fe00:1")]);
    assert_eq!(world.count(|action| matches!(action, Action::Warn(_))), 1);
}

#[test]
fn what_reaches_inside_is_neither_used_nor_taken_for_somebody_elses() {
    let mut world = World::new();
    let said =
        advertisement(vec![prefix("2001:db8:99::/64", 7200, 3600), prefix("fd00:30::/64", 7200, 3600)]);
    let mut context = Context { now: world.now, rng: &mut world.rng };
    let actions = world.host.step(Event::Advertised(ROUTER, said.clone()), &mut context);
    assert!(actions.iter().any(|action| matches!(action, Action::Configure(_))), "{actions:?}");
    let inside = ["fd00:30::/64", "fd00:30::5e:10ff:fe00:1/64"].map(|net| net.parse().expect("a network"));
    world.step(Event::LeftOut(inside.to_vec()));
    let ours = Found { address: ip("2001:db8:99:0:5e:10ff:fe00:1"), presence: Presence::Ready };
    world.step(Event::Addresses(vec![World::link_local(), ours]));
    assert_eq!(world.count(|action| matches!(action, Action::Warn(_))), 0);
    assert_eq!(world.in_use().0, [ours.address]);
    world.checked.push(ours.address);
    world.advance(seconds(1));
    world.hear(ROUTER, said);
    let configuration = world.last_configuration();
    assert_eq!((configuration.addresses.len(), configuration.on_link.len()), (1, 1));
}
