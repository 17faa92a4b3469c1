//! Hosts as Debian sets them up, and hosts that are set up otherwise.

use landfall_tests::vm::host::Host;

use crate::target::{expect_landfall_works, remove, up, web};

#[test]
fn stock_debian_confines_network_containers() {
    let host = &mut Host::boot();
    let target = web(host);
    up(host, &target);
    let info = host.machine.run(&["docker", "info", "--format", "{{.CgroupVersion}} {{.SecurityOptions}}"]);
    assert!(info.starts_with("2 ") && info.contains("name=apparmor"), "{info}");
    let network_container = format!("landfall-{target}");
    let format = "{{.State.Pid}}";
    let pid = host.machine.run(&["docker", "inspect", "--format", format, &network_container]);
    let profile = host.machine.run(&["cat", &format!("/proc/{}/attr/current", pid.trim())]);
    assert_eq!(profile.trim(), "docker-default (enforce)");
    remove(host, &target);
}

/// A host that is set up otherwise than it comes: how that is done, and how it is undone.
struct Setup {
    name: &'static str,
    set: &'static str,
    proof: &'static str,
    undo: &'static str,
}

const SETUPS: &[Setup] = &[
    Setup {
        name: "forwarding off and strict reverse paths",
        set: "sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1",
        proof: "sysctl -n net.ipv4.conf.all.rp_filter | grep -qx 1",
        undo: "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0",
    },
    Setup {
        name: "no nft",
        set: "mv /usr/sbin/nft /usr/sbin/nft.away",
        proof: "! command -v nft",
        undo: "mv /usr/sbin/nft.away /usr/sbin/nft",
    },
    Setup {
        name: "Docker with iptables-legacy",
        set: "update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy && nft flush ruleset && systemctl restart docker",
        proof: "iptables-legacy-save | grep -q DOCKER && ! nft list ruleset | grep -q DOCKER",
        undo: "iptables-legacy -F; iptables-legacy -t nat -F; iptables-legacy -X; iptables-legacy -t nat -X; \
            update-alternatives --quiet --auto iptables && systemctl restart docker",
    },
    Setup {
        name: "firewalld",
        set: "systemctl start firewalld && systemctl restart docker",
        proof: "firewall-cmd --state && nft list tables | grep -q firewalld",
        undo: "systemctl stop firewalld && systemctl restart docker",
    },
    Setup {
        name: "ufw",
        set: "ufw --force enable && systemctl restart docker",
        proof: "ufw status | grep -q 'Status: active'",
        undo: "ufw --force disable && systemctl restart docker",
    },
];

#[test]
fn hosts_that_are_set_up_otherwise() {
    let host = &mut Host::boot();
    for setup in SETUPS {
        // Docker's unit may be started three times a minute, which is less often than a fast machine gets there.
        let forget_starts = ["systemctl", "reset-failed", "docker.service"];
        host.machine.run(&forget_starts);
        host.machine.run(&["sh", "-c", setup.set]);
        host.machine.wait_until("Docker answers", "docker version");
        host.machine.wait_until(setup.name, setup.proof);
        expect_landfall_works(host);
        host.machine.run(&forget_starts);
        host.machine.run(&["sh", "-c", setup.undo]);
        host.machine.wait_until("Docker answers", "docker version");
    }
}
