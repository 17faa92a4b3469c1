//! Which engine is meant, how its socket is reached, and what it says of itself. Docker's socket comes before Podman's where
//! nothing is said.

use std::{
    env, fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{ClientVersion, errors::Error as Api};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use super::{
    REPLY_WITHIN_SECONDS,
    error::{DockerError, unreachable},
    raw,
};

/// Where engines listen that run as root, in the order in which they are looked for.
const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// Where the engines of a user listen, below their runtime directory.
const ROOTLESS: [&str; 2] = ["podman/podman.sock", "docker.sock"];

/// How long one answer may take.
pub(super) const LIMIT: Duration = Duration::from_secs(REPLY_WITHIN_SECONDS);

/// More than an engine says before it comes to the point.
const LONGEST_HEAD: usize = 1 << 14;

/// A socket that somebody listens on.
pub(super) struct Host {
    /// Its path.
    pub path: String,
    /// Who listens there.
    pub uid: u32,
    /// What it is.
    pub engine: Engine,
    /// The newest version of the API that it speaks, if it says so.
    pub version: Option<ClientVersion>,
}

/// Who speaks Docker's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl Engine {
    /// Whose socket `path` is likely to be, as long as nobody has said so.
    pub fn at(path: &str) -> Self {
        if path.ends_with("podman.sock") { Self::Podman } else { Self::Docker }
    }

    /// Its systemd unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

/// Finds the socket of the engine: `typed`, or else what `DOCKER_HOST` names, or else the usual ones.
pub(super) async fn find(typed: Option<&str>) -> Result<Host, DockerError> {
    let variable = env::var("DOCKER_HOST").ok();
    match named([typed, variable.as_deref()]) {
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => try_at(path).await?.ok_or_else(|| DockerError::NoSocket(path.to_owned())),
            None => Err(DockerError::NotLocal(host.escape_debug().to_string())),
        },
        None => match first(&SOCKETS).await? {
            Some(host) => Ok(host),
            None => Err(match rootless_socket() {
                Some(path) => DockerError::Rootless(path.display().to_string()),
                None => DockerError::NoSocket(SOCKETS.join(" and no ")),
            }),
        },
    }
}

/// The first that says anything.
fn named(sources: [Option<&str>; 2]) -> Option<&str> {
    sources.into_iter().flatten().find(|host| !host.is_empty())
}

/// The first engine that listens at one of `sockets`; none if none of them is there. A file that an engine has left behind is
/// in nobody's way.
async fn first(sockets: &[&str]) -> Result<Option<Host>, DockerError> {
    let mut deaf = None;
    for path in sockets {
        match try_at(path).await {
            Ok(Some(host)) => return Ok(Some(host)),
            Ok(None) => {}
            Err(error) if error.is_deaf() => deaf = deaf.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    deaf.map_or(Ok(None), Err)
}

/// The engine at `path`; none if there is nothing.
///
/// A file that is there may still not be for us, and bollard does not tell one from the other.
async fn try_at(path: &str) -> Result<Option<Host>, DockerError> {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreachable(path, error)),
    };
    let uid = stream.peer_cred().map_err(|error| unreachable(path, error))?.uid();
    let Ok(head) = timeout(LIMIT, greet(&mut stream)).await else {
        return Err(DockerError::Stuck(path.to_owned(), "ask for its version".to_owned(), Engine::at(path)));
    };
    let head = head.map_err(|error| unreachable(path, error))?;
    Ok(Some(Host { path: path.to_owned(), uid, engine: engine(&head), version: version(&head) }))
}

/// Whether the containers of the engine are in namespaces of a user.
pub(super) async fn is_rootless(path: &str) -> Result<bool, Api> {
    Ok(says_rootless(&raw::get(path, "/info").await?)?)
}

/// Docker says so among its security options, Podman in a word of its own that bollard does not know.
fn says_rootless(info: &str) -> serde_json::Result<bool> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Info {
        rootless: bool,
        security_options: Option<Vec<String>>,
    }
    let info: Info = serde_json::from_str(info)?;
    let options = info.security_options.unwrap_or_default();
    Ok(info.rootless || options.iter().any(|option| option == "name=rootless"))
}

/// What the engine says of itself: the head of its answer. Not asked for `/version`, since Podman runs other programs to
/// answer that, for half a second.
async fn greet(stream: &mut UnixStream) -> io::Result<String> {
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn engine(head: &str) -> Engine {
    if header(head, "Libpod-API-Version").is_some() { Engine::Podman } else { Engine::Docker }
}

fn version(head: &str) -> Option<ClientVersion> {
    let (major, minor) = header(head, "API-Version")?.split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let headers = head.lines().skip(1).map_while(|line| line.split_once(':'));
    headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// The socket of an engine that runs as a user: the one who calls, or the one who called sudo.
fn rootless_socket() -> Option<PathBuf> {
    let of_caller = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let of_sudo = env::var_os("SUDO_UID").map(|uid| Path::new("/run/user").join(uid));
    let directories = of_caller.into_iter().chain(of_sudo);
    directories
        .flat_map(|directory| ROOTLESS.map(|socket| directory.join(socket)))
        .find(|socket| fs::metadata(socket).is_ok_and(|socket| socket.uid() != 0))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn who_says_nothing_is_not_asked() {
        assert_eq!(named([Some("unix:///a"), Some("unix:///b")]), Some("unix:///a"));
        for silent in [None, Some("")] {
            assert_eq!(named([silent, Some("unix:///b")]), Some("unix:///b"));
            assert_eq!(named([silent, silent]), None);
        }
    }

    #[test]
    fn a_socket_is_likely_to_be_whose_name_it_has() {
        let [docker, podman] = SOCKETS.map(Engine::at);
        assert_eq!([docker, podman], [Engine::Docker, Engine::Podman]);
    }

    #[tokio::test]
    async fn a_socket_without_a_listener_hides_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name).display().to_string();
        let (missing, deaf, podman) = (at("missing"), at("deaf"), at("podman"));
        // Given a socket that its engine has left behind, and one that is listened on
        drop(UnixListener::bind(&deaf).expect("a socket"));
        let listener = tokio::net::UnixListener::bind(&podman).expect("a socket");
        let answering = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let head = b"HTTP/1.0 200 OK\r\nLibpod-API-Version: 4.3.1\r\n\r\n";
            stream.write_all(head).await.expect("a reader");
            stream
        };
        // When they are looked through, then the one that answers is found
        let sockets = [&*missing, &deaf, &podman];
        let (found, _stream) = tokio::join!(first(&sockets), answering);
        assert_eq!(found.expect("no error").map(|host| host.path), Some(podman.clone()));
        // And without it the one that does not is told of
        let error = first(&sockets[..2]).await.map(|_| ()).expect_err("nobody listens");
        assert!(matches!(&error, DockerError::Unreachable(path, _) if *path == deaf), "{error:?}");
        assert!(first(&sockets[..1]).await.expect("no error").is_none());
    }

    #[test]
    fn each_engine_says_in_its_own_way_that_it_is_rootless() {
        let said = |info| says_rootless(info).ok();
        assert_eq!(said(r#"{"Rootless": true, "SecurityOptions": ["name=seccomp"]}"#), Some(true));
        assert_eq!(said(r#"{"SecurityOptions": ["name=seccomp", "name=rootless"]}"#), Some(true));
        for info in [r#"{"SecurityOptions": null}"#, r#"{"Rootless": false}"#] {
            assert_eq!(said(info), Some(false), "{info}");
        }
        for garbage in ["", "{"] {
            assert_eq!(said(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn an_engine_says_what_it_is_and_which_version_it_speaks() {
        let docker = "HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24\r\n\r\nOK";
        let podman = "HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 4.3.1\r\n\r\nOK";
        let number = |head| version(head).map(|version| version.to_string());
        assert_eq!((engine(docker), number(docker)), (Engine::Docker, Some("1.41".into())));
        assert_eq!((engine(podman), number(podman)), (Engine::Podman, Some("1.41".into())));
        for silent in ["", "HTTP/1.0 500\r\n\r\n", "Api-Version: 1.41", "x\r\nApi-Version: new\r\n"] {
            assert_eq!((engine(silent), number(silent)), (Engine::Docker, None), "{silent:?}");
        }
    }
}
