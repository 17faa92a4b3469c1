//! Named network namespaces, as `ip netns` makes and lists them. Refuses to know what they are for.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use crate::netns::{Netns, OWN, on_thread};

/// Where `ip netns` looks.
const DIRECTORY: &str = "/run/netns";

/// The namespace of that name; `None` if there is none, or a name without a namespace.
pub fn open(name: &str) -> io::Result<Option<Netns>> {
    match Netns::open(&path(name)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Other) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Makes a namespace of that name, under the [`lock`]. After a failure there may be the name alone: [`delete`] it.
pub fn create(name: &str) -> io::Result<Netns> {
    let path = path(name);
    share_directory()?;
    OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    on_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        bind(Path::new(OWN), &path, MsFlags::MS_BIND)?;
        Netns::open(Path::new(OWN))
    })
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
