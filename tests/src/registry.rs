//! A registry on loopback, in a directory of its own.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

use crate::{
    removal::{Folder, Removal},
    run::wait_until,
};

/// A registry, which ends with its images.
pub struct Registry {
    /// Its host and port.
    pub address: String,
    _process: Removal,
    _directory: Folder,
}

impl Registry {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// If it is not there.
    pub fn start() -> Self {
        // Between the look for a free port and its use, somebody else may take it: then that registry ends.
        loop {
            if let Some(registry) = Self::try_start() {
                return registry;
            }
        }
    }

    fn try_start() -> Option<Self> {
        let directory = Folder::new();
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
        let mut child = command.spawn().expect("`make deps` installs docker-registry");
        let mut has_ended = false;
        wait_until("the registry listens", || {
            has_ended = child.try_wait().expect("it is ours").is_some();
            has_ended || std::net::TcpStream::connect(free).is_ok()
        });
        let process = Removal::of_child(child);
        (!has_ended).then(|| Self { address: free.to_string(), _process: process, _directory: directory })
    }
}
