//! Several containers behind one address: `-p PORT,to=CONTAINER`, and replicas.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use landfall_tests::{
    client::{echo, fetch, is_closed, seen_in},
    docker::{IDLE, Target, WEB},
    exposed::hostname_in,
    lan::{CLIENT, Lan},
    netns::Netns,
    run::{output, run, wait_until},
};

/// A server of pages on 80 and 2525, and of datagrams on 53.
fn web() -> Target {
    Target::run(&[WEB, "--tcp", "2525", "--udp", "53"])
}

/// Who answers, and has seen the client itself.
fn who(client: &Netns, to: impl Into<SocketAddr>) -> String {
    let page = fetch(client, to).expect("an answer");
    assert_eq!(seen_in(&page), CLIENT);
    hostname_in(&page)
}

/// Who answers how many of 60 connections.
fn answers(client: &Netns, address: Ipv4Addr) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..60 {
        *answers.entry(who(client, (address, 80))).or_default() += 1;
    }
    answers
}

#[test]
fn each_port_leads_to_the_container_that_it_names() {
    let mut lan = Lan::new();
    let (interface, client) = (lan.host_port(), lan.client());
    let (site, mail) = (web(), web());
    let to_mail = format!("25:2525,to={}", mail.name);
    let udp_to_mail = format!("53/udp,to={}", mail.name);
    let address = site.expose(&interface, &["-p", "80", "-p", &to_mail, "-p", &udp_to_mail]);
    // Both see their clients
    assert_eq!(who(&client, (address, 80)), site.hostname());
    assert_eq!(who(&client, (address, 25)), mail.hostname());
    let said = echo(&client, (address, 53), "who am i").expect("an answer");
    assert!(said.starts_with(&format!("you are {CLIENT} ")), "{said}");
    // And the same again changes nothing
    let id = site.network_container_id();
    site.up(&interface, &["-p", "80", "-p", &to_mail, "-p", &udp_to_mail]).done();
    assert_eq!(site.network_container_id(), id);
    assert_eq!(who(&client, (address, 25)), mail.hostname());
    // And without the other one nothing of it is left there
    site.up(&interface, &["-p", "80"]).done();
    assert_eq!(mail.traces(), [""; 0]);
    assert!(is_closed(&client, (address, 25)));
    assert_eq!(who(&client, (address, 80)), site.hostname());
    // And `down` leaves nothing in either
    site.up(&interface, &["-p", "80", "-p", &to_mail]).done();
    site.down();
    assert_eq!((site.traces(), mail.traces()), (vec![], vec![]));
}

#[test]
fn connections_are_spread_over_replicas_and_a_dead_one_has_none() {
    let mut lan = Lan::new();
    let (interface, client) = (lan.host_port(), lan.client());
    let targets = [web(), web(), web()];
    targets.iter().for_each(Target::wait_until_it_serves);
    let [first, second, third] = &targets;
    let options = ["-p", "80", "--replica", &second.name, "--replica", &third.name];
    let address = first.expose(&interface, &options);
    let all = answers(&client, address);
    assert!(all.len() == 3 && all.values().all(|count| *count >= 3), "{all:?}");
    assert_eq!(first.state(), "leased");
    // When one dies
    let dead = second.hostname();
    run(&["docker", "kill", &second.name]);
    wait_until("it is left out", || first.log().contains(r#""is_there":false"#));
    wait_until("nobody meets it", || {
        let mut pages = (0..60).map(|_| fetch(&client, (address, 80)));
        pages.all(|page| page.is_ok_and(|page| !page.contains(&dead)))
    });
    assert_eq!(first.state(), "degraded");
    // Even the one that the address is named after
    run(&["docker", "kill", &first.name]);
    wait_until("one is left", || {
        let mut answers = (0..20).map(|_| fetch(&client, (address, 80)));
        answers.all(|page| page.is_ok_and(|page| page.contains(&third.hostname())))
    });
    assert_eq!(first.state(), "degraded");
    // Then `up` brings back who has started again
    run(&["docker", "start", &first.name, &second.name]);
    first.up(&interface, &options).done();
    assert_eq!(first.state(), "leased");
    for target in [first, second] {
        target.wait_until_it_serves();
    }
    assert_eq!(answers(&client, address).len(), 3);
}

#[test]
fn a_container_may_be_behind_two_addresses() {
    let mut lan = Lan::new();
    let (interface, client) = (lan.host_port(), lan.client());
    let (site, mail) = (web(), web());
    let own = mail.expose(&interface, &["-p", "2525", "-p", "53/udp"]);
    let to_mail = format!("25:2525,to={}", mail.name);
    let udp_to_mail = format!("53/udp,to={}", mail.name);
    let ran = site.up(&interface, &["-p", "80", "-p", &to_mail, "-p", &udp_to_mail]);
    // Nothing tells the answers by UDP from each other
    assert!(ran.stderr.contains("53/udp has another way to the LAN, too"), "{}", ran.stderr);
    let shared = ran.address();
    for to in [(own, 2525), (shared, 25)] {
        assert_eq!(who(&client, to), mail.hostname());
    }
    for address in [own, shared] {
        echo(&client, (address, 53), "hello").expect("an answer");
    }
    // And one goes without the other
    mail.down();
    assert_eq!(who(&client, (shared, 25)), mail.hostname());
    site.down();
    assert_eq!((site.traces(), mail.traces()), (vec![], vec![]));
}

#[test]
fn an_uplink_of_its_own_goes_on_beside_a_wire() {
    let mut lan = Lan::new();
    let (interface, client) = (lan.host_port(), lan.client());
    let (site, mail) = (web(), web());
    let own = mail.expose(&interface, &["--path", "direct", "-p", "2525", "-p", "53/udp"]);
    let answers = || {
        assert_eq!(who(&client, (own, 2525)), mail.hostname());
        echo(&client, (own, 53), "hello").expect("an answer");
    };
    answers();
    let to_mail = format!("25:2525,to={}", mail.name);
    let shared = site.expose(&interface, &["-p", "80", "-p", &to_mail]);
    assert_eq!(who(&client, (shared, 25)), mail.hostname());
    answers();
    site.down();
    answers();
    mail.down();
    assert_eq!((site.traces(), mail.traces()), (vec![], vec![]));
}

#[test]
fn what_cannot_be_is_refused_with_a_remedy() {
    let mut lan = Lan::new();
    let (interface, site, mail) = (lan.host_port(), web(), web());
    let to_mail = format!("25:2525,to={}", mail.name);
    for path in ["bridge", "direct"] {
        let said = site.up(&interface, &["-p", "80", "-p", &to_mail, "--path", path]).failed(1);
        assert!(said.contains("--path wire"), "{said}");
    }
    let itself = site.up(&interface, &["-p", "80", "--replica", &site.name]).failed(2);
    assert!(itself.contains("is the container that is exposed"), "{itself}");
    site.up_in_vain(&interface, &["-p", "25,to=nobody-of-that-name"], 4, &["nobody-of-that-name"]);
    let network = format!("container:{}", site.name);
    let guest = Target::run(&["--network", &network, IDLE]);
    let said = site.up(&interface, &["-p", "80", "--replica", &guest.name]).failed(1);
    assert!(said.contains("it has another container's addresses"), "{said}");
    output(&["docker", "rm", "--force", &guest.name]);
    // And its own name is what it is without
    let to_itself = format!("80,to={}", site.name);
    site.up(&interface, &["-p", &to_itself]).done();
    assert!(site.is_exposed() && mail.traces().is_empty());
}
