//! Several containers behind one address: `-p PORT,to=CONTAINER`, and replicas.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use landfall_tests::{
    client::{echo, fetch},
    docker::{IDLE, Target, WEB, inspect},
    lan::{CLIENT, Lan},
    landfall::{Ran, a_moment, landfall},
    netns::Netns,
    run::{output, run, wait_until},
};

fn up(target: &Target, interface: &str, options: &[&str]) -> Ran {
    landfall(&[&["up", &target.name, interface], options].concat())
}

fn address(ran: Ran) -> Ipv4Addr {
    let said = ran.done();
    said.trim().rsplit("ip=").next().and_then(|address| address.parse().ok()).expect("the address is last")
}

/// A server of pages on 80 and 2525, and of datagrams on 53.
fn web() -> Target {
    Target::run(&[WEB, "--tcp", "2525", "--udp", "53"])
}

/// Who answers: as containers call themselves.
fn who(client: &Netns, to: impl Into<SocketAddr>) -> String {
    let page = fetch(client, to).expect("an answer");
    assert!(page.contains(&format!("you are {CLIENT} ")), "{page}");
    page.split("hello from ").nth(1).and_then(|rest| rest.lines().next()).expect("a name").to_owned()
}

fn hostname(target: &Target) -> String {
    inspect(&target.name, "{{.Config.Hostname}}")
}

/// Who answers how many of 60 connections.
fn answers(client: &Netns, address: Ipv4Addr) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..60 {
        *answers.entry(who(client, (address, 80))).or_default() += 1;
    }
    answers
}

fn state(target: &Target) -> String {
    let listed = landfall(&["ls", "--format", "json"]).json();
    let its = listed.as_array().expect("a list").iter().find(|view| view["target"] == target.name.as_str());
    its.expect("it is listed")["state"].as_str().expect("a text").to_owned()
}

#[test]
fn each_port_leads_to_the_container_that_it_names() {
    let mut lan = Lan::new();
    let (interface, client) = (lan.host_port(), lan.client());
    let (site, mail) = (web(), web());
    let to_mail = format!("25:2525,to={}", mail.name);
    let udp_to_mail = format!("53/udp,to={}", mail.name);
    let address = address(up(&site, &interface, &["-p", "80", "-p", &to_mail, "-p", &udp_to_mail]));
    // Both see their clients
    assert_eq!(who(&client, (address, 80)), hostname(&site));
    assert_eq!(who(&client, (address, 25)), hostname(&mail));
    let said = echo(&client, (address, 53), "who am i").expect("an answer");
    assert!(said.starts_with(&format!("you are {CLIENT} ")), "{said}");
    // And the same again changes nothing
    let id = inspect(&site.network_container(), "{{.Id}}");
    up(&site, &interface, &["-p", "80", "-p", &to_mail, "-p", &udp_to_mail]).done();
    assert_eq!(inspect(&site.network_container(), "{{.Id}}"), id);
    assert_eq!(who(&client, (address, 25)), hostname(&mail));
    // And without the other one nothing of it is left there
    up(&site, &interface, &["-p", "80"]).done();
    assert_eq!(mail.traces(), [""; 0]);
    assert!(fetch(&client, (address, 25)).is_err());
    assert_eq!(who(&client, (address, 80)), hostname(&site));
    // And `down` leaves nothing in either
    up(&site, &interface, &["-p", "80", "-p", &to_mail]).done();
    landfall(&["down", &site.name]).done();
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
    let address = address(up(first, &interface, &options));
    let all = answers(&client, address);
    assert!(all.len() == 3 && all.values().all(|count| *count >= 5), "{all:?}");
    assert_eq!(state(first), "leased");
    // When one dies
    let dead = hostname(second);
    run(&["docker", "kill", &second.name]);
    wait_until("it is left out", || landfall(&["logs", &first.name]).done().contains(r#""is_there":false"#));
    wait_until("nobody meets it", || {
        let mut pages = (0..60).map(|_| fetch(&client, (address, 80)));
        pages.all(|page| page.is_ok_and(|page| !page.contains(&dead)))
    });
    assert_eq!(state(first), "degraded");
    // Even the one that the address is named after
    run(&["docker", "kill", &first.name]);
    wait_until("one is left", || {
        let mut answers = (0..20).map(|_| fetch(&client, (address, 80)));
        answers.all(|page| page.is_ok_and(|page| page.contains(&hostname(third))))
    });
    assert_eq!(state(first), "degraded");
    // Then `up` brings back who has started again
    run(&["docker", "start", &first.name, &second.name]);
    up(first, &interface, &options).done();
    assert_eq!(state(first), "leased");
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
    let own = address(up(&mail, &interface, &["-p", "2525", "-p", "53/udp"]));
    let to_mail = format!("25:2525,to={}", mail.name);
    let udp_to_mail = format!("53/udp,to={}", mail.name);
    let ran = up(&site, &interface, &["-p", "80", "-p", &to_mail, "-p", &udp_to_mail]);
    // Nothing tells the answers by UDP from each other
    assert!(ran.stderr.contains("53/udp has another way to the LAN, too"), "{}", ran.stderr);
    let shared = address(ran);
    for to in [(own, 2525), (shared, 25)] {
        assert_eq!(who(&client, to), hostname(&mail));
    }
    for address in [own, shared] {
        echo(&client, (address, 53), "hello").expect("an answer");
    }
    // And one goes without the other
    landfall(&["down", &mail.name]).done();
    assert_eq!(who(&client, (shared, 25)), hostname(&mail));
    landfall(&["down", &site.name]).done();
    assert_eq!((site.traces(), mail.traces()), (vec![], vec![]));
}

#[test]
fn an_uplink_of_its_own_goes_on_beside_a_wire() {
    let mut lan = Lan::new();
    let (interface, client) = (lan.host_port(), lan.client());
    let (site, mail) = (web(), web());
    let own = address(up(&mail, &interface, &["--path", "direct", "-p", "2525", "-p", "53/udp"]));
    let answers = || {
        assert_eq!(who(&client, (own, 2525)), hostname(&mail));
        echo(&client, (own, 53), "hello").expect("an answer");
    };
    answers();
    let to_mail = format!("25:2525,to={}", mail.name);
    let shared = address(up(&site, &interface, &["-p", "80", "-p", &to_mail]));
    assert_eq!(who(&client, (shared, 25)), hostname(&mail));
    answers();
    landfall(&["down", &site.name]).done();
    answers();
    landfall(&["down", &mail.name]).done();
    assert_eq!((site.traces(), mail.traces()), (vec![], vec![]));
}

#[test]
fn what_cannot_be_is_refused_with_a_remedy() {
    let mut lan = Lan::new();
    let (interface, site, mail) = (lan.host_port(), web(), web());
    let to_mail = format!("25:2525,to={}", mail.name);
    for path in ["bridge", "direct"] {
        let said = up(&site, &interface, &["-p", "80", "-p", &to_mail, "--path", path]).failed(1);
        assert!(said.contains("--path wire"), "{said}");
    }
    let itself = up(&site, &interface, &["-p", "80", "--replica", &site.name]).failed(2);
    assert!(itself.contains("is the container that is exposed"), "{itself}");
    let moment = a_moment();
    let missing = ["-p", "25,to=nobody-of-that-name", "--wait", &moment];
    let said = up(&site, &interface, &missing).failed(4);
    assert!(said.contains("nobody-of-that-name"), "{said}");
    let network = format!("container:{}", site.name);
    let guest = Target::run(&["--network", &network, IDLE]);
    let said = up(&site, &interface, &["-p", "80", "--replica", &guest.name]).failed(1);
    assert!(said.contains("it has another container's addresses"), "{said}");
    output(&["docker", "rm", "--force", &guest.name]);
    // And its own name is what it is without
    let to_itself = format!("80,to={}", site.name);
    up(&site, &interface, &["-p", &to_itself]).done();
    assert!(site.is_exposed() && mail.traces().is_empty());
}
