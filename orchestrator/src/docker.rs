//! Docker's API, as far as landfall uses it. Nothing outside says bollard.

mod container;
mod error;
mod exec;
mod host;
mod raw;
mod stdin;
mod streams;

use std::collections::{BTreeSet, HashMap};

use bollard::{
    API_DEFAULT_VERSION, ClientVersion, body_full,
    errors::Error as Api,
    models::ContainerSummary,
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, EventsOptionsBuilder,
        ImportImageOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveVolumeOptions, StopContainerOptionsBuilder, WaitContainerOptions,
    },
};
use futures_util::{Stream, TryStreamExt as _};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tracing::warn;

pub use container::{Container, Creation, GUEST};
pub use error::DockerError;
pub use streams::{Attached, Output, Until, Which, Written};

use container::{bare, to_body, to_container};
use error::{is_gone, is_status, settled};
use host::{Engine, Host};

use crate::identity::is_container_name;

/// Where all containers are listed.
const ALL: &str = "/containers/json?all=true";

/// How long one reply may take. A container starts within a second; a loaded disk may make it many.
const REPLY_WITHIN_SECONDS: u64 = 30;

/// How long an agent has to give its lease back before it is killed.
const STOP_WITHIN_SECONDS: i32 = 5;

/// A connection to the engine on this host.
#[derive(Clone)]
pub struct Docker {
    api: bollard::Docker,
    host: String,
    engine: Engine,
}

impl Docker {
    /// Connects to the engine at `host`, or where `DOCKER_HOST` says, or at one of the usual places.
    ///
    /// # Errors
    /// If it is not on this host, not there, not for us, or not one that can be used.
    pub async fn connect(host: Option<&str>) -> Result<Self, DockerError> {
        let Host { path, uid, engine, version } = host::find(host).await?;
        let is_older = |version: &ClientVersion| *version < *API_DEFAULT_VERSION;
        let spoken = version.as_ref().filter(|version| is_older(version)).unwrap_or(API_DEFAULT_VERSION);
        let api = bollard::Docker::connect_with_unix(&path, REPLY_WITHIN_SECONDS, spoken)
            .map_err(|error| DockerError::Unreachable(path.clone(), error))?;
        let mut docker = Self { api, host: path, engine };
        if version.is_none() {
            let asked = docker.api.clone().negotiate_version().await;
            docker.api = asked.map_err(|error| docker.failed("ask for its version", error))?;
        }
        // A proxy in front of it may well belong to a user.
        if uid != 0 && docker.is_rootless().await? {
            return Err(DockerError::Rootless(docker.host));
        }
        Ok(docker)
    }

    async fn is_rootless(&self) -> Result<bool, DockerError> {
        match host::is_rootless(&self.host).await {
            // A proxy need not tell everything that it lets do.
            Err(error @ Api::DockerResponseServerError { .. }) => {
                warn!(%error, "it is not known whether the engine is rootless; taken for one that is not");
                Ok(false)
            }
            said => said.map_err(|error| self.failed("ask whether it is rootless", error)),
        }
    }

    /// The container with that name or id, if there is one.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub async fn container(&self, name: &str) -> Result<Option<Container>, DockerError> {
        // It becomes part of a URL.
        if !is_container_name(name) {
            return Ok(None);
        }
        let url = format!("/containers/{name}/json");
        let asking =
            settled(async || self.understood(self.api.inspect_container(name, None).await, &url).await);
        match Box::pin(asking).await {
            Ok(found) => Ok(Some(to_container(found))),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(self.failed(&format!("inspect {name}"), error)),
        }
    }

    /// The names of all containers, running or not, in order.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub async fn names(&self) -> Result<BTreeSet<String>, DockerError> {
        let all = self.list(ListContainersOptionsBuilder::default().all(true), ALL).await?;
        let named = all.into_iter().flat_map(|container| container.names.unwrap_or_default());
        Ok(named.map(|name| bare(&name).to_owned()).collect())
    }

    /// The names of the containers that have `label`, running or not.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub async fn labelled(&self, label: &str) -> Result<Vec<String>, DockerError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters);
        let url = format!("{ALL}&filters=%7B%22label%22%3A%5B%22{label}%22%5D%7D");
        let all = self.list(options, &url).await?;
        let first = |names: Option<Vec<String>>| names?.first().map(|name| bare(name).to_owned());
        let mut names: Vec<String> = all.into_iter().filter_map(|container| first(container.names)).collect();
        names.sort();
        Ok(names)
    }

    /// The names of containers, each as it starts, beginning with those that did after `since`.
    pub fn starts(&self, since: Timestamp) -> impl Stream<Item = Result<String, DockerError>> + '_ {
        let filters = HashMap::from([("type", vec!["container"]), ("event", vec!["start", "unpause"])]);
        let options = EventsOptionsBuilder::default().filters(&filters).since(&unix(since)).build();
        let events =
            self.api.events(Some(options)).map_err(|error| self.failed("watch for containers", error));
        events.try_filter_map(|event| async move {
            Ok(event.actor.and_then(|actor| actor.attributes?.remove("name")))
        })
    }

    /// The id of an image, if it is there.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub async fn image(&self, reference: &str) -> Result<Option<String>, DockerError> {
        match self.api.inspect_image(reference).await {
            Ok(image) => Ok(image.id),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(self.failed(&format!("look for the image {reference}"), error)),
        }
    }

    /// Pulls an image from its registry, without credentials: those of a login are kept by the `docker` command, which sends
    /// them along; Docker's daemon has none. What needs a login is pulled before, with `docker pull`.
    ///
    /// # Errors
    /// If the engine cannot reach the registry, or there is no such image.
    pub async fn pull(&self, name: &str, tag: &str) -> Result<(), DockerError> {
        let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
        let pulling = self.api.create_image(Some(options), None, None);
        let attempt = format!("pull the image {}", name.escape_debug());
        pulling.map_err(|error| self.failed(&attempt, error)).try_for_each(|_| async { Ok(()) }).await
    }

    /// Loads the images of an archive.
    ///
    /// # Errors
    /// If Docker does not take it.
    pub async fn load(&self, archive: Vec<u8>) -> Result<(), DockerError> {
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let loading = self.api.import_image(options, body_full(archive.into()), None);
        let progress = loading.map_err(|error| self.failed("load the agent image", error));
        progress.try_for_each(|_| async { Ok(()) }).await
    }

    /// Makes a network container; does not start it. Gives its id.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn create(&self, creation: Creation) -> Result<String, DockerError> {
        let options = CreateContainerOptionsBuilder::default().name(&creation.name).build();
        let attempt = format!("create {}", creation.name);
        let created = self.api.create_container(Some(options), to_body(creation)).await;
        created.map(|created| created.id).map_err(|error| self.failed(&attempt, error))
    }

    /// Starts a container.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn start(&self, id: &str) -> Result<(), DockerError> {
        self.api.start_container(id, None).await.map_err(|error| self.failed(&format!("start {id}"), error))
    }

    /// Stops a container, if it is there and runs, so that its agent gives the lease back.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn stop(&self, id: &str) -> Result<(), DockerError> {
        let options = StopContainerOptionsBuilder::default().t(STOP_WITHIN_SECONDS).build();
        match settled(async || self.api.stop_container(id, Some(options.clone())).await).await {
            Err(error) if !is_status(&error, 404) && !is_status(&error, 304) => {
                Err(self.failed(&format!("stop {id}"), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Lets a paused container go on: one that pauses gives no lease back, and Podman does not even stop it.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn unpause(&self, id: &str) -> Result<(), DockerError> {
        self.api.unpause_container(id).await.map_err(|error| self.failed(&format!("unpause {id}"), error))
    }

    /// The exit code of a container, as soon as it has ended; none if it is gone.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn exit_code(&self, id: &str) -> Result<Option<i64>, DockerError> {
        let wait = async || self.api.wait_container(id, None::<WaitContainerOptions>).try_next().await;
        match settled(wait).await {
            Ok(ended) => Ok(ended.map(|ended| ended.status_code)),
            Err(Api::DockerContainerWaitError { code, .. }) => Ok(Some(code)),
            Err(error) if !is_status(&error, 404) => Err(self.failed(&format!("wait for {id}"), error)),
            Err(_) => Ok(None),
        }
    }

    /// Removes a volume, if it is there and nobody uses it.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        match self.api.remove_volume(name, None::<RemoveVolumeOptions>).await {
            Err(error) if !is_status(&error, 404) && !is_status(&error, 409) => {
                Err(self.failed(&format!("remove the volume {name}"), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes a container, if it is there, whatever it does.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn remove(&self, id: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match settled(async || self.api.remove_container(id, Some(options.clone())).await).await {
            // 409: it is being removed already.
            Err(error) if !is_status(&error, 404) && !is_status(&error, 409) => {
                Err(self.failed(&format!("remove {id}"), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn list(
        &self,
        options: ListContainersOptionsBuilder,
        url: &str,
    ) -> Result<Vec<ContainerSummary>, DockerError> {
        let options = options.build();
        let ask = async || self.understood(self.api.list_containers(Some(options.clone())).await, url).await;
        settled(ask).await.map_err(|error| self.failed("list the containers", error))
    }

    /// What was answered at `url`, be it in words that bollard does not know.
    async fn understood<T: DeserializeOwned>(&self, answer: Result<T, Api>, url: &str) -> Result<T, Api> {
        match answer {
            Err(Api::JsonDataError { .. }) => raw::containers(&self.host, url).await,
            answer => answer,
        }
    }

    fn failed(&self, attempt: &str, error: Api) -> DockerError {
        error::failed(self.engine, &self.host, attempt, error)
    }
}

/// A time as Docker reads it: seconds and nanoseconds.
fn unix(time: Timestamp) -> String {
    format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())
}
