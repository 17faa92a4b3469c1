//! Removes what a test made outside of its process: when the test is over, and when SIGTERM, SIGINT or SIGHUP ends it.
//!
//! nextest sends these to the process group of a test: after a timeout, and when the run is interrupted.

use std::{
    collections::BTreeMap,
    fmt, fs,
    fs::Permissions,
    io,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};

/// How long a command that makes or removes something may take after the signal. nextest kills the process after 30 s.
const PATIENCE: Duration = Duration::from_secs(10);

static STATE: Mutex<State> = Mutex::new(State {
    next: 0,
    removals: BTreeMap::new(),
    busy: 0,
    is_watched: false,
    is_terminated: false,
});
/// Notified when `busy` becomes smaller.
static LESS_BUSY: Condvar = Condvar::new();

struct State {
    next: u64,
    removals: BTreeMap<u64, Box<dyn FnOnce() + Send>>,
    /// How many threads make or remove something.
    busy: usize,
    is_watched: bool,
    is_terminated: bool,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a closure once: when this is dropped or, latest first, when a signal terminates the process.
pub struct Removal {
    number: u64,
}

impl Removal {
    /// Make it before the thing that `remove` removes. The closure starts its commands with `remove`, which no signal ends.
    pub fn new(remove: impl FnOnce() + Send + 'static) -> Self {
        let mut state = state();
        if !state.is_watched {
            let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).expect("they may be handled");
            thread::spawn(move || signals.forever().for_each(terminate));
            state.is_watched = true;
        }
        let number = state.next;
        state.next += 1;
        state.removals.insert(number, Box::new(remove));
        Self { number }
    }

    /// Kills a child.
    pub fn of_child(mut child: Child) -> Self {
        Self::new(move || {
            drop(child.kill());
            drop(child.wait());
        })
    }

    /// Runs a command that removes something, whatever comes of it.
    pub fn by(line: &[&str]) -> Self {
        let line: Vec<String> = line.iter().map(ToString::to_string).collect();
        Self::new(move || {
            remove(&line.iter().map(String::as_str).collect::<Vec<_>>());
        })
    }
}

impl fmt::Debug for Removal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Removal").finish_non_exhaustive()
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        let _busy = Busy::new();
        let removal = state().removals.remove(&self.number);
        if let Some(remove) = removal {
            remove();
        }
    }
}

/// Removes everything, and ends the process.
fn terminate(signal: i32) {
    let mut state = state();
    state.is_terminated = true;
    // A container that the engine is still making cannot be removed yet.
    let waited = LESS_BUSY.wait_timeout_while(state, PATIENCE, |state| state.busy > 0);
    let removals = std::mem::take(&mut waited.unwrap_or_else(PoisonError::into_inner).0.removals);
    for remove in removals.into_values().rev() {
        remove();
    }
    low_level::exit(128 + signal);
}

/// While it exists, a signal does not start the removal. Not within another one.
pub(crate) struct Busy;

impl Busy {
    /// Does not return after a signal: nothing new is made then.
    pub(crate) fn new() -> Self {
        let state = LESS_BUSY.wait_while(state(), |state| state.is_terminated);
        state.unwrap_or_else(PoisonError::into_inner).busy += 1;
        Self
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        state().busy -= 1;
        LESS_BUSY.notify_all();
    }
}

/// Runs a command that makes something outside of the process, as `run::run` does. It ends before the removal begins.
///
/// # Panics
/// If it fails.
pub fn make(line: &[&str]) {
    let made = {
        let _busy = Busy::new();
        output(line)
    };
    let made =
        made.unwrap_or_else(|error| panic!("cannot run {}: {error}; `make deps` installs it", line[0]));
    assert!(made.status.success(), "{line:?} failed: {}", String::from_utf8_lossy(&made.stderr));
}

/// Runs a command that removes something, whatever comes of it; gives its standard output.
pub fn remove(line: &[&str]) -> String {
    output(line).map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// In a process group of its own, which does not get the signal.
fn output(line: &[&str]) -> io::Result<Output> {
    Command::new(line[0]).args(&line[1..]).stdin(Stdio::null()).process_group(0).output()
}

/// A temporary folder, which everybody may look into.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _removal: Removal,
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// An empty one.
    ///
    /// # Panics
    /// If there is no room for it.
    pub fn new() -> Self {
        let _busy = Busy::new();
        let mut builder = tempfile::Builder::new();
        builder.prefix("landfall-test-").permissions(Permissions::from_mode(0o755)).disable_cleanup(true);
        let path = builder.tempdir().expect("a folder").keep();
        let made = path.clone();
        let removal = Removal::new(move || drop(fs::remove_dir_all(made)));
        Self { path, _removal: removal }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
