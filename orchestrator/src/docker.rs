//! Docker's API, as far as landfall uses it. Nothing outside says bollard.

mod container;
mod error;

use std::{
    collections::{BTreeMap, HashMap},
    env,
    pin::Pin,
};

use bollard::{
    API_DEFAULT_VERSION, body_full,
    container::LogOutput,
    errors::Error as Api,
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, EventsOptionsBuilder,
        ImportImageOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptions, StopContainerOptionsBuilder,
    },
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tokio::io::AsyncWrite;

pub use container::{Container, Creation};
pub use error::DockerError;

use container::{bare, to_body, to_container};
use error::{is_status, unreachable};

const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// How long one reply may take. A container starts within a second; a loaded disk may make it many.
const REPLY_WITHIN_SECONDS: u64 = 30;

/// How long an agent has to give its lease back before it is killed.
const STOP_WITHIN_SECONDS: i32 = 5;

/// A connection to the engine on this host.
#[derive(Clone)]
pub struct Docker {
    api: bollard::Docker,
    host: String,
}

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
    /// Connects to the engine that `DOCKER_HOST` names, or the usual one.
    ///
    /// # Errors
    /// If it is not on this host, not there, or not for us.
    pub async fn connect() -> Result<Self, DockerError> {
        let host =
            env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()).unwrap_or(DEFAULT_SOCKET.into());
        let Some(path) = host.strip_prefix("unix://") else {
            return Err(DockerError::NotLocal(host.escape_debug().to_string()));
        };
        // A file that is there may still not be for us, and bollard does not tell one from the other.
        match tokio::net::UnixStream::connect(path).await {
            Ok(_) => {}
            Err(error) => return Err(unreachable(path, error)),
        }
        let api = bollard::Docker::connect_with_unix(path, REPLY_WITHIN_SECONDS, API_DEFAULT_VERSION)
            .map_err(|error| DockerError::Unreachable(path.into(), error))?;
        let named = Self { api: api.clone(), host: path.into() };
        let api =
            api.negotiate_version().await.map_err(|error| named.failed("ask for its version", error))?;
        Ok(Self { api, ..named })
    }

    /// The container with that name or id, if there is one.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub async fn container(&self, name: &str) -> Result<Option<Container>, DockerError> {
        match self.api.inspect_container(name, None).await {
            Ok(found) => Ok(Some(to_container(found))),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(self.failed(&format!("inspect {name}"), error)),
        }
    }

    /// The names of all containers, running or not, and of those that run.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub async fn names(&self) -> Result<BTreeMap<String, bool>, DockerError> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let all = self
            .api
            .list_containers(Some(options))
            .await
            .map_err(|error| self.failed("list the containers", error))?;
        let is_running = |state: Option<_>| {
            state.is_some_and(|state| format!("{state:?}").eq_ignore_ascii_case("running"))
        };
        let named = all.into_iter().flat_map(|container| {
            let is_running = is_running(container.state);
            container
                .names
                .unwrap_or_default()
                .into_iter()
                .map(move |name| (bare(&name).to_owned(), is_running))
        });
        Ok(named.collect())
    }

    /// The names of the containers that have `label`, running or not.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub async fn labelled(&self, label: &str) -> Result<Vec<String>, DockerError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let all = self
            .api
            .list_containers(Some(options))
            .await
            .map_err(|error| self.failed("list the containers", error))?;
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

    /// Loads the images of an archive.
    ///
    /// # Errors
    /// If Docker does not take it.
    pub async fn load(&self, archive: &'static [u8]) -> Result<(), DockerError> {
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

    /// Attaches to the standard streams of a container, from now on.
    ///
    /// # Errors
    /// If Docker refuses.
    pub async fn attach(&self, id: &str) -> Result<Attached, DockerError> {
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.api.attach_container(id, Some(options)).await;
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
        match self.api.stop_container(id, Some(options)).await {
            Err(error) if !is_status(&error, 404) && !is_status(&error, 304) => {
                Err(self.failed(&format!("stop {id}"), error))
            }
            Ok(()) | Err(_) => Ok(()),
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
        match self.api.remove_container(id, Some(options)).await {
            // 409: it is being removed already.
            Err(error) if !is_status(&error, 404) && !is_status(&error, 409) => {
                Err(self.failed(&format!("remove {id}"), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn failed(&self, attempt: &str, error: Api) -> DockerError {
        error::failed(&self.host, attempt, error)
    }
}

/// A time as Docker reads it: seconds and nanoseconds.
fn unix(time: Timestamp) -> String {
    format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())
}

fn to_written(output: LogOutput) -> Written {
    match output {
        LogOutput::StdErr { message } => Written::Log(message.into()),
        LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
            Written::Output(message.into())
        }
    }
}
