//! Five hundred clients at once: against Kea and dnsmasq, and against a server that has been away.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use landfall_tests::{
    lan::Lan,
    netns::Netns,
    run::{now, path, wait_until},
};

use super::row;

const CLIENTS: usize = 500;
const OUTAGE: Duration = Duration::from_mins(5);
const SPEC: &[u8] = b"version: 1\ninterface: lan0\naddress: {dhcp: {conflict_detection: off}}\n...\n";
const RANGE: &str = "10.99.1.0,10.99.3.250";

/// Starts a server.
type Start = fn(&mut Lan);

/// All start in the same moment.
pub fn together() {
    let servers: [(&str, &str, Start); 3] = [
        ("Kea", "within 3 s, at most 4.1 packets each", kea),
        ("dnsmasq without ping check", "at most 4.1 packets each", |lan| dnsmasq(lan, &["--no-ping"])),
        ("dnsmasq with it, which takes seconds for each", "at most 200 packets a second", |lan| {
            dnsmasq(lan, &[]);
        }),
    ];
    for (name, to_reach, start) in servers {
        let mut lan = lan();
        start(&mut lan);
        let herd = Herd::new(&lan);
        let begin = now();
        let clients = herd.start();
        let is_over = AtomicBool::new(false);
        let (times, busiest) = thread::scope(|scope| {
            let busiest = scope
                .spawn(|| herd.busiest_second(Duration::from_secs(1), || is_over.load(Ordering::Relaxed)));
            let times = clients.leased(begin, Duration::from_mins(3));
            is_over.store(true, Ordering::Relaxed);
            (times, busiest.join().expect("it counts"))
        });
        let measured = format!(
            "{:.2} s, half of them in {:.2} s, {:.2} packets each, {busiest:.0} in the busiest second after the first",
            times[CLIENTS - 1].as_secs_f64(),
            times[CLIENTS / 2].as_secs_f64(),
            herd.packets() / f64::from(u32::try_from(CLIENTS).expect("few"))
        );
        row(&format!("{CLIENTS} agents at once, {name}, detection off"), to_reach, &measured);
    }
}

/// All search for five minutes, and then there is a server.
pub fn after_an_outage() {
    let mut lan = lan();
    let herd = Herd::new(&lan);
    let clients = herd.start();
    let begin = now();
    // The first minute has the first messages of all.
    let busiest = herd.busiest_second(Duration::from_mins(1), || now().duration_since(begin) >= OUTAGE);
    kea(&mut lan);
    let times = clients.leased(now(), Duration::from_mins(3));
    row(
        &format!("{CLIENTS} agents after an outage of {} s, Kea", OUTAGE.as_secs()),
        "all within 70 s, at most 60 packets a second meanwhile",
        &format!(
            "{:.1} s, {busiest:.0} packets in the busiest second after the first minute",
            times[CLIENTS - 1].as_secs_f64()
        ),
    );
}

/// A LAN with room for all.
fn lan() -> Lan {
    let lan = Lan::without_server();
    lan.router.ip("addr flush dev br0");
    lan.router.ip("addr add 10.99.0.1/22 dev br0");
    let table =
        "table inet count { chain input { type filter hook input priority 0; udp dport 67 counter; }; }";
    lan.router.run(&["nft", table]);
    lan
}

fn kea(lan: &mut Lan) {
    let file = lan.file("kea.json");
    let config = r#"{"Dhcp4": {"interfaces-config": {"interfaces": ["br0"]}, "valid-lifetime": 600,
        "lease-database": {"type": "memfile", "persist": false},
        "subnet4": [{"subnet": "10.99.0.0/22", "pools": [{"pool": "10.99.1.0 - 10.99.3.250"}]}]}}"#;
    fs::write(&file, config).expect("a file");
    let pid = format!("KEA_PIDFILE_DIR={}", file.parent().expect("a directory").display());
    lan.serve("env", &[&pid, "KEA_LOCKFILE_DIR=none", "kea-dhcp4", "-c", &file.display().to_string()]);
    wait_until("Kea listens", || {
        lan.router.run(&["ss", "-Hlnp", "--udp", "--packet", "--raw"]).contains("kea")
    });
}

fn dnsmasq(lan: &mut Lan, more: &[&str]) {
    let (leases, log) = (lan.file("leases"), lan.file("log"));
    let (leases, log) =
        (format!("--dhcp-leasefile={}", leases.display()), format!("--log-facility={}", log.display()));
    let range = format!("--dhcp-range={RANGE},10m");
    let fixed =
        ["--keep-in-foreground", "--port=0", "--interface=br0", "--bind-interfaces", "--conf-file=/dev/null"];
    let here = ["--user=root", "--pid-file=", "--dhcp-lease-max=2000", "--dhcp-authoritative"];
    lan.serve("dnsmasq", &[&fixed[..], &here, more, &[&leases, &log, &range]].concat());
    lan.expect_log("DHCP, IP range");
}

/// The namespaces of the clients.
struct Herd<'a> {
    lan: &'a Lan,
    namespaces: Vec<Netns>,
}

/// The clients, and what they said.
struct Clients {
    children: Vec<Child>,
    leased: Receiver<Instant>,
}

impl<'a> Herd<'a> {
    fn new(lan: &'a Lan) -> Self {
        let namespace = |_| {
            let namespace = Netns::new();
            lan.plug(&namespace, "lan0");
            namespace.ip("link set lan0 up");
            namespace
        };
        Self { lan, namespaces: (0..CLIENTS).map(namespace).collect() }
    }

    fn start(&self) -> Clients {
        let (sender, leased) = channel();
        let children = self.namespaces.iter().map(|namespace| {
            let mut child = namespace.within(|| {
                let mut command = Command::new(path("LANDFALL_AGENT"));
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
                command.spawn().expect("make build")
            });
            child.stdin.as_mut().expect("piped").write_all(SPEC).expect("it reads");
            let (lines, sender) =
                (BufReader::new(child.stdout.take().expect("piped")).lines(), sender.clone());
            thread::spawn(move || {
                let is_lease = |line: &String| line.contains("\"event\":\"leased\"");
                // The rest is read, too, so that nobody waits for us.
                let mut leases = lines.map_while(Result::ok).filter(is_lease);
                leases.try_for_each(|_| sender.send(now()))
            });
            child
        });
        Clients { children: children.collect(), leased }
    }

    /// The most messages that the clients send in any second, once so much time has passed.
    fn busiest_second(&self, after: Duration, is_over: impl Fn() -> bool) -> f64 {
        let (begin, mut before, mut busiest) = (now(), 0.0, 0.0_f64);
        while !is_over() {
            thread::park_timeout(Duration::from_secs(1));
            let packets = self.packets();
            if now().duration_since(begin) > after + Duration::from_secs(1) {
                busiest = busiest.max(packets - before);
            }
            before = packets;
        }
        busiest
    }

    /// How many messages the clients have sent.
    fn packets(&self) -> f64 {
        let shown = self.lan.router.run(&["nft", "list", "table", "inet", "count"]);
        let mut words = shown.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next().and_then(|number| number.parse().ok()).expect("a counter")
    }
}

impl Clients {
    /// When each had its lease, since `begin`, in order.
    fn leased(&self, begin: Instant, limit: Duration) -> Vec<Duration> {
        let mut times = Vec::new();
        while times.len() < CLIENTS {
            let left = limit.saturating_sub(now().duration_since(begin));
            let at = self.leased.recv_timeout(left);
            times.push(
                at.unwrap_or_else(|_| panic!("only {} have a lease", times.len())).duration_since(begin),
            );
        }
        times
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
