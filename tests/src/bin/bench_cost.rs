//! Measures what one more network container costs: 1, 10 and 100 of them on one host, idle and under load, as a table of
//! `docs/benchmarks.md`.
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::{fs, net::SocketAddrV4, thread, time::Duration};

use landfall_tests::{
    client::page,
    docker::{Target, inspect},
    lan::Lan,
    landfall::landfall,
    netns::Netns,
    run::now,
};

/// How many there are.
const COUNTS: [usize; 3] = [1, 10, 100];
/// How long they are idle, and how long under load.
const IDLE: Duration = Duration::from_secs(30);
const LOAD: Duration = Duration::from_secs(5);
/// Clients that ask at once.
const CLIENTS: usize = 4;

/// A target that is exposed, and the processes of its network container: the agent, and the engine's own for it.
struct Exposed {
    address: SocketAddrV4,
    agent: u32,
    shim: u32,
    _target: Target,
}

fn main() {
    let mut lan =
        Lan::with_dnsmasq(&["--dhcp-range=10.99.0.100,10.99.0.250,1h", "--no-ping", "--dhcp-authoritative"]);
    let (interface, client) = (lan.host_port(), lan.client());
    println!(
        "| network containers | each agent | each process of the engine | idle, all together | pages under load | answer, median and p99 |"
    );
    println!("|---|---|---|---|---|---|");
    let mut all: Vec<Exposed> = Vec::new();
    for count in COUNTS {
        while all.len() < count {
            all.push(Exposed::new(&interface));
        }
        let (agents, shims) = (|of: &Exposed| of.agent, |of: &Exposed| of.shim);
        let before = [processor_time(&all, agents), processor_time(&all, shims)];
        thread::park_timeout(IDLE);
        let idle = [
            processor_time(&all, agents).saturating_sub(before[0]),
            processor_time(&all, shims).saturating_sub(before[1]),
        ];
        let times = load(&client, &all);
        let rate = f64::from(u32::try_from(times.len()).expect("not that many")) / LOAD.as_secs_f64();
        println!(
            "| {count} | {} KiB | {} KiB | agents {}, engine's {} in {} s | {rate:.0} a second | {} µs, {} µs |",
            memory(&all, agents),
            memory(&all, shims),
            ms(idle[0]),
            ms(idle[1]),
            IDLE.as_secs(),
            times[times.len() / 2].as_micros(),
            times[times.len() * 99 / 100].as_micros()
        );
    }
}

impl Exposed {
    fn new(interface: &str) -> Self {
        let target = Target::web();
        let said = landfall(&["up", "-q", &target.name, interface, "--conflict-detection", "off"]).done();
        let agent: u32 =
            inspect(&target.network_container(), "{{.State.Pid}}").parse().expect("a process number");
        let status = fs::read_to_string(format!("/proc/{agent}/status")).expect("it runs");
        let shim = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        Self {
            address: SocketAddrV4::new(said.trim().parse().expect("an address"), 80),
            agent,
            shim: shim.and_then(|number| number.trim().parse().ok()).expect("the kernel tells"),
            _target: target,
        }
    }
}

/// What each of these processes has of the memory, in KiB, where what several share is divided among them.
fn memory(all: &[Exposed], of: impl Fn(&Exposed) -> u32) -> u64 {
    let share = |process: u32| -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("it runs");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel tells");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let sum: u64 = all.iter().map(|exposed| share(of(exposed))).sum();
    sum / u64::try_from(all.len()).expect("a small number")
}

/// How long these processes have run on a processor, all together.
fn processor_time(all: &[Exposed], of: impl Fn(&Exposed) -> u32) -> Duration {
    let of_process = |process: u32| -> u64 {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs").filter_map(Result::ok);
        let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        times.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
    };
    Duration::from_nanos(all.iter().map(|exposed| of_process(of(exposed))).sum())
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Pages of all of them in turns, each over a connection of its own, as fast as they come. How long each took, in order.
fn load(client: &Netns, all: &[Exposed]) -> Vec<Duration> {
    let since = now();
    let mut times: Vec<Duration> = client.within(|| {
        thread::scope(|scope| {
            let ask = |first: usize| {
                let mut times = Vec::new();
                for exposed in all.iter().cycle().skip(first) {
                    let begin = now();
                    if begin.duration_since(since) >= LOAD {
                        break;
                    }
                    page(exposed.address).expect("an answer");
                    times.push(now().duration_since(begin));
                }
                times
            };
            let asking: Vec<_> =
                (0..CLIENTS).map(|n| scope.spawn(move || ask(n * all.len() / CLIENTS))).collect();
            asking.into_iter().flat_map(|asking| asking.join().expect("it asks")).collect()
        })
    });
    times.sort_unstable();
    times
}
