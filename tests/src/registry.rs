//! A registry on loopback, in a directory of its own.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use crate::run::wait_until;

/// A registry, which ends with its images.
pub struct Registry {
    child: Child,
    /// Its host and port.
    pub address: String,
    _directory: tempfile::TempDir,
}

impl Registry {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// If it is not there.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let free =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let config = directory.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{free}\"}}\n",
            directory.path().display()
        );
        fs::write(&config, text).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("`make deps` installs docker-registry");
        wait_until("the registry listens", || std::net::TcpStream::connect(free).is_ok());
        Self { child, address: free.to_string(), _directory: directory }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
