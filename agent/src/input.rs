//! The specs that come in on standard input.

use std::{collections::VecDeque, future};

use landfall_api::{Spec, SpecError};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, Stdin, stdin},
    net::unix::pipe,
};
use tracing::{debug, warn};

use crate::documents::{DocumentError, Documents};

/// Why a document that came in is no spec.
#[derive(Debug, Error)]
pub enum InputError {
    /// It cannot even be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It says something wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Where a process finds its standard input again.
const STDIN: &str = "/proc/self/fd/0";

/// Who can be read from.
enum Source {
    /// Whoever had standard input open when the agent began.
    First(Stdin),
    /// Whoever opens the pipe that it is, now that those are gone.
    Anybody(pipe::Receiver),
    /// It is no pipe, and it has ended.
    Nobody,
}

/// Standard input, read as it comes.
pub struct Input {
    source: Source,
    documents: Documents,
    unread: VecDeque<Result<String, DocumentError>>,
    is_at_end: bool,
}

impl Input {
    /// Standard input from here on.
    pub fn new() -> Self {
        Self {
            source: Source::First(stdin()),
            documents: Documents::default(),
            unread: VecDeque::new(),
            is_at_end: false,
        }
    }

    /// The next spec; none at the end of input. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Spec, InputError>> {
        loop {
            if let Some(document) = self.unread.pop_front() {
                return Some(document.map_err(InputError::from).and_then(|text| Ok(Spec::from_yaml(&text)?)));
            }
            if self.is_at_end {
                return None;
            }
            self.read().await;
        }
    }

    /// The next spec, however long it takes: the end of input changes nothing. Cancel-safe.
    ///
    /// # Errors
    /// If what came is none.
    pub async fn replacement(&mut self) -> Result<Spec, InputError> {
        loop {
            if let Some(result) = self.next().await {
                return result;
            }
            if let Source::Nobody = self.source {
                return future::pending().await;
            }
            match pipe::OpenOptions::new().read_write(true).open_receiver(STDIN) {
                Ok(pipe) => self.read_again(pipe),
                Err(error) => {
                    debug!(%error, "nobody can write to standard input any more");
                    self.source = Source::Nobody;
                }
            }
        }
    }

    /// Reads on for those who open the pipe later. It does not end again: it is open for writing here too.
    fn read_again(&mut self, pipe: pipe::Receiver) {
        self.source = Source::Anybody(pipe);
        self.documents = Documents::default();
        self.is_at_end = false;
    }

    async fn read(&mut self) {
        // As much as a pipe holds: each read goes through another thread.
        let mut bytes = vec![0; 1 << 16];
        let read = match &mut self.source {
            Source::First(stdin) => stdin.read(&mut bytes).await,
            Source::Anybody(pipe) => pipe.read(&mut bytes).await,
            Source::Nobody => Ok(0),
        };
        match read {
            Ok(0) => self.is_at_end = true,
            Ok(length) => self.unread.extend(self.documents.push(&bytes[..length])),
            Err(error) => {
                warn!(%error, "standard input cannot be read any more");
                self.is_at_end = true;
            }
        }
        if self.is_at_end {
            self.unread.extend(self.documents.finish());
        }
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::new()
    }
}
