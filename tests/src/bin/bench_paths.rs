//! Measures the ways to a container that has an address on the LAN, side by side in one run, and prints them as a table of
//! `docs/benchmarks.md`. Words on the command line choose among `tcp`, `requests` and `udp`; none means all.
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::{
    env,
    net::SocketAddrV4,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use landfall_tests::{
    client::{fetch, page},
    docker::{IDLE, Target, WEB, inspect},
    lan::Lan,
    landfall::landfall,
    netns::Netns,
    run::{now, run, wait_until},
};

/// Runs of each kind, interleaved; how long each takes.
const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(2);
/// Clients that ask at once.
const CLIENTS: usize = 4;

/// The host on the LAN, for ports that Docker publishes, and what else has an address that nobody leases.
const HOST: &str = "10.99.0.2";
const BARE: &str = "10.99.0.50";
const SCRIPTED: &str = "10.99.0.51";

/// One way to a container of its own, which serves pages and runs iperf3.
struct Way {
    name: &'static str,
    address: String,
    /// iperf3, and whatever else goes with it.
    server: Child,
    _containers: Vec<Target>,
}

/// How that is done, from a machine of the LAN.
type Measure = fn(&Netns, &Way) -> Figures;

/// What is measured of a way.
#[derive(Clone, Copy)]
struct Figures {
    /// In a unit of the measure's own; more is better.
    rate: f64,
    /// Of an answer: median and 99th percentile.
    latency: Option<[Duration; 2]>,
}

fn main() {
    let chosen: Vec<String> = env::args().skip(1).collect();
    let mut lan = Lan::new();
    let interface = lan.host_port();
    run(&["ip", "addr", "add", &format!("{HOST}/24"), "dev", &interface]);
    let client = lan.client();
    let ways = [
        bare(&interface),
        landfalls("landfall, direct", "direct", &interface),
        landfalls("landfall, wire", "wire", &interface),
        landfalls("landfall, bridge", "bridge", &interface),
        published(),
        scripted(&interface),
        klipper(),
    ];
    for way in &ways {
        fetch(&client, SocketAddrV4::new(way.address.parse().expect("an address"), 80)).expect(way.name);
    }
    println!(
        "| measure | way | rate | of the bare macvlan's | answer, median and p99 |\n|---|---|---|---|---|"
    );
    let measures: [(&str, &str, Measure); 3] = [
        ("tcp", "Gbit/s", throughput),
        ("requests", "connections/s", requests),
        ("udp", "packets/s", datagrams),
    ];
    for (name, unit, measure) in measures {
        if !chosen.is_empty() && !chosen.iter().any(|word| word == name) {
            continue;
        }
        let mut figures: Vec<Vec<Figures>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (way, figures) in ways.iter().zip(&mut figures) {
                figures.push(measure(&client, way));
            }
        }
        let floor = median(figures[0].iter().map(|figure| figure.rate).collect());
        for (way, figures) in ways.iter().zip(&figures) {
            let rate = median(figures.iter().map(|figure| figure.rate).collect());
            let part =
                |part: usize| median(figures.iter().filter_map(|f| f.latency.map(|l| l[part])).collect());
            let latency = match figures[0].latency {
                Some(_) => format!("{}, {}", us(part(0)), us(part(1))),
                None => String::new(),
            };
            println!("| {name} | {} | {} {unit} | {:.2} | {latency} |", way.name, shown(rate), rate / floor);
        }
    }
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("measured values can be compared"));
    values[values.len() / 2]
}

fn us(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}

fn shown(rate: f64) -> String {
    if rate < 1000.0 { format!("{rate:.2}") } else { format!("{rate:.0}") }
}

impl Way {
    fn new(name: &'static str, address: &str, target: Target, others: Vec<Target>) -> Self {
        let pid = inspect(&target.name, "{{.State.Pid}}");
        let net = format!("--net=/proc/{pid}/ns/net");
        let server = std::process::Command::new("nsenter")
            .args([&*net, "iperf3", "-s"])
            .stdout(Stdio::null())
            .spawn()
            .expect("`make deps` installs it");
        wait_until("iperf3 listens", || target.inside(&["ss", "-Htln"]).contains(":5201"));
        let containers = std::iter::once(target).chain(others).collect();
        Self { name, address: address.to_owned(), server, _containers: containers }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// A macvlan in the target itself: what nothing can be faster than.
fn bare(interface: &str) -> Way {
    let target = Target::run(&["--network", "none", WEB]);
    macvlan(&target, interface, BARE);
    Way::new("bare macvlan in the container", BARE, target, Vec::new())
}

fn landfalls(name: &'static str, path: &str, interface: &str) -> Way {
    let target = Target::web();
    let ports = ["-p", "80", "-p", "5201", "-p", "5201/udp"];
    let address =
        landfall(&[&["up", "-q", &target.name, interface, "--path", path], &ports[..]].concat()).done();
    Way::new(name, address.trim(), target, Vec::new())
}

/// Docker's own way.
fn published() -> Way {
    let target = Target::run(&[
        "-p",
        &at_host("80:80"),
        "-p",
        &at_host("5201:5201"),
        "-p",
        &at_host("5201:5201/udp"),
        WEB,
    ]);
    Way::new("Docker-published port", HOST, target, Vec::new())
}

/// As the shell scripts did it: a container on Docker's bridge with a macvlan, and iptables in it.
fn scripted(interface: &str) -> Way {
    let (target, between) = (Target::web(), Target::run(&["--sysctl", "net.ipv4.ip_forward=1", IDLE]));
    macvlan(&between, interface, SCRIPTED);
    for (protocol, port) in [("tcp", "80"), ("tcp", "5201"), ("udp", "5201")] {
        translate(&between, &["-i", "eth1", "-p", protocol, "--dport", port], &target.address());
    }
    iptables(&between, &["-A", "POSTROUTING", "-j", "MASQUERADE"]);
    Way::new("the shell scripts' iptables", SCRIPTED, target, vec![between])
}

/// As klipper-lb does it: a port of the host, published to a container that translates it once more.
fn klipper() -> Way {
    const HERE: &str = "10.99.0.3";
    let at = |ports: &str| format!("{HERE}:{ports}");
    run(&["ip", "addr", "add", &format!("{HERE}/24"), "dev", &host_interface()]);
    let target = Target::web();
    let ports = ["-p", &*at("80:80"), "-p", &at("5201:5201"), "-p", &at("5201:5201/udp")].map(str::to_owned);
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let between = Target::run(&[&ports[..], &["--sysctl", "net.ipv4.ip_forward=1", IDLE]].concat());
    let to = target.address();
    for (protocol, port) in [("tcp", "80"), ("tcp", "5201"), ("udp", "5201")] {
        translate(&between, &["!", "-s", &to, "-p", protocol, "--dport", port], &to);
    }
    iptables(&between, &["-A", "POSTROUTING", "-d", &to, "-j", "MASQUERADE"]);
    Way::new("klipper-lb's iptables", HERE, target, vec![between])
}

/// The interface that has the host's address.
fn host_interface() -> String {
    let shown = run(&["ip", "-4", "-o", "addr", "show", "to", HOST]);
    shown.split_whitespace().nth(1).expect("it was set").to_owned()
}

fn at_host(ports: &str) -> String {
    format!("{HOST}:{ports}")
}

fn macvlan(target: &Target, interface: &str, address: &str) {
    let pid = inspect(&target.name, "{{.State.Pid}}");
    run(&[
        "ip", "link", "add", "eth1", "link", interface, "netns", &pid, "type", "macvlan", "mode", "bridge",
    ]);
    target.inside(&["ip", "addr", "add", &format!("{address}/24"), "dev", "eth1"]);
    target.inside(&["ip", "link", "set", "eth1", "up"]);
}

fn translate(between: &Target, what: &[&str], to: &str) {
    iptables(between, &[&["-A", "PREROUTING"], what, &["-j", "DNAT", "--to-destination", to]].concat());
}

fn iptables(between: &Target, rule: &[&str]) {
    between.inside(&[&["iptables", "-w", "-t", "nat"], rule].concat());
}

/// iperf3 with one stream, in Gbit/s.
fn throughput(client: &Netns, way: &Way) -> Figures {
    let result = iperf(client, way, &[]);
    let bits = result["end"]["sum_received"]["bits_per_second"].as_f64().expect("a number");
    Figures { rate: bits / 1e9, latency: None }
}

/// iperf3 with datagrams of 64 octets: those that arrive, in a second.
fn datagrams(client: &Netns, way: &Way) -> Figures {
    let sum = &iperf(client, way, &["-u", "-l", "64", "-b", "0"])["end"]["sum"];
    let number = |key: &str| sum[key].as_f64().expect("a number");
    Figures { rate: (number("packets") - number("lost_packets")) / number("seconds"), latency: None }
}

fn iperf(client: &Netns, way: &Way, options: &[&str]) -> serde_json::Value {
    let time = TIME.as_secs().to_string();
    let json = client.run(&[&["iperf3", "-J", "-t", &time, "-c", &way.address], options].concat());
    serde_json::from_str(&json).expect("iperf3 writes JSON")
}

/// Pages, each over a connection of its own.
fn requests(client: &Netns, way: &Way) -> Figures {
    let to = SocketAddrV4::new(way.address.parse().expect("an address"), 80);
    let since = now();
    let mut times: Vec<Duration> = client.within(|| {
        thread::scope(|scope| {
            let ask = || {
                let mut times = Vec::new();
                while now().duration_since(since) < TIME {
                    let begin = now();
                    page(to).expect("an answer");
                    times.push(now().duration_since(begin));
                }
                times
            };
            let asking: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().flat_map(|asking| asking.join().expect("it asks")).collect()
        })
    });
    let took = now().duration_since(since).as_secs_f64();
    times.sort_unstable();
    let count = f64::from(u32::try_from(times.len()).expect("not that many"));
    Figures { rate: count / took, latency: Some([times[times.len() / 2], times[times.len() * 99 / 100]]) }
}
