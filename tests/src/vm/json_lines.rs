//! What qemu's monitor and its guest agent have in common: a socket, a line of JSON there, a line of JSON back.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use crate::run::now;

/// How long a read waits before the limit is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection.
#[derive(Debug)]
pub struct JsonLines {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl JsonLines {
    /// Connects to a socket.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PAUSE))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Says `command`, without waiting for an answer.
    ///
    /// # Errors
    /// If the other side is gone.
    pub fn say(&mut self, command: &str, arguments: &Value) -> io::Result<()> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.stream.write_all(line.as_bytes())
    }

    /// The next line that `pick` takes; what it does not take, and what is no JSON, is passed over.
    ///
    /// # Errors
    /// If none comes in time, or the other side is gone.
    pub fn hear<T>(&mut self, limit: Duration, mut pick: impl FnMut(&Value) -> Option<T>) -> io::Result<T> {
        let since = now();
        loop {
            while let Some(line) = self.line() {
                // Before its first answer a guest agent says 0xff, lest what came earlier garbles it.
                let text: Vec<u8> = line.into_iter().filter(u8::is_ascii).collect();
                if let Some(picked) = serde_json::from_slice(&text).ok().as_ref().and_then(&mut pick) {
                    return Ok(picked);
                }
            }
            if now().duration_since(since) > limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.read()?;
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.unread.iter().position(|&octet| octet == b'\n')?;
        Some(self.unread.drain(..=end).collect())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut octets = [0; 1 << 13];
        match self.stream.read(&mut octets) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.unread.extend_from_slice(&octets[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What a command gave back: its result, or why there is none. Events are no answers.
pub fn answer(line: &Value) -> Option<Result<Value, String>> {
    let failed = line.get("error").map(|error| Err(error["desc"].as_str().unwrap_or_default().to_owned()));
    line.get("return").map(|result| Ok(result.clone())).or(failed)
}
