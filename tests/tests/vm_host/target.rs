//! A web server in the machine, exposed on the LAN.

use std::net::SocketAddrV4;

use landfall_tests::{
    client::fetch,
    run::{unique, wait_until},
    vm::host::Host,
};

/// A web server that Docker starts again after a reboot.
pub fn web(host: &mut Host) -> String {
    let name = format!("web-{}", unique());
    host.machine.run(&[
        "docker",
        "run",
        "-d",
        "--restart=unless-stopped",
        "--name",
        &name,
        "landfall-test-web",
    ]);
    name
}

/// Exposes a target on the LAN; gives its address.
pub fn up(host: &mut Host, target: &str) -> String {
    host.machine.landfall(&["up", "-q", target, "eth0"]).done().trim().to_owned()
}

/// Waits until a machine on the LAN gets the page.
pub fn expect_page(host: &Host, address: &str) {
    let (client, to) = (host.lan.client(), SocketAddrV4::new(address.parse().expect("an address"), 80));
    wait_until(&format!("the page at {address}"), || fetch(&client, to).is_ok());
}

/// Exposes a new target and sees its page from the LAN; then takes everything down, and sees that nothing is left.
pub fn expect_landfall_works(host: &mut Host) {
    let target = web(host);
    let address = up(host, &target);
    expect_page(host, &address);
    remove(host, &target);
}

/// Takes a target down and away, and sees that nothing is left of it.
pub fn remove(host: &mut Host, target: &str) {
    host.machine.landfall(&["down", target]).done();
    host.machine.run(&["docker", "rm", "--force", target]);
    assert_eq!(left(host), "");
}

/// What is left in the machine of all targets.
fn left(host: &mut Host) -> String {
    let question = "ip -o link show type macvlan; docker ps -aq --filter label=landfall.target; \
        docker volume ls -q --filter label=landfall.target";
    host.machine.run(&["sh", "-c", question])
}

/// What `ls` says of a target.
pub fn state(host: &mut Host, target: &str) -> String {
    let list = host.machine.landfall(&["ls", "--format", "json"]).json();
    let mut views = list.as_array().expect("an array").iter();
    let ours = views.find(|view| view["target"] == *target).expect("it is listed");
    ours["state"].as_str().expect("a state").to_owned()
}
