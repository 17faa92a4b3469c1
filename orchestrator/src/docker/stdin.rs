//! The standard input of a process that somebody else has started. Trusts nothing that the process may have put there.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    fcntl::{OFlag, open, openat},
    sys::stat::{Mode, SFlag, fstat},
};
use tokio::net::unix::pipe;

/// A process, by its directory: the number of one that has ended may become another's, the directory does not.
pub(super) struct Process(OwnedFd);

impl Process {
    /// The process that has that number now.
    pub fn open(pid: i64) -> io::Result<Self> {
        let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(&*format!("/proc/{pid}"), directory, Mode::empty())?))
    }

    /// The pipe that it reads. Anything else is not even opened, since to open a device may do something.
    pub fn stdin(&self) -> io::Result<pipe::Sender> {
        let stdin = openat(&self.0, "fd/0", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        if SFlag::from_bits_truncate(fstat(&stdin)?.st_mode) & SFlag::S_IFMT != SFlag::S_IFIFO {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "its standard input is no pipe"));
        }
        pipe::OpenOptions::new().open_sender(format!("/proc/self/fd/{}", stdin.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        process::{Child, Command, Stdio},
    };

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn cat(stdin: Stdio) -> (Child, Process) {
        let child =
            Command::new("cat").stdin(stdin).stdout(Stdio::piped()).spawn().expect("cat is everywhere");
        let process = Process::open(child.id().into()).expect("a child that is not waited for is there");
        (child, process)
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let (child, process) = cat(Stdio::piped());
        process.stdin().expect("a pipe").write_all(b"hello").await.expect("it reads");
        let output = child.wait_with_output().expect("it ends with its input");
        assert_eq!(output.stdout, b"hello");
    }

    #[tokio::test]
    async fn what_is_no_pipe_is_not_opened() {
        let (mut child, process) = cat(File::open("/dev/zero").expect("a device").into());
        let error = process.stdin().expect_err("a device");
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        assert!(error.to_string().contains("no pipe"), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_has_ended_is_nobody_else() {
        let (mut child, process) = cat(Stdio::piped());
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        process.stdin().expect_err("an ended process");
    }

    #[test]
    fn what_does_not_run_has_no_number() {
        assert!(Process::open(0).is_err());
    }
}
