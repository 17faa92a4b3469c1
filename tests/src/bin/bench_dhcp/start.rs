//! From the start of a process to an address that can be used, as the kernel tells it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use landfall_tests::{
    lan::Lan,
    netns::Netns,
    removal::Folder,
    run::{now, path, run, unique, wait_until},
};

use super::{median, ms, row};

const RUNS: usize = 15;
const INTERFACE: &str = "lan0";

/// A client in one of its ways.
struct Way {
    name: String,
    to_reach: &'static str,
    lan: usize,
    line: Vec<String>,
    input: String,
    /// Whether it has had this address before.
    is_known: bool,
}

/// Prints the medians.
pub fn measure() {
    let build = Folder::new();
    let floor = build.path().join("floor");
    run(&["cc", "-O2", "-o", &floor.display().to_string(), "tests/fixtures/floor.c"]);
    let fixed = ["--dhcp-range=10.99.0.100,10.99.0.250,2m", "--no-ping", "--dhcp-authoritative"];
    let lans =
        [Lan::with_dnsmasq(&fixed), Lan::with_dnsmasq(&[&fixed[..], &["--dhcp-rapid-commit"]].concat())];
    let ways = ways(&floor);
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..RUNS {
        for (way, times) in ways.iter().zip(&mut times) {
            times.push(once(&lans[way.lan], way));
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    for (way, time) in ways.iter().zip(&medians) {
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        row(&way.name, way.to_reach, &format!("{}, {ratio:.1} times the floor", ms(*time)));
    }
}

fn ways(floor: &Path) -> Vec<Way> {
    let landfall = |name: &str, to_reach, lan, detection, is_known| Way {
        name: format!("landfall-agent, {name}"),
        to_reach,
        lan,
        line: vec![path("LANDFALL_AGENT").display().to_string()],
        input: format!(
            "version: 1\ninterface: {INTERFACE}\naddress: {{dhcp: {{conflict_detection: {detection}}}}}\n...\n"
        ),
        is_known,
    };
    let mut ways = vec![
        Way {
            name: "floor: a raw exchange in C, process start to address".into(),
            to_reach: "",
            lan: 0,
            line: vec![floor.display().to_string(), INTERFACE.into()],
            input: String::new(),
            is_known: false,
        },
        landfall("four messages, detection off", "at most 2.5 times, under 10 ms", 0, "off", false),
        landfall("rapid commit, detection off", "at most 2.5 times, under 10 ms", 1, "off", false),
        landfall("INIT-REBOOT, detection off", "at most 2.5 times, under 10 ms", 0, "off", true),
        landfall("four messages, `fast`", "at most 450 ms", 0, "fast", false),
        landfall("re-created with its saved lease, `fast`", "at most 20 ms", 0, "fast", true),
    ];
    // Each in mounts of its own, so that its files are new each time.
    let hide = "mount -t tmpfs none /var/lib; mkdir -p /var/lib/dhcp /var/lib/dhcpcd; mount -t tmpfs none /run; \
                mount --bind /dev/null /etc/resolv.conf; exec \"$@\"";
    let hidden = ["unshare", "--mount", "sh", "-c", hide, "sh"];
    let others: [(&str, &[&str], &[&str]); 6] = [
        ("udhcpc", &hidden, &["udhcpc", "-f", "-i", INTERFACE]),
        ("dhclient", &hidden, &["dhclient", "-d", "-1", INTERFACE]),
        ("dhcpcd, detection off", &hidden, &["dhcpcd", "-B", "-A", "-4", INTERFACE]),
        ("dhcpcd, as it comes", &hidden, &["dhcpcd", "-B", "-4", INTERFACE]),
        ("networkd, detection off", &["unshare", "--mount", "--uts"], &["tests/fixtures/clients/networkd"]),
        ("mozim", &[], &["tests/fixtures/clients/mozim"]),
    ];
    ways.extend(others.map(|(name, around, line)| Way {
        name: name.into(),
        to_reach: "",
        lan: 0,
        line: around.iter().chain(line).map(|&word| word.into()).collect(),
        input: String::new(),
        is_known: false,
    }));
    ways
}

/// One run in a namespace of its own; a client that is known has been there before.
fn once(lan: &Lan, way: &Way) -> Duration {
    let state = Folder::new();
    let mac = {
        let number: u32 = unique().bytes().fold(7, |hash: u32, byte| hash.wrapping_mul(31) + u32::from(byte));
        let [a, b, c, d] = number.to_be_bytes();
        format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    };
    if way.is_known {
        lease(lan, way, &state, &mac);
        wait_until("the lease is saved", || fs::exists(state.path().join("lease.json")).is_ok_and(|is| is));
    }
    lease(lan, way, &state, &mac)
}

fn lease(lan: &Lan, way: &Way, state: &Folder, mac: &str) -> Duration {
    let namespace = Netns::new();
    lan.plug(&namespace, INTERFACE);
    namespace.ip(&format!("link set {INTERFACE} address {mac} up"));
    namespace.run(&["ping", "-q", "-c", "1", "-w", "1", "127.0.0.1"]);
    let mut monitor = namespace.command("ip");
    let monitor = monitor.args(["monitor", "address"]).stdout(Stdio::piped()).spawn();
    let mut monitor = monitor.expect("ip is there");
    let mut lines = BufReader::new(monitor.stdout.take().expect("piped")).lines();
    wait_until("the monitor listens", || !namespace.run(&["ss", "-Hf", "netlink"]).is_empty());
    let (begin, mut client) = namespace.within(|| {
        let begin = now();
        let mut command = Command::new(&way.line[0]);
        command.args(&way.line[1..]).env("LANDFALL_STATE", state.path());
        command.env("UPLINK", INTERFACE).env("STATE", state.path());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        (begin, command.spawn().expect("it is there"))
    });
    let mut input = client.stdin.take().expect("piped");
    drop(input.write_all(way.input.as_bytes()));
    let has_address = |line: &String| line.contains(INTERFACE) && line.contains("inet 10.99.0.");
    let line = lines.by_ref().map_while(Result::ok).find(has_address);
    let took = now().duration_since(begin);
    assert!(line.is_some(), "{} got no address", way.name);
    // Not before it has come to rest: what it saves is wanted.
    if way.is_known {
        wait_until("saved", || fs::exists(state.path().join("lease.json")).is_ok_and(|is| is));
    }
    end(&mut client);
    end(&mut monitor);
    took
}

fn end(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}
