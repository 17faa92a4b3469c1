//! The MAC address of an uplink: one that is left in a dead network namespace is no obstacle, one that is in use stays.

use std::{
    fs::{self, File},
    net::SocketAddrV4,
    path::PathBuf,
    process::{Child, Command},
};

use landfall_tests::{
    client::fetch,
    docker::{IDLE, Target, inspect},
    lan::Lan,
    landfall::landfall,
    netns::Netns,
    run::{output, run, wait_until},
};

/// Longer than a test may take: who is to refuse at once does not wait for it.
const FOREVER: &str = "10m";

/// A process of its own that ends with this.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("it is there"))
    }

    /// One that keeps the network namespace of a container: by a private copy of the mount table, which lasts until Docker removes
    /// the file below, some time within a minute, and by an open file.
    fn that_keeps_namespace_of(container: &str) -> Self {
        let namespace = format!("/proc/{}/ns/net", inspect(container, "{{.State.Pid}}"));
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sleep", "infinity"]);
        let process = Self::start(command.stdin(File::open(&namespace).expect("it runs")));
        let path = |file: &str| PathBuf::from(format!("/proc/{}/{file}", process.0.id()));
        wait_until("the mounts are copied", || {
            fs::read_to_string(path("cmdline")).is_ok_and(|line| line.starts_with("sleep"))
        });
        let name = fs::read_link(namespace).expect("it runs").display().to_string();
        let mounts = fs::read_to_string(path("mountinfo")).expect("it runs");
        assert!(mounts.contains(&name), "{name} is not in {mounts}");
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn up(target: &Target, interface: &str, path: &str) -> String {
    landfall(&["up", "-q", &target.name, interface, "-p", "80", "--path", path]).done().trim().to_owned()
}

fn serves(client: &Netns, address: &str) -> bool {
    fetch(client, SocketAddrV4::new(address.parse().expect("an address"), 80)).is_ok()
}

#[test]
fn an_uplink_in_a_namespace_that_something_keeps_is_no_obstacle() {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::web(), lan.host_port(), lan.client());
    let name = target.network_container();
    let deaths = [
        ("wire", &name, &["docker", "kill", &*name][..]),
        ("wire", &name, &["docker", "rm", "--force", &name]),
        ("bridge", &name, &["docker", "kill", &name]),
        ("direct", &target.name, &["docker", "restart", "-t", "1", &target.name]),
    ];
    for (path, whose, death) in deaths {
        // Given a process that keeps the namespace of an uplink
        let address = up(&target, &interface, path);
        let _keeper = Process::that_keeps_namespace_of(whose);
        run(death);
        target.wait_until_it_serves();
        // Then the next `up` has the address again
        assert_eq!(up(&target, &interface, path), address, "{path}, {death:?}");
        assert!(serves(&client, &address), "{path}, {death:?}");
        // And after `down` nobody is there
        let _keeper = Process::that_keeps_namespace_of(whose);
        run(&["docker", "kill", &name]);
        landfall(&["down", &target.name]).done();
        client.ip("neigh flush all");
        let ping = client.command("ping").args(["-q", "-c", "1", "-W", "1", &address]).output();
        assert!(!ping.expect("ping is there").status.success(), "{path}: {address} is still there");
    }
}

#[test]
fn the_mac_address_of_another_target_is_refused() {
    let mut lan = Lan::new();
    let (first, second) = (Target::web(), Target::web());
    let (interface, client) = (lan.host_port(), lan.client());
    for path in ["wire", "direct"] {
        let address = up(&first, &interface, path);
        let mac = inspect(&first.network_container(), "{{index .Config.Labels \"landfall.mac\"}}");
        let said = landfall(&["up", &second.name, &interface, "--mac", &mac, "--wait", FOREVER]).failed(1);
        // Of the two that are in one namespace it may be either
        let names = [first.network_container(), first.name.clone()];
        assert!(
            names.iter().any(|name| said.contains(&format!("in use by the container {name}, "))),
            "{said}"
        );
        assert!(said.contains("--mac") && said.contains(&format!("landfall down {}", first.name)), "{said}");
        assert!(serves(&client, &address) && !second.is_exposed(), "{path}");
    }
}

#[test]
fn the_mac_address_of_somebody_elses_macvlan_is_refused() {
    let mut lan = Lan::new();
    let (target, other, interface) = (Target::web(), Target::run(&[IDLE]), lan.host_port());
    let refused = |mac: &str| {
        let said = landfall(&["up", &target.name, &interface, "--mac", mac, "--wait", FOREVER]).failed(1);
        assert!(said.contains(mac) && !target.is_exposed(), "{said}");
        said
    };
    let place = |mac: &str, namespace: &str| {
        let line = format!("link add name lan0 link {interface} address {mac} netns {namespace} up");
        run(&[&["ip"], &*line.split(' ').collect::<Vec<_>>(), &["type", "macvlan", "mode", "bridge"]]
            .concat());
    };
    // That of a container
    place("02:00:5e:00:53:11", &inspect(&other.name, "{{.State.Pid}}"));
    let said = refused("02:00:5e:00:53:11");
    assert!(said.contains(&format!("in use by the container {}", other.name)), "{said}");
    // That of a process
    let inhabited = Netns::new();
    let process = Process::start(inhabited.command("sleep").arg("infinity"));
    place("02:00:5e:00:53:12", &inhabited.name);
    wait_until("it is in there", || run(&["ip", "netns", "pids", &inhabited.name]).lines().count() == 1);
    let said = refused("02:00:5e:00:53:12");
    assert!(said.contains(&format!("in use by the process {}", process.0.id())), "{said}");
    // That of the interface itself
    let shown = run(&["ip", "-o", "link", "show", &interface]);
    let (_, own) = shown.split_once("link/ether ").expect("it has one");
    let own = own.split(' ').next().expect("a word");
    run(&["ip", "link", "set", &interface, "address", &format!("02{}", &own[2..])]);
    let said = refused(&format!("02{}", &own[2..]));
    assert!(said.contains(&format!("in use by {interface} itself")), "{said}");
    // And that in a namespace without a process, which looks like one that was left
    let empty = Netns::new();
    place("02:00:5e:00:53:13", &empty.name);
    let in_vain = |words: &str| {
        target.up_in_vain(&interface, &["--mac", "02:00:5e:00:53:13"], 1, &["02:00:5e:00:53:13", words]);
        assert!(!target.is_exposed());
    };
    in_vain("mountinfo");
    run(&["ip", "netns", "set", &empty.name, "auto"]);
    in_vain("in use by lan0 in a network namespace without a process");
    // Nothing of that was touched
    for namespace in [&empty, &inhabited] {
        assert!(namespace.ip("-o link show lan0").contains("UP"));
    }
    let pid = inspect(&other.name, "{{.State.Pid}}");
    assert!(
        output(&["nsenter", &format!("--net=/proc/{pid}/ns/net"), "ip", "link", "show", "lan0"])
            .status
            .success()
    );
}
