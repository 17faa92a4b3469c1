//! Runs programs in containers that run already.

use bollard::{container::LogOutput, errors::Error as Api, exec::StartExecResults, models::ExecConfig};
use futures_util::TryStreamExt as _;
use tokio::time::timeout;

use super::{Docker, DockerError, error::is_status, host::LIMIT};

impl Docker {
    /// Runs a program in a container and gives what it wrote to standard output; none if the container does not run.
    ///
    /// # Errors
    /// If Docker refuses, the program fails (with what it wrote to standard error), or it does not end: one that begins in a container
    /// that is paused at that moment waits until that goes on.
    pub async fn output(&self, name: &str, line: &[&str]) -> Result<Option<Vec<u8>>, DockerError> {
        let attempt = format!("run {} in {name}", line[0]);
        let ran = timeout(LIMIT, self.run(name, line, &attempt)).await;
        ran.unwrap_or_else(|_| Err(self.failed(&attempt, Api::RequestTimeoutError)))
    }

    async fn run(&self, name: &str, line: &[&str], attempt: &str) -> Result<Option<Vec<u8>>, DockerError> {
        let failed = |error| self.failed(attempt, error);
        let config = ExecConfig {
            cmd: Some(line.iter().map(ToString::to_string).collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let created = match self.api.create_exec(name, config).await {
            Err(error) if is_status(&error, 404) || is_status(&error, 409) => return Ok(None),
            created => created.map_err(failed)?,
        };
        let StartExecResults::Attached { mut output, .. } =
            self.api.start_exec(&created.id, None).await.map_err(failed)?
        else {
            unreachable!("it is not detached");
        };
        let (mut said, mut words) = (Vec::new(), Vec::new());
        while let Some(piece) = output.try_next().await.map_err(failed)? {
            match piece {
                LogOutput::StdErr { message } => words.extend_from_slice(&message),
                LogOutput::StdOut { message }
                | LogOutput::Console { message }
                | LogOutput::StdIn { message } => said.extend_from_slice(&message),
            }
        }
        // None means that the container has ended meanwhile.
        match self.api.inspect_exec(&created.id).await.map_err(failed)?.exit_code {
            Some(0) => Ok(Some(said)),
            Some(code) => {
                let words = String::from_utf8_lossy(&words).trim().to_owned();
                Err(DockerError::Program { attempt: attempt.to_owned(), code, words })
            }
            None => Ok(None),
        }
    }
}
