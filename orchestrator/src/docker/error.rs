//! What Docker's failures mean: situations, exit codes and remedies. Knows nothing of what was asked for.

use std::io;

use bollard::errors::Error as Api;
use thiserror::Error;

use super::REPLY_WITHIN_SECONDS;

/// Why Docker did not do what was asked.
#[derive(Debug, Error)]
pub enum DockerError {
    /// A way to reach Docker that cannot work.
    #[error(
        "cannot use DOCKER_HOST={0}: the uplink is made on this host, so Docker must be on this host too\n  unset DOCKER_HOST, or set it to unix:///PATH"
    )]
    NotLocal(String),
    /// No socket.
    #[error(
        "cannot reach Docker: there is no socket {0}\n  is Docker installed and running? systemctl start docker"
    )]
    NoSocket(String),
    /// The socket is not for us.
    #[error("cannot reach Docker: permission denied on {0}\n  run with sudo, or join the group docker")]
    Denied(String),
    /// Nobody listens, or the connection broke.
    #[error("cannot reach Docker at {0}\n  is it running? systemctl status docker")]
    Unreachable(String, #[source] Api),
    /// No reply in time.
    #[error(
        "Docker at {0} did not answer within {REPLY_WITHIN_SECONDS} s while landfall tried to {1}\n  see what it is busy with: journalctl -u docker"
    )]
    Stuck(String, String),
    /// It refused.
    #[error("cannot {attempt}: Docker says: {}", .message.escape_debug())]
    Refused {
        /// What was asked for.
        attempt: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// Something else.
    #[error("cannot {0}")]
    Other(String, #[source] Api),
}

impl DockerError {
    /// The documented exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotLocal(_) | Self::NoSocket(_) | Self::Unreachable(..) | Self::Stuck(..) => 5,
            Self::Denied(_) => 6,
            Self::Refused { .. } | Self::Other(..) => 1,
        }
    }
}

/// The situation that made an attempt on the engine at `host` fail.
pub(super) fn failed(host: &str, attempt: &str, error: Api) -> DockerError {
    if let Api::DockerResponseServerError { status_code: status, message } = error {
        return DockerError::Refused { attempt: attempt.to_owned(), status, message };
    }
    if matches!(error, Api::RequestTimeoutError) {
        return DockerError::Stuck(host.to_owned(), attempt.to_owned());
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
