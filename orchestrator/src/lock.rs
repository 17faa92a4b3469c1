//! One landfall at a time for each target.
//!
//! All share one file and lock a byte of it each, so that nothing is left behind for a target; the kernel lets go of a lock
//! when its process ends, however it ends.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};
use sha2::{Digest as _, Sha256};

use crate::error::Error;

const PATH: &str = "/run/landfall.lock";

/// The right to change a target's network container, for as long as it is kept.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What came of trying.
pub enum Attempt {
    /// It is ours.
    Locked(Lock),
    /// Another landfall has it; this waits for it, on a thread.
    Busy(Waiting),
}

/// A lock that another landfall has.
pub struct Waiting {
    file: File,
    offset: i64,
}

/// Tries to lock `target`.
///
/// # Errors
/// If the file cannot be opened or locked.
pub fn lock(target: &str) -> Result<Attempt, Error> {
    let failed = |source| Error::Lock { path: PATH, source };
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(PATH);
    let file = open.map_err(failed)?;
    let offset = offset(target);
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte(offset))) {
        Ok(_) => Ok(Attempt::Locked(Lock { _file: file })),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(Attempt::Busy(Waiting { file, offset })),
        Err(errno) => Err(failed(errno.into())),
    }
}

impl Waiting {
    /// Waits until it is ours. Dropping this leaves a thread that waits on.
    ///
    /// # Errors
    /// If it cannot be locked.
    pub async fn wait(self) -> Result<Lock, Error> {
        let Self { file, offset } = self;
        let locked = tokio::task::spawn_blocking(move || {
            fcntl(&file, FcntlArg::F_OFD_SETLKW(&byte(offset))).map(|_| Lock { _file: file })
        });
        let locked =
            locked.await.map_err(io::Error::other).and_then(|locked| locked.map_err(io::Error::from));
        locked.map_err(|source| Error::Lock { path: PATH, source })
    }
}

/// The target's byte.
fn offset(target: &str) -> i64 {
    let digest = Sha256::digest(target);
    let mut octets = [0; 8];
    octets.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(octets) & (i64::MAX >> 1)
}

#[expect(clippy::cast_possible_truncation, reason = "libc gives its small constants as larger numbers")]
fn byte(offset: i64) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset,
        l_len: 1,
        l_pid: 0,
    }
}
