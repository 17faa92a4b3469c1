//! The process of a machine, which never outlives the test.

use std::{
    io,
    process::{Child, Command, ExitStatus},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A child that the kernel kills when this process ends, however it ends.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    keeper: Option<JoinHandle<io::Result<ExitStatus>>>,
}

impl Process {
    /// Starts it; the command must arrange for `PR_SET_PDEATHSIG`, as `setpriv --pdeathsig` does.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let (teller, told) = mpsc::channel();
        // The signal comes when the thread ends that was the parent, and tests are threads: this one ends with the child.
        let keeper = thread::spawn(move || {
            let spawned = command.spawn();
            let _ = teller.send(spawned.as_ref().map(Child::id).unwrap_or_default());
            spawned?.wait()
        });
        let pid = told.recv().unwrap_or_default();
        match i32::try_from(pid) {
            Ok(pid @ 1..) => Ok(Self { pid: Pid::from_raw(pid), keeper: Some(keeper) }),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| !keeper.is_finished())
    }

    /// Waits for its end.
    pub fn wait(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        self.wait();
    }
}
