//! What a run of `landfall up` has made, so that it can be taken back.

use std::io;

use tokio::task::JoinHandle;
use tracing::debug;

use crate::{
    docker::{Container, Creation, Docker, DockerError},
    error::Error,
    lock::Lock,
    path,
    progress::Progress,
    uplink::companion,
};

/// All of it.
#[derive(Default)]
pub(super) struct Undo {
    /// Kept until all is taken back, so that who waits for it does not meet what is about to go.
    pub locks: Vec<Lock>,
    creating: Option<JoinHandle<Result<String, DockerError>>>,
    container: Option<String>,
    volume: Option<String>,
    /// What a path has something in.
    pub targets: Vec<Container>,
}

impl Undo {
    /// Makes a container. Once asked for it is waited for, so that an interruption knows what to take back.
    pub async fn create(&mut self, docker: &Docker, creation: Creation) -> Result<String, Error> {
        let docker = docker.clone();
        self.volume = Some(creation.volume.clone());
        let creating = self.creating.insert(tokio::spawn(async move { docker.create(creation).await }));
        let created = creating.await;
        self.creating = None;
        let id =
            created.map_err(|error| Error::Io("create the network container", io::Error::other(error)))??;
        self.container = Some(id.clone());
        Ok(id)
    }

    /// Removes it, and lets others have their turn only then.
    pub async fn take_back(self, docker: &Docker, progress: &Progress) {
        let name = self.volume.as_deref().unwrap_or_default();
        // Also where none was created in the place of one that is gone.
        if self.volume.is_some()
            && let Err(error) = companion::remove(name).await
        {
            progress.note(&format!("{error}"));
        }
        let created = match self.creating {
            Some(creating) => creating.await.ok().and_then(Result::ok),
            None => None,
        };
        if let Some(id) = created.or(self.container) {
            progress.step("taking back what was made");
            for undone in [docker.stop(&id).await, docker.remove(&id).await, docker.remove_volume(name).await]
            {
                if let Err(error) = undone {
                    debug!(%error, "not taken back");
                    progress.note(&format!("{error}"));
                }
            }
        }
        // After the agent, which gives its lease back over an uplink that may be in there.
        for target in &self.targets {
            if let Err(error) = path::clear(name, target).await {
                progress.note(&format!("{error}"));
            }
        }
    }
}
