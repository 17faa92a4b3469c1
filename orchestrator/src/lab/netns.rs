//! Named network namespaces, as `ip netns` makes and lists them, and work done inside of one.
//! Refuses to know what they are for.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    thread,
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};

/// Where `ip netns` looks.
const DIRECTORY: &str = "/run/netns";
/// Of a thread, for others of its process may be elsewhere.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace, which exists at least as long as this.
#[derive(Debug)]
pub struct Netns(File);

/// Tells one network namespace from another, as device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(u64, u64);

impl Id {
    /// Which namespace the file stands for, such as `/proc/PID/ns/net`.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self(metadata.dev(), metadata.ino()))
    }

    /// The namespace of this thread.
    pub fn own() -> io::Result<Self> {
        Self::of(Path::new(OWN))
    }
}

impl Netns {
    /// The namespace of that name; `None` if there is none, or a name without a namespace.
    pub fn open(name: &str) -> io::Result<Option<Self>> {
        let file = match File::open(path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let is_namespace = fstatfs(&file)?.filesystem_type() == NSFS_MAGIC;
        Ok(is_namespace.then_some(Self(file)))
    }

    /// Makes a namespace of that name, under the [`lock`]. After a failure there may be the name alone: [`delete`] it.
    pub fn create(name: &str) -> io::Result<Self> {
        let path = path(name);
        share_directory()?;
        OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            bind(Path::new(OWN), &path, MsFlags::MS_BIND)?;
            File::open(OWN).map(Self)
        })
    }

    /// Which namespace this is.
    pub fn id(&self) -> io::Result<Id> {
        self.0.metadata().map(|metadata| Id(metadata.dev(), metadata.ino()))
    }

    /// Runs the closure inside, on a thread of its own. Sockets it opens and processes it starts stay there.
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

/// Takes the name away, and the namespace with it if nothing else holds it. Says whether there was one.
pub fn delete(name: &str) -> io::Result<bool> {
    let path = path(name);
    // Two programs that mounted at once left one mount on top of the other.
    while unmount(&path)? {}
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        result => result.map(|()| true),
    }
}

/// Waits until no other program makes or removes namespaces, `ip netns add` among them; holds for as long as the file.
pub fn lock() -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o755).create(DIRECTORY)?;
    let directory = File::open(DIRECTORY)?;
    directory.lock()?;
    Ok(directory)
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn unmount(path: &Path) -> io::Result<bool> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Mounts in the directory are to reach other mount namespaces, and so are unmounts: a copy that stayed behind in one
/// would keep the network namespace alive. Only a mount can be shared, so the directory becomes one.
fn share_directory() -> io::Result<()> {
    let (directory, nothing) = (Path::new(DIRECTORY), Path::new(""));
    let shared = MsFlags::MS_SHARED | MsFlags::MS_REC;
    match bind(nothing, directory, shared) {
        Err(Errno::EINVAL) => {
            bind(directory, directory, MsFlags::MS_BIND | MsFlags::MS_REC)?;
            Ok(bind(nothing, directory, shared)?)
        }
        result => Ok(result?),
    }
}

fn bind(source: &Path, target: &Path, flags: MsFlags) -> nix::Result<()> {
    mount(Some(source), target, None::<&str>, flags, None::<&str>)
}

/// A thread keeps the namespace that it entered, so each entry has a thread that ends.
fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
