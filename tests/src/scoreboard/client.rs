//! The clients, each as its distribution packages it, with the functions on that a case is about.

use std::{
    fmt, fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    netns::Netns,
    run::{output, path, run},
};

/// The interface that they lease for.
pub const UPLINK: &str = "lan0";

/// The version that `fixtures/mozim` depends on.
const MOZIM_VERSION: &str = "0.3.4";

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Ours.
    Landfall,
    /// Busybox.
    Udhcpc,
    /// ISC.
    Dhclient,
    /// Roy Marples'.
    Dhcpcd,
    /// systemd's.
    Networkd,
    /// The library of netavark's DHCP proxy, in a program of ours.
    Mozim,
}

/// All of them, in the order of the table.
pub const ALL: [Client; 6] =
    [Client::Landfall, Client::Udhcpc, Client::Dhclient, Client::Dhcpcd, Client::Networkd, Client::Mozim];

/// What a case wants of a client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Whether it looks for conflicts, which takes time.
    pub conflict_detection: bool,
    /// Whether it may lease from a server without option 54.
    pub nameless_servers: bool,
}

/// A client that runs, or was killed.
pub struct Running<'a> {
    client: Client,
    namespace: &'a Netns,
    child: Child,
}

impl fmt::Display for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Landfall => "landfall-agent",
            Self::Udhcpc => "udhcpc",
            Self::Dhclient => "dhclient",
            Self::Dhcpcd => "dhcpcd",
            Self::Networkd => "networkd",
            Self::Mozim => "mozim",
        })
    }
}

impl Client {
    /// Starts it in a namespace; what it keeps from one start to the next is in `state`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start<'a>(self, settings: Settings, namespace: &'a Netns, state: &Path) -> Running<'a> {
        let child = self.spawn(settings, namespace, state);
        Running { client: self, namespace, child }
    }

    fn spawn(self, settings: Settings, namespace: &Netns, state: &Path) -> Child {
        let mut command = match self {
            Self::Landfall => landfall(namespace, state),
            Self::Udhcpc | Self::Dhclient | Self::Dhcpcd | Self::Networkd | Self::Mozim => {
                packaged(self, settings, namespace, state)
            }
        };
        command.stdin(Stdio::piped()).stdout(log(state, "stdout")).stderr(log(state, "stderr"));
        let mut child = command.spawn().expect("util-linux is there");
        if self == Self::Landfall {
            let input = child.stdin.as_mut().expect("piped");
            input.write_all(spec(settings).as_bytes()).and_then(|()| input.flush()).expect("the agent reads");
        }
        child
    }

    /// The package's version, or ours.
    pub fn version(self) -> String {
        let package = match self {
            Self::Landfall => return env!("CARGO_PKG_VERSION").to_owned(),
            Self::Mozim => return MOZIM_VERSION.to_owned(),
            Self::Udhcpc => "udhcpc",
            Self::Dhclient => "isc-dhcp-client",
            Self::Dhcpcd => "dhcpcd-base",
            Self::Networkd => "systemd",
        };
        run(&["dpkg-query", "--show", "--showformat=${Version}", package])
    }

    /// What asks it to give its lease back.
    fn release_signal(self) -> Signal {
        match self {
            Self::Landfall | Self::Networkd | Self::Dhclient | Self::Mozim => Signal::SIGTERM,
            Self::Udhcpc => Signal::SIGUSR2,
            Self::Dhcpcd => Signal::SIGALRM,
        }
    }
}

impl Running<'_> {
    /// Asks it to give its lease back.
    pub fn release(&self, state: &Path) {
        if self.client == Client::Dhclient {
            // It has no signal for that: a second one tells the first to end, and speaks in its place.
            drop(
                packaged(self.client, Settings::default(), self.namespace, state)
                    .arg("-r")
                    .stdin(Stdio::null())
                    .output(),
            );
        } else {
            let pid = Pid::from_raw(self.child.id().try_into().expect("a process number"));
            let _ = kill(pid, self.client.release_signal());
        }
    }

    /// Starts it again, after it was killed.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn restart(&mut self, settings: Settings, state: &Path) {
        self.child = self.client.spawn(settings, self.namespace, state);
    }

    /// Kills it and whatever it started.
    pub fn kill(&mut self) {
        let pids = output(&["ip", "netns", "pids", &self.namespace.name]);
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace().filter_map(|pid| pid.parse().ok())
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        drop(self.child.wait());
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

fn landfall(namespace: &Netns, state: &Path) -> Command {
    namespace.sysctl("net.ipv4.ip_unprivileged_port_start=0");
    let mut command = namespace.command("setpriv");
    command.args(["--bounding-set=-all,+net_admin,+net_raw", "--inh-caps=-all", "--no-new-privs"]);
    command.arg(path("LANDFALL_AGENT")).env("LANDFALL_LOG", "debug").env("LANDFALL_STATE", state);
    command
}

fn spec(settings: Settings) -> String {
    let detection = if settings.conflict_detection { "fast" } else { "off" };
    format!(
        "version: 1\ninterface: {UPLINK}\naddress: {{dhcp: {{conflict_detection: {detection}}}}}\nforward: []\n...\n"
    )
}

/// Runs a fixture, which gives the client private places to write to and then becomes it.
fn packaged(client: Client, settings: Settings, namespace: &Netns, state: &Path) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/clients").join(client.to_string());
    let on = |is_on| if is_on { "on" } else { "off" };
    let mut command = namespace.command("unshare");
    command.args(["--mount", "--uts", "--propagation=private"]).arg(script);
    command
        .env("UPLINK", UPLINK)
        .env("STATE", state)
        .env("CONFLICT_DETECTION", on(settings.conflict_detection));
    command.env("NAMELESS_SERVERS", on(settings.nameless_servers));
    command
}

fn log(state: &Path, name: &str) -> Stdio {
    let file = fs::OpenOptions::new().append(true).create(true).open(state.join(name));
    file.expect("the directory is there").into()
}
