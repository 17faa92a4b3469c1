//! Network namespaces that go away with the test.

use std::{fs::File, path::PathBuf, process::Command, thread};

use nix::sched::{CloneFlags, setns};

use crate::{
    removal::{Removal, make, remove},
    run::{run, unique},
};

/// A network namespace of its own.
#[derive(Debug)]
pub struct Netns {
    /// As `ip netns` calls it.
    pub name: String,
    _removal: Removal,
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Netns {
    /// A namespace with nothing but a loopback.
    pub fn new() -> Self {
        let namespace = Self::made(&["add"]);
        namespace.ip("link set lo up");
        namespace
    }

    /// That of a process, which ends with this.
    pub fn attach(pid: &str) -> Self {
        Self::made(&["attach", pid])
    }

    /// The name stands behind the verb.
    fn made(how: &[&str]) -> Self {
        let name = format!("lft-{}", unique());
        let made = name.clone();
        let removal = Removal::new(move || {
            for pid in remove(&["ip", "netns", "pids", &made]).split_whitespace() {
                remove(&["kill", "-9", pid]);
            }
            remove(&["ip", "netns", "del", &made]);
        });
        make(&[&["ip", "netns", how[0], &name], &how[1..]].concat());
        Self { name, _removal: removal }
    }

    /// Runs `ip` in here.
    pub fn ip(&self, words: &str) -> String {
        let line: Vec<&str> = ["ip", "-n", &self.name].into_iter().chain(words.split_whitespace()).collect();
        run(&line)
    }

    /// A pair of interfaces: `near` in here, `far` in the other one.
    pub fn connect(&self, near: &str, other: &Self, far: &str) {
        let (here, there) = (&*self.name, &*other.name);
        run(&["ip", "link", "add", near, "netns", here, "type", "veth", "peer", "name", far, "netns", there]);
    }

    /// Runs a command in here and gives its standard output.
    pub fn run(&self, line: &[&str]) -> String {
        let net = self.flag();
        run(&[&["nsenter", &net], line].concat())
    }

    /// What tells `nsenter`. Not `ip netns exec`: that copies the host's mounts, and where they are private the copy
    /// keeps the namespaces of containers that are gone, for as long as the command runs.
    fn flag(&self) -> String {
        format!("--net=/run/netns/{}", self.name)
    }

    /// Sets a sysctl in here.
    pub fn sysctl(&self, setting: &str) {
        self.run(&["sysctl", "-qw", setting]);
    }

    /// A command that will run in here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&*self.flag(), program]);
        command
    }

    /// Does `work` in here, on a thread of its own; sockets that it makes stay in here.
    ///
    /// # Panics
    /// If `work` does, or the namespace cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = PathBuf::from("/run/netns").join(&self.name);
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(path).expect("the namespace is there");
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
