//! `landfall down --all`, on an engine that no other test uses meanwhile.

use landfall_tests::{
    docker::{Target, inspect},
    lan::Lan,
    landfall::landfall,
    run::run,
};

#[test]
fn down_all_leaves_nothing_of_what_somebody_else_has_removed() {
    // Given two targets with companions on the host, and the network container of one removed by hand
    let mut lan = Lan::new();
    let (first, second, interface) = (Target::web(), Target::web(), lan.host_port());
    run(&["ip", "addr", "add", "10.99.0.8/24", "dev", &interface, "noprefixroute"]);
    // The first one's is left in the target
    for (target, path) in [(&first, "direct"), (&second, "wire")] {
        landfall(&["up", "-q", &target.name, &interface, "--host-access", "--path", path]).done();
    }
    let companions = || run(&["ip", "-o", "link"]).lines().filter(|line| line.contains(": lh")).count();
    assert_eq!(companions(), 2);
    let image = inspect(&first.network_container(), "{{.Image}}");
    run(&["docker", "rm", "--force", &first.network_container()]);
    // When all is taken down
    let said = landfall(&["down", "--all"]).done();
    // Then that is the other one, and both companions
    assert_eq!(said, format!("{}: stopped and removed {}\n", second.name, second.network_container()));
    assert_eq!(companions(), 0);
    // And again there is nothing to do
    assert_eq!(landfall(&["down", "--all"]).done(), "nothing to do: no container has an address\n");
    // Other tests of this engine want one that never saw the image
    run(&["docker", "image", "rm", "--force", &image]);
}
