//! The specs that come in on standard input.

use std::{collections::VecDeque, future};

use landfall_api::{Spec, SpecError};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, Stdin, stdin};
use tracing::warn;

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

/// Standard input, read as it comes.
pub struct Input {
    stdin: Stdin,
    documents: Documents,
    unread: VecDeque<Result<String, DocumentError>>,
    is_at_end: bool,
}

impl Input {
    /// Standard input from here on.
    pub fn new() -> Self {
        Self { stdin: stdin(), documents: Documents::default(), unread: VecDeque::new(), is_at_end: false }
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
        if let Some(result) = self.next().await { result } else { future::pending().await }
    }

    async fn read(&mut self) {
        // As much as a pipe holds: each read goes through another thread.
        let mut bytes = vec![0; 1 << 16];
        match self.stdin.read(&mut bytes).await {
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
