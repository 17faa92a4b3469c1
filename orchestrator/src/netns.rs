//! Network namespaces, and work done inside of one. Refuses to know what they are for.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};

/// Of a thread, for others of its process may be elsewhere.
pub const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace, which exists at least as long as this.
#[derive(Debug)]
pub struct Netns(File);

/// Tells one network namespace from another, as device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(u64, u64);

impl Id {
    /// Which namespace the file stands for, such as `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self(metadata.dev(), metadata.ino()))
    }

    /// The namespace of this thread.
    ///
    /// # Errors
    /// If there is no `/proc`.
    pub fn own() -> io::Result<Self> {
        Self::of(Path::new(OWN))
    }
}

impl Netns {
    /// The namespace that the file stands for, such as `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// If there is no such file, or (`ErrorKind::Other`) it stands for nothing, as where the mounts of others are not seen.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let is_namespace = fstatfs(&file)?.filesystem_type() == NSFS_MAGIC;
        if is_namespace { Ok(Self(file)) } else { Err(io::Error::other("it is no namespace")) }
    }

    /// Which namespace this is.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn id(&self) -> io::Result<Id> {
        self.0.metadata().map(|metadata| Id(metadata.dev(), metadata.ino()))
    }

    /// Runs the closure inside, on a thread of its own. Sockets it opens and processes it starts stay there.
    ///
    /// # Errors
    /// Those of the closure, and if the kernel does not let us in.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_thread(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Netns {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A thread keeps the namespace that it entered, so each entry has a thread that ends.
///
/// # Errors
/// Those of the closure, and if there can be no thread.
pub fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The network namespaces that threads are in, each with the file that stands for it of the first one that is.
/// A thread that the kernel does not let us look at, or that has ended since, is in none: who removes something because nobody is there
/// has asked the engine before.
pub fn inhabited() -> BTreeMap<Id, PathBuf> {
    let mut found = BTreeMap::new();
    for process in numbered(Path::new("/proc")) {
        // A process whose first thread has ended goes on in the others.
        for thread in numbered(&process.join("task")) {
            let path = thread.join("ns/net");
            if let Ok(id) = Id::of(&path) {
                found.entry(id).or_insert(path);
            }
        }
    }
    found
}

/// What is called by a number in a directory, the lowest first.
fn numbered(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| directory.join(number.to_string())).collect()
}

/// A process, as far as it can be seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What its program is called.
    pub name: String,
    /// The id of the container that it is in.
    pub container: Option<String>,
}

impl Process {
    /// The one whose thread has `path` as its network namespace: `/proc/PID/task/TID/ns/net`.
    pub fn at(path: &Path) -> Self {
        let pid = path.components().nth(2).and_then(|pid| pid.as_os_str().to_str()?.parse().ok());
        let pid = pid.unwrap_or_default();
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        Self { pid, name: read("comm").trim_end().to_owned(), container: container_of(&read("cgroup")) }
    }
}

/// The id of the container whose control groups these are: all engines put its 64 digits into their path.
fn container_of(cgroups: &str) -> Option<String> {
    let is_id =
        |word: &&str| word.len() == 64 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    cgroups.split(|c: char| !c.is_ascii_alphanumeric()).rfind(is_id).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_its_control_groups() {
        let id = "0123456789abcdef".repeat(4);
        for cgroups in [
            format!("12:pids:/docker/{id}\n1:name=systemd:/docker/{id}\n"),
            format!("0::/system.slice/docker-{id}.scope\n"),
            format!("0::/machine.slice/libpod-{id}.scope/container\n"),
            format!("0::/docker/{}/docker/{id}\n", "f".repeat(64)),
        ] {
            assert_eq!(container_of(&cgroups).as_ref(), Some(&id), "{cgroups}");
        }
        assert_eq!(container_of("0::/user.slice/user-0.slice/session-1.scope\n"), None);
    }

    #[test]
    fn this_process_is_seen_where_it_is() {
        let path = &inhabited()[&Id::own().expect("/proc is there")];
        assert_ne!(Process::at(path).name, "");
    }

    #[test]
    fn a_file_that_is_no_namespace_is_not_taken_for_one() {
        assert!(Netns::open(Path::new(OWN)).is_ok());
        let error = Netns::open(Path::new("/proc/version")).expect_err("a file");
        assert_eq!(error.to_string(), "it is no namespace");
    }
}
