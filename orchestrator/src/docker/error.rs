//! What Docker's failures mean: situations, exit codes and remedies. Knows nothing of what was asked for.

use std::{io, time::Duration};

use bollard::errors::Error as Api;
use thiserror::Error;
use tokio::time::sleep;

use super::{REPLY_WITHIN_SECONDS, host::Engine};

/// Why Docker did not do what was asked.
#[derive(Debug, Error)]
pub enum DockerError {
    /// A way to reach Docker that cannot work.
    #[error(
        "cannot use the engine at {0}: the uplink is made on this host, so the engine must be on this host too\n  name its socket, as unix:///PATH, with --host or DOCKER_HOST"
    )]
    NotLocal(String),
    /// An engine whose networks are in a user's own namespaces.
    #[error(
        "cannot use the engine at {0}: it is rootless, so its containers are on networks in a namespace of its user's, which can \
         have no uplink on this host's interfaces\n  run the container on an engine that runs as root: sudo podman, or Docker's own service"
    )]
    Rootless(String),
    /// No socket.
    #[error(
        "cannot reach Docker: there is no socket {0}\n  is Docker running, or Podman's socket? systemctl start docker, or systemctl start podman.socket"
    )]
    NoSocket(String),
    /// The socket is not for us.
    #[error("cannot reach Docker: permission denied on {0}\n  run with sudo, or join the group docker")]
    Denied(String),
    /// Nobody listens, or the connection broke.
    #[error("cannot reach {engine} at {0}\n  is it running? systemctl status {unit}", engine = Engine::at(.0), unit = Engine::at(.0).unit())]
    Unreachable(String, #[source] Api),
    /// No reply in time.
    #[error(
        "{2} at {0} did not answer within {REPLY_WITHIN_SECONDS} s while landfall tried to {1}\n  see what it is busy with: journalctl -u {unit}", unit = .2.unit()
    )]
    Stuck(String, String, Engine),
    /// The process is not there, because processes have other numbers here; or what it reads is no pipe.
    #[error(
        "cannot write to the agent in {0} at {1}\n  landfall must run on the host itself, as Docker does"
    )]
    Input(String, String, #[source] io::Error),
    /// The container has ended since it was looked at.
    #[error(
        "cannot write to the agent in {0}: it has ended meanwhile\n  run the command again: it makes another one"
    )]
    Ended(String),
    /// It refused.
    #[error("cannot {attempt}: {engine} says: {}", .message.escape_debug())]
    Refused {
        /// Who refused.
        engine: Engine,
        /// What was asked for.
        attempt: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It did what was asked, and what it ran failed.
    #[error("cannot {attempt}: it ended with exit code {code} and said: {}", .words.escape_debug())]
    Program {
        /// What was run, and where.
        attempt: String,
        /// Its exit code.
        code: i64,
        /// What it wrote to standard error.
        words: String,
    },
    /// Something else.
    #[error("cannot {0}")]
    Other(String, #[source] Api),
}

impl DockerError {
    /// Whether the socket is there and nobody listens.
    pub(super) fn is_deaf(&self) -> bool {
        let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        matches!(self, Self::Unreachable(_, Api::IOError { err }) if is_refused(err))
    }

    /// The documented exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotLocal(_)
            | Self::Rootless(_)
            | Self::NoSocket(_)
            | Self::Unreachable(..)
            | Self::Stuck(..) => 5,
            Self::Denied(_) => 6,
            Self::Input(..)
            | Self::Ended(_)
            | Self::Refused { .. }
            | Self::Program { .. }
            | Self::Other(..) => 1,
        }
    }
}

/// The situation that made an attempt on the engine at `host` fail.
pub(super) fn failed(engine: Engine, host: &str, attempt: &str, error: Api) -> DockerError {
    if let Api::DockerResponseServerError { status_code: status, message } = error {
        return DockerError::Refused { engine, attempt: attempt.to_owned(), status, message };
    }
    // What goes wrong once a reply has begun to come.
    if let Api::DockerStreamError { error: message } = error {
        return DockerError::Refused { engine, attempt: attempt.to_owned(), status: 200, message };
    }
    if matches!(error, Api::RequestTimeoutError) {
        return DockerError::Stuck(host.to_owned(), attempt.to_owned(), engine);
    }
    let is_broken = matches!(
        error,
        Api::HyperLegacyError { .. } | Api::HyperResponseError { .. } | Api::SocketNotFoundError(_)
    );
    if is_broken {
        return DockerError::Unreachable(host.to_owned(), error);
    }
    DockerError::Other(attempt.to_owned(), error)
}

pub(super) fn unreachable(path: &str, error: io::Error) -> DockerError {
    if error.kind() == io::ErrorKind::NotFound {
        return DockerError::NoSocket(path.into());
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return DockerError::Denied(path.into());
    }
    DockerError::Unreachable(path.into(), error.into())
}

pub(super) fn is_status(error: &Api, status: u16) -> bool {
    matches!(error, Api::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Whether there is no such container, or none any more: Podman 5.4 says so in another way of one that goes while it is looked at.
pub(super) fn is_gone(error: &Api) -> bool {
    let goes = |message: &str| message.contains("no such container");
    is_status(error, 404)
        || matches!(error, Api::DockerResponseServerError { status_code: 500, message } if goes(message))
}

/// Whether Podman lost sight of a process that ended while it was looked at. Before 4.4 it says so in place of the answer
/// (<https://github.com/containers/podman/issues/16383>).
fn is_ending(error: &Api) -> bool {
    let lost = |message: &str| {
        message.contains("/cgroup: no such process") || message.contains("/cgroup: no such file or directory")
    };
    matches!(error, Api::DockerResponseServerError { status_code: 500, message } if lost(message))
}

/// What the engine answers once it knows that a process has ended, if it was asked while that did.
///
/// # Errors
/// Its own, and that it lost sight of a process, if it goes on saying so for a second.
#[expect(clippy::disallowed_methods, reason = "the engine is asked again, and not for ever")]
pub(super) async fn settled<T>(mut ask: impl AsyncFnMut() -> Result<T, Api>) -> Result<T, Api> {
    for _ in 0..50 {
        match ask().await {
            Err(error) if is_ending(&error) => sleep(Duration::from_millis(20)).await,
            answer => return answer,
        }
    }
    ask().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status_code: u16, message: &str) -> Api {
        Api::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_is_asked_again_about_a_process_that_ends() {
        let ends = || said(500, "read /proc/8073/cgroup: no such process");
        let mut answers =
            vec![Ok(7), Err(ends()), Err(said(500, "open /proc/1/cgroup: no such file or directory"))];
        assert!(matches!(settled(async || answers.pop().unwrap_or(Ok(0))).await, Ok(7)));
        // And one that never knows is not asked for ever
        let never: Result<(), _> = settled(async || Err(ends())).await;
        assert!(never.is_err_and(|error| is_ending(&error)));
        let mut others = vec![Ok(7), Err(said(500, "no such process"))];
        assert!(settled(async || others.pop().unwrap_or(Ok(0))).await.is_err(), "that is something else");
    }

    #[test]
    fn a_container_that_goes_while_it_is_looked_at_is_gone() {
        assert!(is_gone(&said(404, "No such container: web")));
        assert!(is_gone(&said(500, "no container with ID b1856a found in database: no such container")));
        assert!(!is_gone(&said(500, "cannot open the database")));
        assert!(!is_gone(&said(409, "no such container")));
    }
}
