//! A LAN: a bridge with a DHCP server and a router, machines on it, and one machine beyond the router.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    process::Stdio,
};

use crate::{
    netns::Netns,
    removal::{Folder, Removal, make},
    run::{run, unique, wait_until},
    subnet::Subnet,
};

/// The LAN's router and DHCP server.
pub const ROUTER: &str = "10.99.0.1";
/// A machine on the LAN.
pub const CLIENT: &str = "10.99.0.10";
/// A machine beyond the router.
pub const ROUTED_CLIENT: &str = "10.98.0.2";

/// The same in IPv6, where a LAN has it: `2001:db8:99::/64`.
pub const ROUTER6: &str = "2001:db8:99::1";
/// A machine on the LAN.
pub const CLIENT6: &str = "2001:db8:99::10";
/// A machine beyond the router.
pub const ROUTED_CLIENT6: &str = "2001:db8:98::2";

/// A LAN, in a network namespace.
pub struct Lan {
    // Dropped in this order.
    server: Option<Removal>,
    host_ports: Vec<Removal>,
    /// The router, with the bridge `br0`; DHCP servers run in here.
    pub router: Netns,
    subnet: Subnet,
    directory: Folder,
}

impl Lan {
    /// A LAN with dnsmasq, which leases for two minutes and does not check with a ping.
    pub fn new() -> Self {
        Self::with_dnsmasq(&["--dhcp-range=10.99.0.100,10.99.0.200,2m", "--no-ping", "--dhcp-authoritative"])
    }

    /// The same in a subnet of its own: for a host that has an address there.
    pub fn on_host() -> Self {
        let mut lan = Self::in_subnet(Subnet::claim());
        let range = format!("--dhcp-range={},{},2m", lan.at(100), lan.at(200));
        lan.serve_dnsmasq(&[&range, "--no-ping", "--dhcp-authoritative"]);
        lan
    }

    /// The same with IPv6, where a router announces a prefix.
    pub fn on_host_with_ipv6() -> Self {
        let mut lan = Self::in_subnet(Subnet::claim());
        lan.add_ipv6();
        let range = format!("--dhcp-range={},{},2m", lan.at(100), lan.at(200));
        let range6 = format!("--dhcp-range={},ra-only,64,10m", lan.at6(0));
        lan.serve_dnsmasq(&["--enable-ra", &range6, &range, "--no-ping"]);
        lan
    }

    /// An address of this LAN.
    pub const fn at(&self, host: u8) -> Ipv4Addr {
        self.subnet.at(host)
    }

    /// The same in IPv6.
    pub fn at6(&self, host: u16) -> Ipv6Addr {
        self.subnet.at6(host)
    }

    /// A LAN with dnsmasq and these options.
    pub fn with_dnsmasq(options: &[&str]) -> Self {
        let mut lan = Self::without_server();
        lan.serve_dnsmasq(options);
        lan
    }

    /// A LAN with IPv6 and dnsmasq with these options, which routes for both.
    pub fn with_ipv6(options: &[&str]) -> Self {
        let mut lan = Self::without_server();
        lan.add_ipv6();
        lan.serve_dnsmasq(options);
        lan
    }

    /// Gives the router its IPv6 address, and lets it route.
    pub fn add_ipv6(&self) {
        self.router.sysctl("net.ipv6.conf.all.forwarding=1");
        self.router.ip(&format!("addr add {}/64 dev br0 nodad", self.at6(1)));
        // A router speaks from its link-local address.
        wait_until("the router's addresses are checked", || {
            let shown = self.router.ip("-6 addr show dev br0");
            shown.contains("fe80:") && !shown.contains("tentative")
        });
    }

    fn serve_dnsmasq(&mut self, options: &[&str]) {
        let lan = self;
        let leases = format!("--dhcp-leasefile={}", lan.file("leases").display());
        let log = format!("--log-facility={}", lan.file("log").display());
        let fixed = [
            "--keep-in-foreground",
            "--port=0",
            "--interface=br0",
            "--bind-interfaces",
            "--except-interface=lo",
            "--conf-file=/dev/null",
            "--user=root",
            "--log-dhcp",
            "--pid-file=",
            &leases,
            &log,
        ];
        lan.serve("dnsmasq", &[&fixed[..], options].concat());
        let log = lan.file("log");
        wait_until("dnsmasq starts", || {
            let says = ["DHCP, IP range", "router advertisement on"];
            fs::read_to_string(&log).is_ok_and(|log| says.iter().any(|text| log.contains(text)))
        });
    }

    /// A LAN where nobody answers.
    pub fn without_server() -> Self {
        Self::in_subnet(Subnet::common())
    }

    fn in_subnet(subnet: Subnet) -> Self {
        let router = Netns::new();
        // Servers notice neither the address that a bridge takes from a new port, nor that it has its first one.
        router.ip("link add br0 address 02:00:00:00:99:01 type bridge");
        router.ip("link add port0 type veth peer name plug0");
        router.ip("link set port0 master br0 up");
        router.ip("link set plug0 up");
        router.ip(&format!("addr add {}/24 dev br0", subnet.at(1)));
        router.ip("link set br0 up");
        wait_until("the bridge runs", || router.ip("link show br0").contains("LOWER_UP"));
        router.sysctl("net.ipv4.ip_forward=1");
        Self { server: None, host_ports: Vec::new(), router, subnet, directory: Folder::new() }
    }

    /// A bridge and nothing else: whoever is on it brings the addresses.
    pub fn bare() -> Self {
        let lan = Self::without_server();
        lan.router.ip("addr flush dev br0");
        lan.router.sysctl("net.ipv4.ip_forward=0");
        lan
    }

    /// A file of this LAN's server.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Waits until the server has logged `text`.
    pub fn expect_log(&self, text: &str) {
        wait_until(&format!("the server logs {text:?}"), || self.log().contains(text));
    }

    /// Starts a server on the router.
    ///
    /// # Panics
    /// If it is not there.
    pub fn serve(&mut self, program: &str, options: &[&str]) {
        let mut command = self.router.command(program);
        let command = command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.server = Some(Removal::of_child(command.spawn().expect("nsenter is there")));
    }

    /// Stops the server.
    pub fn stop_server(&mut self) {
        self.server = None;
    }

    /// Puts `interface` of `namespace` on the LAN, down.
    pub fn plug(&self, namespace: &Netns, interface: &str) {
        let port = format!("p{}", unique());
        let (router, name) = (&self.router.name, &namespace.name);
        run(&[
            "ip", "link", "add", &port, "netns", router, "type", "veth", "peer", "name", interface, "netns",
            name,
        ]);
        self.router.ip(&format!("link set {port} master br0 up"));
    }

    /// An interface of the host on the LAN, up and without an address: what `landfall up` takes.
    pub fn host_port(&mut self) -> String {
        let (host, port, router) = (format!("lf{}", unique()), format!("p{}", unique()), &self.router.name);
        self.host_ports.push(Removal::by(&["ip", "link", "del", &host]));
        make(&["ip", "link", "add", &host, "type", "veth", "peer", "name", &port, "netns", router]);
        self.router.ip(&format!("link set {port} master br0 up"));
        run(&["sysctl", "-qw", &format!("net.ipv6.conf.{host}.disable_ipv6=1")]);
        run(&["ip", "link", "set", &host, "up"]);
        host
    }

    /// Gives the host an address on the LAN, over which it gets to nobody yet.
    pub fn give_host(&self, port: &str, host: u8) -> Ipv4Addr {
        let address = self.at(host);
        run(&["ip", "addr", "add", &format!("{address}/24"), "dev", port, "noprefixroute"]);
        address
    }

    /// The same in IPv6.
    pub fn give_host6(&self, port: &str, host: u16) -> Ipv6Addr {
        let address = self.at6(host);
        for setting in ["accept_ra", "disable_ipv6"] {
            run(&["sysctl", "-qw", &format!("net.ipv6.conf.{port}.{setting}=0")]);
        }
        run(&["ip", "addr", "add", &format!("{address}/64"), "dev", port, "nodad", "noprefixroute"]);
        address
    }

    /// A tap on a bridge of the router, for a virtual machine that runs in the router's namespace.
    pub fn tap(&self, bridge: &str) -> String {
        let tap = format!("t{}", unique());
        self.router.ip(&format!("tuntap add {tap} mode tap"));
        self.router.ip(&format!("link set {tap} master {bridge} up"));
        tap
    }

    /// A machine on the LAN.
    pub fn client(&self) -> Netns {
        self.machine(Netns::new())
    }

    fn machine(&self, client: Netns) -> Netns {
        self.plug(&client, "eth0");
        client.ip(&format!("addr add {}/24 dev eth0", self.at(10)));
        client.ip("link set eth0 up");
        client.ip(&format!("route add default via {}", self.at(1)));
        client
    }

    /// A machine on a LAN with IPv6.
    pub fn client6(&self) -> Netns {
        let client = Netns::new();
        // Before it is up, or what a router announces meanwhile stays.
        client.sysctl("net.ipv6.conf.default.accept_ra=0");
        let client = self.machine(client);
        client.ip(&format!("addr add {}/64 dev eth0 nodad", self.at6(0x10)));
        client.ip(&format!("route add default via {}", self.at6(1)));
        client
    }

    /// A machine beyond the router of a LAN with IPv6.
    pub fn routed_client6(&self) -> Netns {
        let client = self.routed_client();
        self.router.ip("addr add 2001:db8:98::1/64 dev wan0 nodad");
        client.sysctl("net.ipv6.conf.eth0.accept_ra=0");
        client.ip(&format!("addr add {ROUTED_CLIENT6}/64 dev eth0 nodad"));
        client.ip("route add default via 2001:db8:98::1");
        client
    }

    /// A machine on another bridge, whose router is somebody else.
    pub fn client_beyond(&self, bridge: &str) -> Netns {
        let (client, port) = (Netns::new(), format!("p{}", unique()));
        let (router, name) = (&self.router.name, &client.name);
        let link = format!("link add {port} netns {router} type veth peer name eth0 netns {name}");
        run(&["ip"].into_iter().chain(link.split(' ')).collect::<Vec<_>>());
        self.router.ip(&format!("link set {port} master {bridge} up"));
        client.ip(&format!("addr add {ROUTED_CLIENT}/24 dev eth0"));
        client.ip("link set eth0 up");
        client.ip("route add default via 10.98.0.1");
        client
    }

    /// A machine beyond the LAN's router.
    pub fn routed_client(&self) -> Netns {
        let client = Netns::new();
        let (router, name) = (&self.router.name, &client.name);
        run(&[
            "ip", "link", "add", "wan0", "netns", router, "type", "veth", "peer", "name", "eth0", "netns",
            name,
        ]);
        self.router.ip("addr add 10.98.0.1/24 dev wan0");
        self.router.ip("link set wan0 up");
        client.ip(&format!("addr add {ROUTED_CLIENT}/24 dev eth0"));
        client.ip("link set eth0 up");
        client.ip("route add default via 10.98.0.1");
        client
    }
}

impl Default for Lan {
    fn default() -> Self {
        Self::new()
    }
}
