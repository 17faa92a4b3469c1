//! Who may connect, as `landfall up` is told it, and what `landfall stats` counts.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use landfall_tests::{
    client::{connect, fetch, is_closed},
    docker::Target,
    lan::{CLIENT, Lan, ROUTED_CLIENT},
    landfall::{command, landfall},
    run::wait_until,
};
use serde_json::Value;

/// A forward among those of a target.
fn forward(view: &Value, port: u16) -> Value {
    let mut forwards = view["forwards"].as_array().expect("an array").iter();
    forwards.find(|forward| forward["port"] == port).expect("it is forwarded").clone()
}

#[test]
fn the_counters_of_each_forward_are_shown() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::web(), lan.host_port(), lan.client());
    let address = target.expose(&interface, &["-p", "80", "-p", "8080:80"]);
    for _ in 0..3 {
        fetch(&client, (address, 80)).expect("an answer");
    }
    // As JSON, by stats, ls and inspect alike
    let stats = landfall(&["stats", &target.name, "--format", "json"]).json();
    let ours = forward(&target.among(&stats), 80);
    assert_eq!(ours["connections"], 3, "{stats}");
    assert!(ours["packets"].as_u64().expect("a number") >= 24, "{stats}");
    assert!(ours["bytes"].as_u64().expect("a number") >= 24 * 52, "{stats}");
    assert_eq!(forward(&target.among(&stats), 8080)["connections"], 0);
    assert_eq!(forward(&target.listed(), 80)["connections"], 3);
    assert_eq!(forward(&target.inspected(), 80)["connections"], 3);
    // As a table
    let table = landfall(&["stats", &target.name]).done();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TARGET", "ADDRESS", "FORWARD", "CONNECTIONS", "PACKETS", "BYTES"]);
    assert_eq!(
        (lines.len(), lines[1][0], lines[1][2..6].join(" ")),
        (3, &*target.name, "80/tcp -> 169.254.192.1 3".into())
    );
    assert_eq!(landfall(&["stats", &target.name, &target.name]).done(), table);
    // Again and again, until nobody reads it
    let mut watch = command(&["stats", "-w", "--format", "json", &target.name]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().expect("make build");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut connections = || {
        let line = lines.next().expect("it goes on").expect("text");
        let list = serde_json::from_str(&line).expect("a line of JSON");
        forward(&target.among(&list), 80)["connections"].as_u64()
    };
    assert_eq!(connections(), Some(3));
    fetch(&client, (address, 80)).expect("an answer");
    wait_until("it has counted that one, too", || connections() == Some(4));
    drop(lines);
    assert_eq!(watch.wait().expect("it is ours").code(), Some(0));
}

#[test]
fn the_counters_of_a_target_without_address_are_an_error() {
    let target = Target::web();
    let said = landfall(&["stats", &target.name]).failed(1);
    assert!(said.contains(&target.name) && said.contains("landfall up"), "{said}");
}

#[test]
fn only_who_may_connects_and_that_can_change_while_it_runs() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let (near, far) = (lan.client(), lan.routed_client());
    for path in ["wire", "bridge"] {
        // Given a port for one machine, and another one for all others of a network
        let more = ["--path", path, "-p", "80", "-p", "8080:80,from=10.98.0.0/24", "--from", CLIENT];
        let address = target.expose(&interface, &more);
        let (port, other) = ((address, 80), (address, 8080));
        // Then each gets to its own
        assert!(fetch(&near, port).is_ok() && fetch(&far, other).is_ok());
        assert!(is_closed(&near, other) && is_closed(&far, port));
        // And when that changes, to the other's
        let id = target.network_container_id();
        let more = ["--path", path, "-p", "80", "-p", "8080:80,limit=2/hour", "--from", ROUTED_CLIENT];
        assert_eq!(target.expose(&interface, &more), address);
        assert!(is_closed(&near, port) && is_closed(&near, other));
        connect(&far, other).expect("one an hour at least");
        let closed: Vec<bool> = (1..4).map(|_| is_closed(&far, other)).collect();
        assert!(fetch(&far, port).is_ok());
        assert_eq!(closed[1..], [true, true], "two an hour");
        assert_eq!(target.network_container_id(), id, "it was made anew");
        target.down();
    }
}

#[test]
fn who_cannot_be_meant_is_an_error() {
    let said = landfall(&["up", "web", "eth0", "--from", "10.0.0.1/8"]).failed(2);
    assert!(said.contains("write 10.0.0.1 or 10.0.0.0/8"), "{said}");
    let said = landfall(&["up", "web", "eth0", "--limit", "often"]).failed(2);
    assert!(said.contains("as in 10/second"), "{said}");
}
