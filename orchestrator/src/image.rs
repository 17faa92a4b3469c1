//! The agent image: the one that this program carries, or another.

use std::io::{self, Read as _};

use flate2::read::GzDecoder;

use crate::{docker::Docker, error::Error, progress::Progress};

/// What `docker load` takes, compressed; empty if the program was built without it.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent-image.tar.gz"));
/// The ids of the loaded image: the digest of its configuration or, in containerd's image store, of its manifest. Both identify its
/// content. A tag does not: anybody may give it to another image.
const IDS: [&str; 2] = [env!("LANDFALL_AGENT_IMAGE_ID"), env!("LANDFALL_AGENT_IMAGE_MANIFEST")];
const TAG: &str = concat!("landfall-agent:", env!("CARGO_PKG_VERSION"));

/// The id of the agent's image: that of `reference`, or else of the one that is carried, which is loaded if need be.
///
/// # Errors
/// If the image is not to be had.
pub async fn provide(docker: &Docker, reference: Option<&str>, progress: &Progress) -> Result<String, Error> {
    if let Some(reference) = reference {
        return named(docker, reference, progress).await;
    }
    if ARCHIVE.is_empty() {
        return Err(Error::NoCarriedImage);
    }
    if let Some(id) = carried(docker).await? {
        return Ok(id);
    }
    progress.step("loading the agent image");
    docker.load(archive().map_err(|error| Error::Io("unpack the agent image", error))?).await?;
    // An engine may use yet another id; right after the load, the tag means the image that was loaded.
    match carried(docker).await? {
        Some(id) => Ok(id),
        None => docker.image(TAG).await?.ok_or_else(|| Error::NoImage(TAG.to_owned())),
    }
}

/// The id of the image that is carried, if it is there.
async fn carried(docker: &Docker) -> Result<Option<String>, Error> {
    for id in IDS {
        if let Some(id) = docker.image(id).await? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The image of that name, which is pulled if it is not there and its name says from where.
async fn named(docker: &Docker, reference: &str, progress: &Progress) -> Result<String, Error> {
    if let Some(id) = docker.image(reference).await? {
        return Ok(id);
    }
    let shown = || reference.escape_debug().to_string();
    let Some((name, tag)) = of_registry(reference) else { return Err(Error::NoImage(shown())) };
    progress.step(&format!("pulling {}", shown()));
    docker.pull(name, tag).await?;
    docker.image(reference).await?.ok_or_else(|| Error::NoImage(shown()))
}

/// The parts of a reference that names its registry: `host.example/name`, `localhost/name`, `host:5000/name`, and its tag or
/// digest. Any other name is one that this host gave, or that an engine would look for in a registry of its own choice.
fn of_registry(reference: &str) -> Option<(&str, &str)> {
    let (host, path) = reference.split_once('/')?;
    if !host.contains(['.', ':']) && host != "localhost" {
        return None;
    }
    if let Some(parts) = reference.split_once('@') {
        return Some(parts);
    }
    let parts = path.rsplit_once(':').map(|(_, tag)| reference.split_at(reference.len() - tag.len()));
    Some(parts.map_or((reference, "latest"), |(name, tag)| (name.trim_end_matches(':'), tag)))
}

/// The archive as every engine takes it: Podman 4.3 loads none that is compressed.
fn archive() -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(ARCHIVE).read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reference_that_names_its_registry_is_pulled() {
        let cases = [
            ("landfall-agent:0.1.0", None),
            ("team/agent:1", None),
            ("ghcr.example/team/agent", Some(("ghcr.example/team/agent", "latest"))),
            ("localhost/agent:1", Some(("localhost/agent", "1"))),
            ("127.0.0.1:5000/agent:1", Some(("127.0.0.1:5000/agent", "1"))),
            ("host:5000/agent", Some(("host:5000/agent", "latest"))),
            ("host:5000/a/b@sha256:00", Some(("host:5000/a/b", "sha256:00"))),
            ("host:5000/a:1@sha256:00", Some(("host:5000/a:1", "sha256:00"))),
        ];
        for (reference, expected) in cases {
            assert_eq!(of_registry(reference), expected, "{reference}");
        }
    }
}
