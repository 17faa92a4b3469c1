//! Five hundred clients: as many network namespaces, each with a macvlan of one uplink, as landfall makes them.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
};

use landfall_tests::{
    lan::Lan,
    netns::Netns,
    run::{path, run},
};

/// How many there are.
pub const CLIENTS: usize = 500;

const SPEC: &str = "version: 1\ninterface: lan0\naddress: {dhcp: {conflict_detection: off}}\n...\n";

/// A client: its name, its command line, and what it reads.
#[derive(Clone, Debug)]
pub struct Program {
    /// As the table calls it.
    pub name: &'static str,
    line: Vec<String>,
    input: &'static str,
}

/// Ours, and two that need no namespace of mounts each. Their scripts do nothing, so that they set no address.
pub fn programs() -> [Program; 3] {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    [
        Program {
            name: "landfall-agent",
            line: vec![path("LANDFALL_AGENT").display().to_string()],
            input: SPEC,
        },
        Program { name: "udhcpc", line: words("udhcpc -f -i lan0 -s /bin/true"), input: "" },
        Program {
            name: "dhclient",
            line: words("dhclient -4 -d -cf /dev/null -sf /bin/true -lf /dev/null -pf /dev/null lan0"),
            input: "",
        },
    ]
}

/// The places for the clients.
pub struct Crowd {
    /// Has the uplink.
    _host: Netns,
    namespaces: Vec<Netns>,
}

/// Clients at work; they end with it.
pub struct Running<'a> {
    crowd: &'a Crowd,
    children: Vec<Child>,
}

impl Crowd {
    /// Places on a LAN.
    pub fn on(lan: &Lan) -> Self {
        let host = Netns::new();
        lan.plug(&host, "uplink");
        host.ip("link set uplink up");
        let place = |_| {
            let namespace = Netns::new();
            let (host, name) = (&host.name, &namespace.name);
            run(&[
                "ip", "-n", host, "link", "add", "lan0", "link", "uplink", "netns", name, "type", "macvlan",
                "mode", "bridge",
            ]);
            namespace.ip("link set lan0 up");
            namespace
        };
        let namespaces = (0..CLIENTS).map(place).collect();
        Self { _host: host, namespaces }
    }

    /// Starts a client in each, as fast as processes start.
    ///
    /// # Panics
    /// If it is not there.
    pub fn start(&self, program: &Program) -> Running<'_> {
        let start = |namespace: &Netns| {
            let mut child = namespace.within(|| {
                let mut command = Command::new(&program.line[0]);
                command
                    .args(&program.line[1..])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                command.spawn().expect("`make clients` installs it")
            });
            // One that reads nothing may be gone already.
            drop(child.stdin.as_mut().expect("piped").write_all(program.input.as_bytes()));
            child
        };
        Running { crowd: self, children: self.namespaces.iter().map(start).collect() }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.kill());
            drop(child.wait());
        }
        // What was leased is no part of the next round.
        for namespace in &self.crowd.namespaces {
            namespace.ip("addr flush dev lan0");
        }
    }
}
