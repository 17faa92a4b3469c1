//! A machine: boots, runs commands, is rebooted and loses its power.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    accelerator::Accelerator,
    agent::Agent,
    artefacts,
    built::{Built, ENVIRONMENT},
    image::{Image, fingerprint},
    monitor::Monitor,
    process::Process,
    qemu::Hardware,
    release::Release,
    shell,
};
use crate::{
    lan::Lan,
    landfall::{Ran, patient},
    removal::Folder,
    run::{now, path, unique},
};

/// Longer than a machine takes from power-on to Docker, emulated on a loaded host.
const BOOT: Duration = Duration::from_mins(3);
/// Longer than a command takes in there.
const COMMAND: Duration = Duration::from_mins(2);

/// A running machine with Docker.
#[derive(Debug)]
pub struct Machine {
    /// Its host name.
    pub name: String,
    /// Qemu's monitor.
    pub monitor: Monitor,
    agent: Agent,
    process: Process,
    slowness: u32,
    folder: PathBuf,
    _built: Built,
    sockets: Folder,
}

impl Machine {
    /// Boots a machine with a card on each of these bridges of a LAN's router, and waits for its Docker.
    ///
    /// # Panics
    /// If it does not boot; what it said is in a folder that the message names.
    pub fn boot(name: &str, release: Release, lan: &Lan, bridges: &[&str]) -> Self {
        let folder = path("LANDFALL_VM_RUNS").join(format!("{name}-{}", unique()));
        let booted = Self::start(name, release, (lan, bridges), folder.clone());
        let mut machine = booted.unwrap_or_else(|error| panic!("{error:#}; see {}", folder.display()));
        machine.wait_for_docker("");
        machine
    }

    fn start(name: &str, release: Release, wires: (&Lan, &[&str]), folder: PathBuf) -> Result<Self> {
        let (image, built) = (Image::of(release)?, Built::new()?);
        fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let sockets = Folder::new();
        let taps: Vec<String> = wires.1.iter().map(|bridge| wires.0.tap(bridge)).collect();
        let id = fingerprint(sockets.path().as_os_str().as_encoded_bytes());
        let hardware = Hardware {
            name,
            id: &id,
            accelerator: Accelerator::that_works(&image.kernel),
            image: &image,
            built: &built.disk,
            taps: &taps,
            folder: &folder,
            sockets: sockets.path(),
        };
        let mut command = wires.0.router.command("setpriv");
        command.args(["--pdeathsig", "SIGKILL", "qemu-system-x86_64"]).args(hardware.arguments());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join("qemu.log"))?);
        let process = Process::start(command).context("start qemu; `make deps` installs it")?;
        let is_listening = || hardware.monitor().exists() && hardware.agent().exists();
        let since = now();
        while process.is_running() && !is_listening() && now().duration_since(since) < BOOT {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let monitor = Monitor::connect(&hardware.monitor())?;
        let agent = Agent::connect(&hardware.agent())?;
        let slowness = hardware.accelerator.slowness();
        let name = name.to_owned();
        Ok(Self { name, monitor, agent, process, slowness, folder, _built: built, sockets })
    }

    /// Runs a command, whatever comes of it.
    ///
    /// # Panics
    /// If the machine does not answer.
    pub fn output(&mut self, line: &[&str]) -> Ran {
        self.output_within(COMMAND, line)
    }

    /// The same for a command that may take long.
    ///
    /// # Panics
    /// If the machine does not answer, or the command does not end in time.
    pub fn output_within(&mut self, limit: Duration, line: &[&str]) -> Ran {
        let variables: Vec<String> = ENVIRONMENT
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .chain([format!("LANDFALL_TEST_SLOWNESS={}", self.slowness)])
            .chain([
                "RUST_TEST_THREADS=6".to_owned(),
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/built/dist".to_owned(),
                "HOME=/root".to_owned(),
            ])
            .collect();
        self.agent.run(line, &variables, limit).unwrap_or_else(|error| panic!("{}: {error:#}", self.name))
    }

    /// Runs a command and gives its standard output.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&mut self, line: &[&str]) -> String {
        let ran = self.output(line);
        assert_eq!(ran.code, Some(0), "{}: {line:?} failed: {}{}", self.name, ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs `landfall`.
    pub fn landfall(&mut self, arguments: &[&str]) -> Ran {
        let line = patient(arguments, self.slowness);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        self.output(&[&["/built/dist/landfall"], &line[..]].concat())
    }

    /// Loads the image of the web server.
    pub fn load_web(&mut self) {
        self.run(&["docker", "load", "--quiet", "--input", "/built/test-images/landfall-test-web.tar.gz"]);
    }

    /// Waits until a shell command in the machine succeeds.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn wait_until(&mut self, what: &str, test: &str) {
        let since = now();
        while self.output(&["sh", "-c", test]).code != Some(0) {
            assert!(now().duration_since(since) < COMMAND, "{}: waited in vain: {what}", self.name);
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Reboots it in an orderly way, and waits for its Docker.
    pub fn reboot(&mut self) {
        let before = self.boot_id();
        self.run(&["systemctl", "--no-block", "reboot"]);
        self.wait_for_docker(&before);
    }

    /// Takes its power away and gives it back, and waits for its Docker.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn cut_power(&mut self) {
        let before = self.boot_id();
        self.monitor.reset().expect("qemu resets its machine");
        self.wait_for_docker(&before);
    }

    /// Leaves it to a person, until that one has seen enough. Without a terminal that is when the machine is powered off.
    fn keep(&mut self) {
        let socket = self.sockets.path().join("shell");
        if shell::attach(&self.name, &socket).is_err() {
            let said =
                format!("{} stays until it is powered off; its shell: {}\n", self.name, socket.display());
            drop(io::stderr().write_all(said.as_bytes()));
            self.process.wait();
        }
    }

    fn boot_id(&mut self) -> String {
        self.run(&["cat", "/proc/sys/kernel/random/boot_id"])
    }

    /// Waits until it has booted, not as `before`, and its Docker answers.
    fn wait_for_docker(&mut self, before: &str) {
        let since = now();
        while !self.has_booted(before) {
            assert!(self.process.is_running(), "{}: qemu ended", self.name);
            assert!(now().duration_since(since) < BOOT, "{} did not boot in {BOOT:?}", self.name);
        }
        self.wait_until("Docker answers", "docker version");
        self.wait_until("what was built is mounted", "test -x /built/dist/landfall");
    }

    fn has_booted(&mut self, before: &str) -> bool {
        let boot_id = &["cat", "/proc/sys/kernel/random/boot_id"];
        self.agent.is_there(Duration::from_secs(1))
            && self.agent.run(boot_id, &[], COMMAND).is_ok_and(|ran| ran.stdout != before)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if shell::is_wanted() && self.process.is_running() {
            self.keep();
        }
        if std::thread::panicking() {
            artefacts::collect(&mut self.agent, &self.folder);
        } else {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}
