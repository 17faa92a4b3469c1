//! What concerns all network containers of an engine, which no other test uses meanwhile.

use landfall_tests::{client::fetch, docker::Target, lan::Lan, landfall::landfall, lock::Lock, run::run};

#[test]
fn down_all_leaves_nothing_of_what_somebody_else_has_removed() {
    // Given two targets with companions on the host, and the network container of one removed by hand
    let _engine = Lock::of("engine");
    let mut lan = Lan::on_host();
    let (first, second, interface) = (Target::web(), Target::web(), lan.host_port());
    lan.give_host(&interface, 8);
    // The first one's is left in the target
    for (target, path) in [(&first, "direct"), (&second, "wire")] {
        landfall(&["up", "-q", &target.name, &interface, "--host-access", "--path", path]).done();
    }
    let companions = || run(&["ip", "-o", "link"]).lines().filter(|line| line.contains(": lh")).count();
    assert_eq!(companions(), 2);
    run(&["docker", "rm", "--force", &first.network_container()]);
    // When all is taken down
    let said = landfall(&["down", "--all"]).done();
    // Then that is the other one, and both companions
    assert_eq!(said, format!("{}: stopped and removed {}\n", second.name, second.network_container()));
    assert_eq!(companions(), 0);
    // And again there is nothing to do
    assert_eq!(landfall(&["down", "--all"]).done(), "nothing to do: no container has an address\n");
}

// Here, where nobody lists all network containers: Docker 20.10 says nothing more of a container that is paused while `ls`, of whichever
// test, begins a program in it.
#[test]
fn a_paused_network_container_is_made_anew() {
    let _engine = Lock::of("engine");
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::web(), lan.host_port(), lan.client());
    let address = target.expose(&interface, &[]);
    run(&["docker", "pause", &target.network_container()]);
    assert_eq!(target.expose(&interface, &[]), address);
    fetch(&client, (address, 80)).expect("the page");
}
