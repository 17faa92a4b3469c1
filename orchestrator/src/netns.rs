//! Network namespaces, and work done inside of one. Refuses to know what they are for.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::fs::MetadataExt,
    },
    path::Path,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_namespace_is_not_taken_for_one() {
        assert!(Netns::open(Path::new(OWN)).is_ok());
        let error = Netns::open(Path::new("/proc/version")).expect_err("a file");
        assert_eq!(error.to_string(), "it is no namespace");
    }
}
