//! An agent in a network namespace, as its orchestrator sees it: a spec goes in, reports come out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use landfall_api::{Event, Ipv6, Lease, LostReason, Report};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    client::serve,
    lan::Lan,
    netns::Netns,
    run::{LIMIT, now, path},
};

/// The subnet behind the agent, where its target is.
pub const INSIDE: &str = "172.30.0.0/24";
/// The target.
pub const TARGET: &str = "172.30.0.2";

/// The same in IPv6.
pub const TARGET6: &str = "fd00:30::2";

/// The two that it has in a container, as `setpriv` has them.
const CAPABILITIES: &str = "-all,+net_admin,+net_raw";

/// An agent, with the two capabilities that it has in a container and no others.
pub struct Agent {
    /// Where it runs.
    pub namespace: Netns,
    process: Process,
}

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    log: Option<thread::JoinHandle<String>>,
}

impl Process {
    fn start(namespace: &Netns, program: &Path, capabilities: &str, state: Option<&Path>) -> Self {
        let mut command = namespace.command("setpriv");
        command.args([&format!("--bounding-set={capabilities}"), "--inh-caps=-all", "--no-new-privs"]);
        command.arg(program).env("LANDFALL_LOG", "debug");
        command.envs(state.map(|directory| ("LANDFALL_STATE", directory)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("setpriv is part of util-linux");
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let errors = child.stderr.take().expect("piped");
        let log = thread::spawn(move || std::io::read_to_string(errors).unwrap_or_default());
        let input = child.stdin.take();
        Self { child, input, lines, log: Some(log) }
    }

    fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Agent {
    /// An agent in a namespace that has neither uplink nor spec yet.
    pub fn new() -> Self {
        Self::within(Netns::new())
    }

    /// An agent in `namespace`.
    pub fn within(namespace: Netns) -> Self {
        Self::with_capabilities(namespace, CAPABILITIES)
    }

    /// An agent in `namespace` with these capabilities, as `setpriv` has them.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn with_capabilities(namespace: Netns, capabilities: &str) -> Self {
        Self::start(namespace, &path("LANDFALL_AGENT"), capabilities, None)
    }

    /// An agent in `namespace` that another build made.
    pub fn of_program(program: &Path, namespace: Netns) -> Self {
        Self::start(namespace, program, CAPABILITIES, None)
    }

    /// An agent in `namespace` that keeps its lease in a directory.
    pub fn with_state(namespace: Netns, directory: &Path) -> Self {
        Self::start(namespace, &path("LANDFALL_AGENT"), CAPABILITIES, Some(directory))
    }

    fn start(namespace: Netns, program: &Path, capabilities: &str, state: Option<&Path>) -> Self {
        namespace.sysctl("net.ipv4.ip_forward=1");
        namespace.sysctl("net.ipv4.ip_unprivileged_port_start=0");
        // As `landfall up` has it: all that routers say is the agent's business.
        for setting in ["default.accept_ra=0", "default.router_solicitation_delay=0", "all.forwarding=1"] {
            namespace.sysctl(&format!("net.ipv6.conf.{setting}"));
        }
        let process = Process::start(&namespace, program, capabilities, state);
        Self { namespace, process }
    }

    /// Another agent in place of this one, which is killed.
    pub fn kill_and_start(&mut self, state: &Path) {
        self.process.kill();
        self.process = Process::start(&self.namespace, &path("LANDFALL_AGENT"), CAPABILITIES, Some(state));
    }

    /// An agent whose uplink `lan0` is on `lan`, and that was told to forward.
    pub fn on(lan: &Lan, forward: &str) -> Self {
        let mut agent = Self::new();
        lan.plug(&agent.namespace, "lan0");
        agent.tell(&spec(forward));
        agent
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    /// If it does not read.
    pub fn tell(&mut self, text: &str) {
        let input = self.process.input.as_mut().expect("its input is open");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("the agent reads");
    }

    /// Reads no more of its reports: its pipe is closed, as if its orchestrator were gone.
    pub fn stop_reading(&mut self) {
        self.process.lines = channel().1;
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.process.input = None;
    }

    /// The next report that is not a repeated `searching`.
    ///
    /// # Panics
    /// If none comes in time, or the line is none.
    pub fn next(&self) -> Event {
        loop {
            match self.next_within(LIMIT).expect("a report in time") {
                Event::Searching(_) => {}
                event => return event,
            }
        }
    }

    /// The next report, if one comes in time.
    ///
    /// # Panics
    /// If the line is none.
    pub fn next_within(&self, limit: Duration) -> Option<Event> {
        match self.process.lines.recv_timeout(limit) {
            Ok(line) => {
                Some(Report::from_line(&line).unwrap_or_else(|error| panic!("{line}: {error}")).event)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the agent ended without the expected report"),
        }
    }

    /// Reads on until `pick` takes a report.
    ///
    /// # Panics
    /// If none does in time.
    pub fn expect<T>(&self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let since = now();
        loop {
            let left = LIMIT.saturating_sub(now().duration_since(since));
            let event = self.next_within(left).unwrap_or_else(|| panic!("no report in time: {what}"));
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    }

    /// Waits until it has an address and its forwards are in force.
    pub fn ready(&self) -> Lease {
        let (mut lease, mut is_forwarding) = (None, false);
        self.expect("leased and forwarding", |event| {
            match event {
                Event::Leased { lease: leased, .. } => lease = Some(leased),
                Event::Forwarding { .. } => is_forwarding = true,
                Event::Fatal { message } => panic!("the agent gave up: {message}"),
                _ => {}
            }
            lease.clone().filter(|_| is_forwarding)
        })
    }

    /// Waits for the next report of a lease, and passes over no other that comes after it.
    pub fn leased(&self) -> Lease {
        self.expect("leased", |event| match event {
            Event::Leased { lease, .. } => Some(lease),
            Event::Fatal { message } => panic!("the agent gave up: {message}"),
            _ => None,
        })
    }

    /// Waits until it has as many IPv6 addresses.
    pub fn ipv6(&self, addresses: usize) -> Ipv6 {
        self.expect("IPv6 addresses", |event| match event {
            Event::Ipv6(ipv6) => Some(ipv6).filter(|ipv6| ipv6.addresses.len() == addresses),
            Event::Fatal { message } => panic!("the agent gave up: {message}"),
            _ => None,
        })
    }

    /// Waits until its lease is lost.
    pub fn lost(&self) -> LostReason {
        self.expect("lost", |event| if let Event::Lost { reason, .. } = event { Some(reason) } else { None })
    }

    /// Waits until its lease is extended.
    pub fn renewed(&self) -> Lease {
        self.expect("renewed", |event| if let Event::Renewed { lease } = event { Some(lease) } else { None })
    }

    /// Waits for the report that new forwards are in force.
    pub fn forwarding(&self) {
        self.expect("forwarding", |event| matches!(event, Event::Forwarding { .. }).then_some(()));
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the agent runs");
    }

    /// Its process.
    ///
    /// # Panics
    /// Never: process numbers are small.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.child.id().try_into().expect("a process number"))
    }

    /// Waits until it ends: its exit code and its log.
    ///
    /// # Panics
    /// If a signal ended it.
    pub fn wait(&mut self) -> (i32, String) {
        let status = self.process.child.wait().expect("it was started");
        let log = self.process.log.take().map(|log| log.join().unwrap_or_default()).unwrap_or_default();
        (status.code().unwrap_or_else(|| panic!("ended by {status}; log:\n{log}")), log)
    }

    /// A target behind the agent, on a network that both share.
    pub fn target(&self) -> Netns {
        let target = Netns::new();
        self.namespace.connect("eth0", &target, "eth0");
        self.namespace.ip("addr add 172.30.0.1/24 dev eth0");
        self.namespace.ip("link set eth0 up");
        target.ip(&format!("addr add {TARGET}/24 dev eth0"));
        target.ip("link set eth0 up");
        // What Docker would give it; the agent's masquerading makes it needless for forwarded traffic.
        target.ip("route add default via 172.30.0.1");
        self.namespace.ip("addr add fd00:30::1/64 dev eth0 nodad");
        target.ip(&format!("addr add {TARGET6}/64 dev eth0 nodad"));
        target
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// A LAN, an agent on it that forwards, its target, and where it is reached.
pub struct Scene {
    /// The LAN.
    pub lan: Lan,
    /// The agent.
    pub agent: Agent,
    /// The target.
    pub target: Netns,
    /// The agent's address on the LAN.
    pub address: Ipv4Addr,
}

impl Scene {
    /// With these forwards to a target that serves on these ports.
    pub fn new(forwards: &str, services: &str) -> Self {
        let lan = Lan::new();
        let agent = Agent::on(&lan, forwards);
        let target = agent.target();
        serve(&target, services);
        let address = address(&agent.ready());
        Self { lan, agent, target, address }
    }

    /// A public port.
    pub fn port(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, port)
    }

    /// The agent's rules, as nft shows them.
    pub fn ruleset(&self) -> String {
        self.agent.namespace.run(&["nft", "list", "ruleset"])
    }
}

/// A spec for `lan0` with these forwards, ended.
pub fn spec(forward: &str) -> String {
    format!(
        "version: 1\ninterface: lan0\naddress: {{dhcp: {{hostname: tested}}}}\nforward:\n{forward}\n...\n"
    )
}

/// One forward of a spec.
pub fn forward(protocol: &str, port: &str, to: &str) -> String {
    format!("  - {{protocol: {protocol}, port: {port}, to: \"{to}\"}}\n")
}

/// A spec for `lan0` in these address families, with these forwards, ended.
pub fn spec_for(family: &str, forward: &str) -> String {
    spec(forward).replacen("interface:", &format!("family: {family}\ninterface:"), 1)
}

/// One forward of a spec that leads somewhere over IPv6, too.
pub fn forward6(protocol: &str, port: &str, to: &str, to6: &str) -> String {
    format!("  - {{protocol: {protocol}, port: {port}, to: \"{to}\", to6: \"{to6}\"}}\n")
}

/// The address of a lease.
pub fn address(lease: &Lease) -> Ipv4Addr {
    lease.address.addr()
}
