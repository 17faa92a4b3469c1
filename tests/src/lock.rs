//! Locks between tests, which are processes of their own.

use std::{fs::File, path::Path};

use nix::fcntl::{Flock, FlockArg};

/// A lock, which is given back when this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Waits until nobody else has the lock of that name.
    ///
    /// # Panics
    /// If `/run` takes no file.
    pub fn of(name: &str) -> Self {
        let path = Path::new("/run").join(format!("landfall-test-{name}.lock"));
        let file = File::create(path).expect("root may write to /run");
        let locked = Flock::lock(file, FlockArg::LockExclusive);
        Self { _file: locked.map_err(|(_, error)| error).expect("a file that can be locked") }
    }
}
