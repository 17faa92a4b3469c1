//! Five hundred clients at once: against Kea and dnsmasq, and against a server that has been away.

use std::{env, fs, time::Duration};

use landfall_tests::{
    lan::Lan,
    run::{now, wait_until},
};

use super::{
    crowd::{CLIENTS, Crowd, Program, programs},
    median, row,
    wire::Wire,
};

const OUTAGE: Duration = Duration::from_mins(5);
const LIMIT: Duration = Duration::from_mins(5);
/// Roomy: until an address is leased, dnsmasq offers it to everybody whose search in its pool ends there, and refuses all of them
/// but one. In a pool of 760 that were 13 to 30 of 500, of any client's.
const POOL: [&str; 2] = ["10.99.1.0", "10.99.15.250"];

/// A server, and what is to be seen before it.
struct Server {
    name: &'static str,
    to_reach: &'static str,
    /// How often each client has its turn.
    rounds: usize,
    start: fn(&mut Lan),
}

const FAST: [Server; 2] = [
    Server { name: "Kea", to_reach: "within 3 s, at most 4.1 packets each", rounds: 11, start: kea },
    Server {
        name: "dnsmasq without ping check",
        to_reach: "at most 4.1 packets each",
        rounds: 11,
        start: |lan| dnsmasq(lan, &["--no-ping"]),
    },
];

const SLOW: [Server; 1] = [Server {
    name: "dnsmasq with it, which takes seconds for each",
    to_reach: "at most 200 packets of clients a second",
    rounds: 3,
    start: |lan| dnsmasq(lan, &[]),
}];

/// One herd.
struct Round {
    last: Duration,
    half: Duration,
    packets: f64,
    busiest: usize,
}

/// Before servers that answer at once.
pub fn before_fast_servers() {
    together(&FAST);
}

/// Before one that does not.
pub fn before_a_slow_server() {
    together(&SLOW);
}

/// All start in the same moment; the clients take turns. `HERD_ROUNDS` is another number of rounds for all.
fn together(servers: &[Server]) {
    let mut lan = lan();
    let crowd = Crowd::on(&lan);
    let rounds = env::var("HERD_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for server in servers {
        let programs = programs();
        let mut herds: Vec<Vec<Round>> = programs.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds.unwrap_or(server.rounds) {
            for (program, herd) in programs.iter().zip(&mut herds) {
                (server.start)(&mut lan);
                herd.push(round(&lan, &crowd, program));
                lan.stop_server();
            }
        }
        for (program, herd) in programs.iter().zip(&herds) {
            show(server, program, herd);
        }
    }
}

fn round(lan: &Lan, crowd: &Crowd, program: &Program) -> Round {
    let begin = now();
    let wire = Wire::listen(&lan.router, "br0", begin);
    let running = crowd.start(program);
    let acks = wire.acks(CLIENTS, LIMIT);
    let traffic = wire.traffic();
    drop(running);
    Round {
        last: acks[CLIENTS - 1],
        half: acks[CLIENTS / 2],
        packets: ratio(traffic.messages),
        busiest: traffic.busiest_second(1),
    }
}

fn ratio(messages: usize) -> f64 {
    f64::from(u32::try_from(messages).expect("few")) / f64::from(u32::try_from(CLIENTS).expect("few"))
}

fn show(server: &Server, program: &Program, herd: &[Round]) {
    let last: Vec<Duration> = herd.iter().map(|round| round.last).collect();
    let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
    let (first, worst) = (seconds(last.iter().min().copied()), seconds(last.iter().max().copied()));
    let mut packets: Vec<f64> = herd.iter().map(|round| round.packets).collect();
    packets.sort_unstable_by(f64::total_cmp);
    let busiest = herd.iter().map(|round| round.busiest).max().unwrap_or_default();
    let is_ours = program.name == "landfall-agent";
    row(
        &format!("{CLIENTS} at once, {}, {}", server.name, program.name),
        if is_ours { server.to_reach } else { "" },
        &format!(
            "{:.2} s (of {}: {first:.2} to {worst:.2} s), half of them in {:.2} s, {:.2} packets each, {busiest} of clients in \
             the busiest second after the first",
            median(last.clone()).as_secs_f64(),
            herd.len(),
            median(herd.iter().map(|round| round.half).collect()).as_secs_f64(),
            packets[packets.len() / 2],
        ),
    );
}

/// All search for five minutes, and then there is a server.
pub fn after_an_outage() {
    let mut lan = lan();
    let crowd = Crowd::on(&lan);
    let begin = now();
    let wire = Wire::listen(&lan.router, "br0", begin);
    let [ours, ..] = programs();
    let running = crowd.start(&ours);
    while let Some(left) = OUTAGE.checked_sub(now().duration_since(begin)) {
        std::thread::park_timeout(left);
    }
    // The first minute has the first messages of all.
    let before = wire.traffic().busiest_second(60);
    let returned = now();
    let wire = Wire::listen(&lan.router, "br0", returned);
    kea(&mut lan);
    let acks = wire.acks(CLIENTS, LIMIT);
    drop(running);
    row(
        &format!("{CLIENTS} agents after an outage of {} s, Kea", OUTAGE.as_secs()),
        "all within 70 s, at most 60 packets a second meanwhile",
        &format!(
            "{:.1} s, {before} packets in the busiest second after the first minute",
            acks[CLIENTS - 1].as_secs_f64()
        ),
    );
}

/// A LAN with room for all.
fn lan() -> Lan {
    let lan = Lan::without_server();
    lan.router.ip("addr flush dev br0");
    lan.router.ip("addr add 10.99.0.1/20 dev br0");
    lan
}

fn kea(lan: &mut Lan) {
    let file = lan.file("kea.json");
    let config = r#"{"Dhcp4": {"interfaces-config": {"interfaces": ["br0"]}, "valid-lifetime": 600,
        "lease-database": {"type": "memfile", "persist": false},
        "subnet4": [{"subnet": "10.99.0.0/20", "pools": [{"pool": "POOL"}]}]}}"#
        .replace("POOL", &POOL.join(" - "));
    fs::write(&file, config).expect("a file");
    let pid = format!("KEA_PIDFILE_DIR={}", file.parent().expect("a directory").display());
    lan.serve("env", &[&pid, "KEA_LOCKFILE_DIR=none", "kea-dhcp4", "-c", &file.display().to_string()]);
    wait_until("Kea listens", || {
        lan.router.run(&["ss", "-Hlnp", "--udp", "--packet", "--raw"]).contains("kea")
    });
}

fn dnsmasq(lan: &mut Lan, more: &[&str]) {
    let (leases, log) = (lan.file("leases"), lan.file("log"));
    for file in [&leases, &log] {
        drop(fs::remove_file(file));
    }
    let (leases, log) =
        (format!("--dhcp-leasefile={}", leases.display()), format!("--log-facility={}", log.display()));
    let range = format!("--dhcp-range={},10m", POOL.join(","));
    let fixed =
        ["--keep-in-foreground", "--port=0", "--interface=br0", "--bind-interfaces", "--conf-file=/dev/null"];
    let here = ["--user=root", "--pid-file=", "--dhcp-lease-max=2000", "--dhcp-authoritative"];
    lan.serve("dnsmasq", &[&fixed[..], &here, more, &[&leases, &log, &range]].concat());
    lan.expect_log("DHCP, IP range");
}
