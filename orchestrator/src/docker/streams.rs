//! What containers write and read: their standard streams, and their logs.

use std::pin::Pin;

use bollard::{
    container::LogOutput,
    query_parameters::{AttachContainerOptionsBuilder, LogsOptionsBuilder},
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWrite;

use super::{Container, Docker, DockerError, stdin::Process};

/// The standard streams of a container.
pub struct Attached {
    /// What it writes.
    pub output: Output,
    /// What it reads.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// What a container writes.
pub type Output = Pin<Box<dyn Stream<Item = Result<Written, DockerError>> + Send>>;

/// A piece of what a container writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// To standard output.
    Output(Vec<u8>),
    /// To standard error.
    Log(Vec<u8>),
}

/// Which of its streams to read again from a container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Standard output.
    Output,
    /// Both.
    Both,
}

/// Until when to read a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To what there is.
    Now,
    /// For as long as the container runs.
    Ever,
}

impl Docker {
    /// Attaches to the standard streams of a container that does not run yet.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn attach(&self, id: &str) -> Result<Attached, DockerError> {
        self.attach_to(id, streams().stdin(true)).await
    }

    /// Attaches to the standard streams of a container that runs, from now on.
    ///
    /// To its input by its process, not by the engine: Podman closes that to everybody once the first one who was attached is
    /// gone, and says nothing about it.
    ///
    /// # Errors
    /// If Docker refuses, the container has ended, or the process is not of this host.
    pub async fn attach_again(&self, container: &Container) -> Result<Attached, DockerError> {
        let Container { id, name, pid, .. } = container;
        let attached = self.attach_to(id, streams()).await?;
        let stdin = Process::open(*pid).and_then(|process| process.stdin());
        // What was opened is the agent's only if the container still runs: the number may have been another's already.
        let still = self.container(id).await?.filter(|now| now.is_running() && now.pid == *pid);
        if still.is_none() {
            return Err(DockerError::Ended(name.clone()));
        }
        let stdin =
            stdin.map_err(|error| DockerError::Input(name.clone(), format!("/proc/{pid}/fd/0"), error))?;
        Ok(Attached { input: Box::pin(stdin), ..attached })
    }

    async fn attach_to(
        &self,
        id: &str,
        streams: AttachContainerOptionsBuilder,
    ) -> Result<Attached, DockerError> {
        let attached = self.api.attach_container(id, Some(streams.build())).await;
        let attached = attached.map_err(|error| self.failed(&format!("attach to {id}"), error))?;
        let docker = self.clone();
        let output = attached
            .output
            .map_err(move |error| docker.failed("read from the agent", error))
            .map_ok(to_written);
        Ok(Attached { output: Box::pin(output), input: attached.input })
    }

    /// Reads again what a container has written.
    pub fn log(&self, id: &str, which: Which, until: Until) -> Output {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(which == Which::Both)
            .follow(until == Until::Ever)
            .build();
        let (docker, attempt) = (self.clone(), format!("read the log of {id}"));
        let log = self.api.logs(id, Some(options));
        Box::pin(log.map_err(move |error| docker.failed(&attempt, error)).map_ok(to_written).boxed())
    }
}

/// What a container writes, from now on.
fn streams() -> AttachContainerOptionsBuilder {
    AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true)
}

fn to_written(output: LogOutput) -> Written {
    match output {
        LogOutput::StdErr { message } => Written::Log(message.into()),
        LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
            Written::Output(message.into())
        }
    }
}
