//! Measures the figures that landfall is to reach, side by side in one run, and prints them as the table of
//! `docs/benchmarks.md`.
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddrV4,
    process::{Child, Stdio},
    time::Duration,
};

use landfall_tests::{
    agent::{Agent, TARGET, address, forward, spec},
    client::fetch,
    docker::{IDLE, Target},
    lan::Lan,
    landfall::landfall,
    netns::Netns,
    run::{now, path, run, wait_until},
};

/// Runs of each kind, interleaved.
const RUNS: usize = 15;
/// Runs of iperf3 of each kind, and how long each takes in seconds.
const STREAMS: usize = 7;
const SECONDS: &str = "3";
/// How many forwards are many.
const MANY: u16 = 10_000;
/// A spec that takes an address as soon as it is given.
const UNCHECKED: &str =
    "version: 1\ninterface: lan0\naddress: {dhcp: {conflict_detection: off}}\nforward:\n{forward}\n...\n";
/// How long an idle agent is watched.
const IDLE_TIME: Duration = Duration::from_mins(1);
/// Longer than any pause between what an agent has to do at its start.
const REST: Duration = Duration::from_secs(3);

fn main() {
    println!("| figure | to reach | measured |\n|---|---|---|");
    let [floor, unchecked, checked] = up_against_docker_run();
    let ratio = unchecked.as_secs_f64() / floor.as_secs_f64();
    println!(
        "| `landfall up -q --conflict-detection off`, address answering | at most 1.4 times `docker run -d` | {} against {}: \
         {ratio:.2} times |",
        ms(unchecked),
        ms(floor)
    );
    println!("| `landfall up -q`, which probes the address first (`fast`) | 450 ms more | {} |", ms(checked));
    println!(
        "| link up to address set, dnsmasq without ping check, detection off | under 10 ms | {} |",
        ms(link_to_address())
    );
    println!("| image | at most 8 MiB | {} |", image());
    let (resident, wakeups) = idle();
    println!(
        "| agent at rest for {} s | at most 5 MB, 0 wake-ups | {resident} KiB resident, {wakeups} wake-ups |",
        IDLE_TIME.as_secs()
    );
    let many = ManyForwards::new();
    println!("| {MANY} forwards replaced, spec to report | under 150 ms | {} |", ms(many.replace()));
    let (one, all) = many.throughput();
    println!(
        "| throughput with {MANY} forwards against 1 | within 3 % | {all:.2} against {one:.2} Gbit/s: {:+.1} % |",
        (all / one - 1.0) * 100.0
    );
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("measured values can be compared"));
    values[values.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let since = now();
    let result = work();
    (now().duration_since(since), result)
}

/// Medians of starting a container, and of exposing one without and with a check of its address.
fn up_against_docker_run() -> [Duration; 3] {
    let mut lan = Lan::new();
    let (target, interface, client) = (Target::web(), lan.host_port(), lan.client());
    // The first one loads the image, which is not measured.
    landfall(&["up", "-q", &target.name, &interface]).done();
    let expose = |detection: &[&str]| {
        landfall(&["down", &target.name]).done();
        let line = [&["up", "-q", &target.name, &interface], detection].concat();
        let (took, address) = timed(|| landfall(&line).done());
        let address = SocketAddrV4::new(address.trim().parse().expect("an address"), 80);
        fetch(&client, address).expect("it answers at once");
        took
    };
    let mut times = [(); 3].map(|()| Vec::new());
    for _ in 0..RUNS {
        let other = Target::reserve();
        times[0].push(timed(|| run(&["docker", "run", "--detach", "--name", &other.name, IDLE])).0);
        times[1].push(expose(&["--conflict-detection", "off"]));
        times[2].push(expose(&[]));
    }
    times.map(median)
}

/// Median of the time from the uplink's coming up to its address, as the kernel tells it.
fn link_to_address() -> Duration {
    let lan = Lan::new();
    let once = || {
        let mut agent = Agent::new();
        let mut monitor = agent.namespace.command("ip");
        let monitor = monitor.args(["-ts", "monitor", "link", "address"]).stdout(Stdio::piped()).spawn();
        let mut monitor = monitor.expect("ip is there");
        let lines = BufReader::new(monitor.stdout.take().expect("piped")).lines();
        agent.tell(&UNCHECKED.replace("{forward}", &forward("tcp", "80", TARGET)));
        agent.forwarding();
        lan.plug(&agent.namespace, "lan0");
        let mut up = None;
        let took = lines.map_while(Result::ok).find_map(|line| {
            let at = timestamp(&line)?;
            if line.contains("LOWER_UP") && line.contains("lan0") {
                up.get_or_insert(at);
            }
            let is_address = line.contains("lan0") && line.contains("inet 10.99.0.");
            is_address.then(|| up.map(|up| at.saturating_sub(up))).flatten()
        });
        drop(monitor.kill());
        drop(monitor.wait());
        took.expect("the kernel tells of both")
    };
    median((0..RUNS).map(|_| once()).collect())
}

/// The time of day in a line of `ip -ts monitor`: `[2026-11-23T20:15:30.123456] ...`
fn timestamp(line: &str) -> Option<Duration> {
    let time = line.strip_prefix('[')?.split(']').next()?.split('T').nth(1)?;
    let mut parts = time.split(':');
    let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    Some(Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_secs_f64(seconds))
}

fn image() -> String {
    let archive = path("LANDFALL_RELEASE").join("../image/landfall-agent.tar.gz");
    let archive = archive.to_str().expect("a plain path");
    run(&["docker", "load", "--quiet", "--input", archive]);
    let tag = format!("landfall-agent:{}", env!("CARGO_PKG_VERSION"));
    let size: f64 =
        run(&["docker", "image", "inspect", "--format", "{{.Size}}", &tag]).trim().parse().expect("a number");
    let compressed = fs::metadata(archive).expect("make build").len();
    format!(
        "{:.2} MiB, {:.2} MiB compressed",
        size / 1_048_576.0,
        f64::from(u32::try_from(compressed).expect("small")) / 1_048_576.0
    )
}

/// What an agent takes that has nothing to do, in KiB, and how often it wakes.
fn idle() -> (u64, u64) {
    let lan =
        Lan::with_dnsmasq(&["--dhcp-range=10.99.0.100,10.99.0.200,1h", "--no-ping", "--dhcp-authoritative"]);
    let agent = Agent::on(&lan, &forward("tcp", "80", TARGET));
    agent.ready();
    let process = format!("/proc/{}", agent.pid());
    let field = |file: &str, name: &str| -> u64 {
        let status = fs::read_to_string(file).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel tells");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    };
    let wakeups = || -> u64 {
        let tasks = fs::read_dir(format!("{process}/task")).expect("it runs").filter_map(Result::ok);
        tasks
            .map(|task| field(&task.path().join("status").display().to_string(), "voluntary_ctxt_switches"))
            .sum()
    };
    let mut before = 0;
    wait_until("it comes to rest", || {
        before = wakeups();
        std::thread::park_timeout(REST);
        wakeups() == before
    });
    // Watching is what is measured here, for exactly this long.
    assert!(agent.next_within(IDLE_TIME).is_none(), "it had something to do");
    (field(&format!("{process}/status"), "VmRSS"), wakeups() - before)
}

/// An agent with many forwards, one of which leads to an iperf3 server.
struct ManyForwards {
    client: Netns,
    agent: std::cell::RefCell<Agent>,
    at: String,
    server: Child,
    _target: Netns,
    _lan: Lan,
}

impl ManyForwards {
    fn new() -> Self {
        let lan = Lan::new();
        let agent = Agent::on(&lan, &forward("tcp", "5201", TARGET));
        let target = agent.target();
        let at = address(&agent.ready()).to_string();
        let server = target.command("iperf3").arg("-s").stdout(Stdio::null()).spawn().expect("ip is there");
        wait_until("iperf3 listens", || !target.run(&["ss", "-Htln"]).is_empty());
        Self { client: lan.client(), agent: agent.into(), at, server, _target: target, _lan: lan }
    }

    /// Every third port from `first` on, so that no two can be merged, and that of iperf3.
    fn spec(first: u16) -> String {
        let mut text = forward("tcp", "5201", TARGET);
        let ports = (0..u32::from(MANY)).map(|i| u32::from(first) + 3 * i);
        for port in ports.filter(|port| *port != 5201) {
            write!(text, "{}", forward("tcp", &port.to_string(), TARGET)).expect("a string grows");
        }
        spec(&text)
    }

    fn tell(&self, text: &str) -> Duration {
        let mut agent = self.agent.borrow_mut();
        timed(|| {
            agent.tell(text);
            agent.forwarding();
        })
        .0
    }

    /// Median of the time from the first byte of a spec to the report that it is in force.
    fn replace(&self) -> Duration {
        let specs = [Self::spec(10_000), Self::spec(10_001)];
        self.tell(&specs[1]);
        median((0..RUNS).map(|i| self.tell(&specs[i % 2])).collect())
    }

    /// Medians in Gbit/s with one forward and with many, interleaved.
    fn throughput(&self) -> (f64, f64) {
        let measure = |text: &str| {
            self.tell(text);
            let json = self.client.run(&["iperf3", "-J", "-t", SECONDS, "-c", &self.at]);
            let result: serde_json::Value = serde_json::from_str(&json).expect("iperf3 writes JSON");
            result["end"]["sum_received"]["bits_per_second"].as_f64().expect("a number") / 1e9
        };
        let (one, many) = (spec(&forward("tcp", "5201", TARGET)), Self::spec(10_000));
        let (ones, manys) = (0..STREAMS).map(|_| (measure(&one), measure(&many))).unzip();
        (median(ones), median(manys))
    }
}

impl Drop for ManyForwards {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}
