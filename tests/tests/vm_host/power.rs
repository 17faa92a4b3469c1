//! Reboots, power cuts and cables.

use landfall_tests::vm::{host::Host, monitor::Cable};

use crate::target::{expect_page, remove, state, up, web};

#[test]
fn after_a_reboot_ls_says_what_is_missing_and_up_repairs_it() {
    let host = &mut Host::boot();
    // Given a host whose Docker does not turn forwarding on, with an exposed target
    let settings = r#"echo '{"ip-forward": false}' >/etc/docker/daemon.json"#;
    host.machine.run(&["sh", "-c", settings]);
    let target = web(host);
    let address = up(host, &target);
    expect_page(host, &address);
    // When it is rebooted
    host.machine.reboot();
    assert_eq!(host.machine.run(&["cat", "/proc/sys/net/ipv4/ip_forward"]).trim(), "0");
    // Then the target is back, its network container is not, and `ls` says so
    let running = format!("docker ps -q --filter name={target} | grep -q .");
    host.machine.wait_until("Docker starts the target", &running);
    assert_eq!(state(host, &target), "stopped");
    // And the next `up` gives it the address that it had
    assert_eq!(up(host, &target), address);
    expect_page(host, &address);
    remove(host, &target);
}

/// Cuts the power when an `up` with this path has come to this step, and sees it repaired by the next one.
fn cut_power_at(host: &mut Host, step: &str, path: &str) {
    let target = web(host);
    // Given an `up` that has come to this step
    let start = format!("landfall up {target} eth0 --path {path} >/run/up 2>&1 &");
    host.machine.run(&["sh", "-c", &start]);
    host.machine.wait_until(step, &format!("grep -q '{step}' /run/up"));
    // When the power is cut
    host.machine.cut_power();
    // Then nothing has to be cleaned up by hand
    let running = format!("docker ps -q --filter name={target} | grep -q .");
    host.machine.wait_until("Docker starts the target", &running);
    let address = host.machine.landfall(&["up", "-q", &target, "eth0", "--path", path]).done();
    expect_page(host, address.trim());
    remove(host, &target);
}

#[test]
fn a_power_cut_at_two_steps_of_up_is_repaired() {
    let host = &mut Host::boot();
    for step in ["creating", "waiting for an address"] {
        cut_power_at(host, step, "wire");
    }
}

#[test]
fn a_power_cut_at_other_steps_and_paths_is_repaired() {
    let host = &mut Host::boot();
    for (step, path) in [
        ("starting", "wire"),
        ("attaching", "wire"),
        ("attaching", "direct"),
        ("waiting for an address", "direct"),
    ] {
        cut_power_at(host, step, path);
    }
}

#[test]
fn a_cable_that_is_pulled_and_plugged_in_again_changes_no_address() {
    let host = &mut Host::boot();
    let (target, late) = (web(host), web(host));
    let address = up(host, &target);
    expect_page(host, &address);
    // Given a cable that is out
    host.machine.monitor.set_link(0, Cable::Out).expect("there is a card");
    host.machine.wait_until("no carrier", "ip -o link show eth0 | grep -q NO-CARRIER");
    // Then `up` of another target says that no address came, and leaves nothing of it
    let said = host.machine.landfall(&["up", &late, "eth0", "--wait", "20s"]).failed(3);
    assert!(said.contains("eth0"), "{said}");
    // When it is plugged in again
    host.machine.monitor.set_link(0, Cable::In).expect("there is a card");
    // Then both have addresses, the first the one that it had
    expect_page(host, &address);
    assert_eq!(up(host, &target), address);
    let other = up(host, &late);
    expect_page(host, &other);
    host.machine.landfall(&["down", &late]).done();
    host.machine.run(&["docker", "rm", "--force", &late]);
    remove(host, &target);
}
