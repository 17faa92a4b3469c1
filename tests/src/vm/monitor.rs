//! qemu's monitor: what happens to a machine from outside.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use super::json_lines::{JsonLines, answer};

/// Longer than qemu takes on a loaded machine.
const ANSWER: Duration = Duration::from_secs(20);

/// Whether a cable is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cable {
    /// It is.
    In,
    /// It is not: the card has no carrier.
    Out,
}

/// A connection to the monitor.
#[derive(Debug)]
pub struct Monitor {
    lines: JsonLines,
}

impl Monitor {
    /// Connects to its socket.
    ///
    /// # Errors
    /// If there is none, or no monitor behind it.
    pub fn connect(socket: &Path) -> Result<Self> {
        let lines = JsonLines::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
        let mut monitor = Self { lines };
        monitor.ask("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Resets the machine, as a power cut does: what it had not written is lost.
    ///
    /// # Errors
    /// If qemu refuses.
    pub fn reset(&mut self) -> Result<()> {
        self.ask("system_reset", &json!({})).map(drop)
    }

    /// Plugs the cable of a card, counted from 0, in or out.
    ///
    /// # Errors
    /// If there is no such card.
    pub fn set_link(&mut self, card: usize, cable: Cable) -> Result<()> {
        let arguments = json!({ "name": format!("card{card}"), "up": cable == Cable::In });
        self.ask("set_link", &arguments).map(drop)
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.lines.say(command, arguments).context("speak to qemu")?;
        let answer =
            self.lines.hear(ANSWER, answer).with_context(|| format!("wait for the answer to {command}"))?;
        answer.map_err(|why| anyhow!("{command}: {why}"))
    }
}
