//! The DHCP servers that people have, each on a LAN of its own, with leases that are to be renewed after six seconds.

use std::{fs, net::Ipv4Addr, process::Stdio};

use crate::{
    lan::{Lan, ROUTER},
    netns::Netns,
    run::{output, run, wait_until},
};

/// When to renew and to rebind, in seconds: the client does neither before five.
const T1: u32 = 6;
const T2: u32 = 9;

/// Where the server behind the relay is.
const BEYOND: &str = "10.98.0.2";

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// dnsmasq as it comes: it asks with a ping before it offers, and is silent where it does not know.
    Dnsmasq,
    /// dnsmasq with `dhcp-authoritative`, without a ping.
    Authoritative,
    /// dnsmasq with `dhcp-rapid-commit`, without a ping.
    Rapid,
    /// Kea.
    Kea,
    /// ISC dhcpd.
    Isc,
    /// Busybox.
    Udhcpd,
    /// systemd-networkd.
    Networkd,
    /// Kea behind ISC's relay.
    Relayed,
}

/// A LAN with that server.
pub struct Served {
    /// The LAN.
    pub lan: Lan,
    server: Server,
    _beyond: Option<Netns>,
}

/// What a server's database says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// It is leased.
    Leased,
    /// Nobody has it.
    Free,
    /// A client has found somebody else there.
    Declined,
}

impl Server {
    /// Starts it on a new LAN.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(self) -> Served {
        let mut lan = Lan::without_server();
        let mut beyond = None;
        match self {
            Self::Dnsmasq => lan = dnsmasq(&[]),
            Self::Authoritative => lan = dnsmasq(&["--no-ping", "--dhcp-authoritative"]),
            Self::Rapid => lan = dnsmasq(&["--no-ping", "--dhcp-rapid-commit"]),
            Self::Kea => kea(&mut lan),
            Self::Isc => isc(&mut lan),
            Self::Udhcpd => udhcpd(&mut lan),
            Self::Networkd => networkd(&mut lan),
            Self::Relayed => beyond = Some(relayed(&mut lan)),
        }
        Served { lan, server: self, _beyond: beyond }
    }
}

impl Served {
    /// Waits until the database says that of the address; networkd has none that can be read.
    pub fn expect_record(&self, address: Ipv4Addr, expected: Record) {
        if self.server == Server::Networkd {
            return;
        }
        wait_until(&format!("{:?} records {address} as {expected:?}", self.server), || {
            self.record(address) == Some(expected)
        });
    }

    fn record(&self, address: Ipv4Addr) -> Option<Record> {
        let text = || fs::read_to_string(self.lan.file("leases")).unwrap_or_default();
        let is_there = |text: String| text.split([' ', ',', '\n']).any(|word| word == address.to_string());
        match self.server {
            Server::Dnsmasq | Server::Authoritative | Server::Rapid => {
                let declined = format!("DHCPDECLINE(br0) {address}");
                Some(if is_there(text()) {
                    Record::Leased
                } else if self.lan.log().contains(&declined) {
                    Record::Declined
                } else {
                    Record::Free
                })
            }
            // address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,...
            Server::Kea | Server::Relayed => {
                let text = text();
                let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
                let last = rows.rfind(|row| row[0] == address.to_string())?;
                match (last[3], last[9]) {
                    (_, "1") => Some(Record::Declined),
                    ("0", _) => Some(Record::Free),
                    _ => Some(Record::Leased),
                }
            }
            Server::Isc => {
                let text = text();
                let last = text.rsplit(&format!("lease {address} {{")).next()?.split('}').next()?;
                let state = last.split("  binding state ").nth(1)?.split(';').next()?;
                match state {
                    "active" => Some(Record::Leased),
                    "free" | "released" => Some(Record::Free),
                    "abandoned" => Some(Record::Declined),
                    _ => None,
                }
            }
            Server::Udhcpd => {
                let file = self.lan.file("leases").display().to_string();
                let shown = String::from_utf8(output(&["dumpleases", "-f", &file]).stdout).ok()?;
                let line = shown
                    .lines()
                    .find(|line| line.split_whitespace().any(|word| word == address.to_string()));
                match line {
                    Some(line) if line.starts_with("00:00:00:00:00:00") => Some(Record::Declined),
                    Some(line) if line.ends_with("expired") => Some(Record::Free),
                    Some(_) => Some(Record::Leased),
                    None => Some(Record::Free),
                }
            }
            Server::Networkd => None,
        }
    }
}

fn dnsmasq(options: &[&str]) -> Lan {
    let (t1, t2) = (format!("--dhcp-option=58,{T1}"), format!("--dhcp-option=59,{T2}"));
    let fixed = ["--dhcp-range=10.99.0.100,10.99.0.200,2m", &t1, &t2];
    Lan::with_dnsmasq(&[&fixed, options].concat())
}

fn kea(lan: &mut Lan) {
    let program = configure_kea(lan, "br0");
    let words: Vec<&str> = program.iter().map(String::as_str).collect();
    lan.serve("env", &words);
    await_server(&lan.router, "kea");
}

/// Writes Kea's configuration, and says how `env` starts it.
fn configure_kea(lan: &Lan, interface: &str) -> Vec<String> {
    let (file, leases) = (lan.file("kea.json"), lan.file("leases"));
    let config = format!(
        r#"{{"Dhcp4": {{"interfaces-config": {{"interfaces": ["{interface}"]}}, "authoritative": true,
        "valid-lifetime": 120, "renew-timer": {T1}, "rebind-timer": {T2},
        "lease-database": {{"type": "memfile", "persist": true, "name": "{}"}},
        "subnet4": [{{"subnet": "10.99.0.0/24", "pools": [{{"pool": "10.99.0.100 - 10.99.0.200"}}],
        "option-data": [{{"name": "routers", "data": "{ROUTER}"}}]}}]}}}}"#,
        leases.display()
    );
    fs::write(&file, config).expect("a file");
    let directory = file.parent().expect("a directory");
    vec![
        format!("KEA_PIDFILE_DIR={}", directory.display()),
        "KEA_LOCKFILE_DIR=none".into(),
        "kea-dhcp4".into(),
        "-c".into(),
        file.display().to_string(),
    ]
}

fn isc(lan: &mut Lan) {
    let [config, leases, pid] =
        ["dhcpd.conf", "leases", "pid"].map(|name| lan.file(name).display().to_string());
    let text = format!(
        "authoritative; ping-check false; default-lease-time 120; max-lease-time 120;
         option dhcp-renewal-time {T1}; option dhcp-rebinding-time {T2};
         subnet 10.99.0.0 netmask 255.255.255.0 {{ range 10.99.0.100 10.99.0.200; option routers {ROUTER}; }}"
    );
    fs::write(&config, text).and_then(|()| fs::write(&leases, "")).expect("files");
    let names = ["-user", "root", "-group", "root", "-cf", &config, "-lf", &leases, "-pf", &pid, "br0"];
    lan.serve("dhcpd", &[&["-4", "-f"], &names[..]].concat());
    await_server(&lan.router, "dhcpd");
}

fn udhcpd(lan: &mut Lan) {
    let [config, leases, pid] =
        ["udhcpd.conf", "leases", "pid"].map(|name| lan.file(name).display().to_string());
    let text = format!(
        "start 10.99.0.100\nend 10.99.0.200\ninterface br0\nlease_file {leases}\npidfile {pid}\nauto_time 1\n\
         option subnet 255.255.255.0\noption router {ROUTER}\noption lease 120\n\
         option 0x3a {T1:08x}\noption 0x3b {T2:08x}\n"
    );
    fs::write(&config, text).and_then(|()| fs::write(&leases, "")).expect("files");
    lan.serve("udhcpd", &["-f", &config]);
    await_server(&lan.router, "udhcpd");
}

/// It writes below /run, and takes a /sys that is read-only as a sign that there is no udev.
fn networkd(lan: &mut Lan) {
    let config = lan.file("10-br0.network");
    let text = format!(
        "[Match]\nName=br0\n[Network]\nAddress={ROUTER}/24\nDHCPServer=yes\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n\
         [DHCPServer]\nPoolOffset=100\nPoolSize=100\nDefaultLeaseTimeSec=120\nMaxLeaseTimeSec=120\nEmitRouter=yes\n\
         SendOption=58:uint32:{T1}\nSendOption=59:uint32:{T2}\n"
    );
    fs::write(&config, text).expect("a file");
    // It gives the address itself, and disputes one that is there.
    lan.router.ip("addr flush dev br0");
    let script = "umask 022 && mount -t sysfs -o ro sysfs /sys && mount -t tmpfs none /run && cd /run && mkdir -p systemd/network \
                  systemd/netif/links systemd/netif/leases systemd/netif/lldp && chown -R systemd-network systemd/netif && \
                  install -m 644 \"$1\" systemd/network/ && exec /lib/systemd/systemd-networkd";
    lan.serve("unshare", &["--mount", "sh", "-c", script, "sh", &config.display().to_string()]);
    await_server(&lan.router, "systemd-network");
    wait_until("the router has its address", || lan.router.ip("-4 addr show dev br0").contains(ROUTER));
}

/// Kea in another network, and a relay on the LAN's router.
fn relayed(lan: &mut Lan) -> Netns {
    let beyond = Netns::new();
    let (router, name) = (&lan.router.name, &beyond.name);
    run(&[
        "ip", "link", "add", "up0", "netns", router, "type", "veth", "peer", "name", "eth0", "netns", name,
    ]);
    lan.router.ip("addr add 10.98.0.1/24 dev up0");
    lan.router.ip("link set up0 up");
    beyond.ip(&format!("addr add {BEYOND}/24 dev eth0"));
    beyond.ip("link set eth0 up");
    beyond.ip("route add 10.99.0.0/24 via 10.98.0.1");
    // Its namespace ends it.
    let mut command = beyond.command("env");
    drop(command.args(configure_kea(lan, "eth0")).stdout(Stdio::null()).spawn().expect("env is there"));
    await_server(&beyond, "kea");
    let pid = lan.file("relay.pid").display().to_string();
    lan.serve("dhcrelay", &["-4", "-d", "-pf", &pid, "-id", "br0", "-iu", "up0", BEYOND]);
    await_server(&lan.router, "dhcrelay");
    beyond
}

fn await_server(namespace: &Netns, name: &str) {
    wait_until(&format!("{name} listens"), || {
        namespace.run(&["ss", "-Hlnp", "--udp", "--packet", "--raw"]).contains(name)
    });
}
