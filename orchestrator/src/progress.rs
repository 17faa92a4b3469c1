//! Says on standard error what is being done: a spinner on a terminal, lines otherwise, nothing if asked to be quiet.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::ProgressBar;

/// Where steps are told.
pub enum Progress {
    /// Nowhere.
    Quiet,
    /// Line by line.
    Lines,
    /// In one line that moves.
    Spinner(ProgressBar),
}

impl Progress {
    /// What suits standard error.
    pub fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines;
        }
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self::Spinner(spinner)
    }

    /// Says what is being done from now on.
    pub fn step(&self, text: &str) {
        match self {
            Self::Quiet => {}
            // Somebody who does not listen is no reason to stop.
            Self::Lines => drop(writeln!(io::stderr(), "{text}")),
            Self::Spinner(spinner) => spinner.set_message(text.to_owned()),
        }
    }

    /// Says what is to stay to be read.
    pub fn note(&self, text: &str) {
        match self {
            Self::Quiet | Self::Lines => self.step(text),
            Self::Spinner(spinner) => spinner.println(text),
        }
    }

    /// Leaves a clean line behind.
    pub fn finish(&self) {
        match self {
            Self::Quiet | Self::Lines => {}
            Self::Spinner(spinner) => spinner.finish_and_clear(),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
