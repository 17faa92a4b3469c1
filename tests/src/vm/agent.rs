//! The guest agent: runs commands in a machine, over its own socket and without its network.

use std::{io, path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::json_lines::{JsonLines, answer};
use crate::{landfall::Ran, run::now};

/// Longer than the agent takes to answer on a loaded machine.
const ANSWER: Duration = Duration::from_secs(20);

/// A connection to a machine's guest agent.
#[derive(Debug)]
pub struct Agent {
    lines: JsonLines,
    syncs: u64,
}

impl Agent {
    /// Connects to its socket, which is there before the agent is.
    ///
    /// # Errors
    /// If there is none.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self { lines: JsonLines::connect(socket)?, syncs: 0 })
    }

    /// Whether it answers within `limit`; what came before is passed over.
    pub fn is_there(&mut self, limit: Duration) -> bool {
        self.syncs += 1;
        let number = self.syncs;
        let asked = self.lines.say("guest-sync", &json!({ "id": number }));
        let is_it = |line: &Value| (line["return"].as_u64() == Some(number)).then_some(());
        asked.and_then(|()| self.lines.hear(limit, is_it)).is_ok()
    }

    /// Runs a command with these variables set, for at most `limit`.
    ///
    /// # Errors
    /// If the machine does not answer, or the command is not there or does not end.
    pub fn run(&mut self, line: &[&str], variables: &[String], limit: Duration) -> Result<Ran> {
        let start = json!({ "path": line[0], "arg": &line[1..], "env": variables, "capture-output": true });
        let started =
            self.ask("guest-exec", &start).with_context(|| format!("run {line:?} in the machine"))?;
        let (since, mut pause) = (now(), Duration::from_millis(20));
        loop {
            let status = self.ask("guest-exec-status", &json!({ "pid": started["pid"] }))?;
            if status["exited"] == true {
                return Ok(ran(&status));
            }
            if now().duration_since(since) > limit {
                return Err(anyhow!("{line:?} ran for more than {limit:?} in the machine"));
            }
            // The agent takes note of each question in the machine's journal.
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(Duration::from_millis(320));
        }
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.lines.say(command, arguments).context("speak to the guest agent")?;
        let answer =
            self.lines.hear(ANSWER, answer).with_context(|| format!("wait for the answer to {command}"))?;
        answer.map_err(|why| anyhow!("{command}: {why}"))
    }
}

fn ran(status: &Value) -> Ran {
    let text = |key: &str| {
        let octets = BASE64_STANDARD.decode(status[key].as_str().unwrap_or_default()).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    };
    let code = status["exitcode"].as_i64().and_then(|code| i32::try_from(code).ok());
    Ran { code, stdout: text("out-data"), stderr: text("err-data") }
}
