//! The program `landfall`, run as a user would.

use std::process::{Command, Output};

use serde_json::Value;

use crate::{
    removal::Busy,
    run::{path, slowness},
};

/// The `--wait` of a run that waits in vain: long enough for everything else that it does.
pub fn in_vain() -> String {
    format!("{}s", 3 * slowness())
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Longer than an `up` takes on a loaded machine: only a test that fails waits so long.
const WAIT: u32 = 120;

/// A command line of `landfall` that gives a slow or loaded machine more time than an `up` takes for granted.
pub fn patient(arguments: &[&str], slowness: u32) -> Vec<String> {
    let mut line: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    if arguments.first() == Some(&"up") && !arguments.contains(&"--wait") {
        line.extend(["--wait".to_owned(), format!("{}s", WAIT * slowness)]);
    }
    line
}

/// A run of `landfall` that is to be started.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(path("LANDFALL"));
    command.args(patient(arguments, slowness()));
    command
}

/// Runs `landfall`.
///
/// # Panics
/// If it is not there.
pub fn landfall(arguments: &[&str]) -> Ran {
    // It gets the signal that ends a test, too, and removes what it has made so far; then the rest is removed.
    let _busy = Busy::new();
    command(arguments).output().expect("make build").into()
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Ran {
    /// Standard output of a run that went well.
    ///
    /// # Panics
    /// If it did not.
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// If the run failed, or it is none.
    pub fn json(self) -> Value {
        let stdout = self.done();
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    /// Standard error of a run that ended with `code`.
    ///
    /// # Panics
    /// If it ended otherwise.
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stderr
    }
}
