//! Runs commands, and waits for conditions with a limit.

use std::{
    env, io,
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Longer than anything here takes on a loaded machine: only a test that fails waits so long.
pub const LIMIT: Duration = Duration::from_mins(1);

/// How many times longer things take here than on a processor of their own: an emulated machine is told so.
pub fn slowness() -> u32 {
    env::var("LANDFALL_TEST_SLOWNESS").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// A short name that nothing else has: two runs at once never meet.
pub fn unique() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("{:x}x{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Runs a command and gives its standard output.
///
/// # Panics
/// If it fails: a test cannot go on without what it does.
pub fn run(line: &[&str]) -> String {
    let output = output(line);
    assert!(output.status.success(), "{line:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command, whatever comes of it.
///
/// # Panics
/// If it is not there.
pub fn output(line: &[&str]) -> Output {
    let run = Command::new(line[0]).args(&line[1..]).output();
    run.unwrap_or_else(|error| {
        panic!("cannot run {}: {error}; `make deps` installs what the tests need", line[0])
    })
}

/// The value of an environment variable that names a file.
///
/// # Panics
/// If it is not set: the Makefile sets it.
pub fn path(variable: &str) -> PathBuf {
    let value = env::var_os(variable);
    value.unwrap_or_else(|| panic!("{variable} is not set; run this tier with `make test`")).into()
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within the limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let since = now();
    while !condition() {
        assert!(now().duration_since(since) < LIMIT * slowness(), "waited in vain: {what}");
        std::thread::yield_now();
        // Not a fixed sleep: the condition is asked again and again, just not without pause.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Binds a port, or connects from it, that may have been another socket's a moment ago: a child that another thread has just forked holds what was open
/// then until it executes its program.
///
/// # Panics
/// If it stays taken, or cannot be bound for another reason.
pub fn wait_until_bound<T>(mut bind: impl FnMut() -> io::Result<T>) -> T {
    let mut bound = bind();
    wait_until("the port is free", || {
        // The latter says `connect`.
        let taken = [io::ErrorKind::AddrInUse, io::ErrorKind::AddrNotAvailable];
        let is_taken = bound.as_ref().is_err_and(|error| taken.contains(&error.kind()));
        if is_taken {
            bound = bind();
        }
        !is_taken
    });
    bound.expect("a port to bind")
}

/// The time, for limits and measurements.
#[expect(clippy::disallowed_methods, reason = "tests measure real time")]
pub fn now() -> Instant {
    Instant::now()
}
