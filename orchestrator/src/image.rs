//! The agent image that this program carries.

use crate::{docker::Docker, error::Error, progress::Progress};

/// What `docker load` takes; empty if the program was built without it.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent-image.tar.gz"));
const ID: &str = env!("LANDFALL_AGENT_IMAGE_ID");
const TAG: &str = concat!("landfall-agent:", env!("CARGO_PKG_VERSION"));

/// The id of the agent's image: that of `reference`, or else of the one that is carried, which is loaded if need be.
///
/// # Errors
/// If the image is not to be had.
pub async fn provide(docker: &Docker, reference: Option<&str>, progress: &Progress) -> Result<String, Error> {
    if let Some(reference) = reference {
        return docker
            .image(reference)
            .await?
            .ok_or_else(|| Error::NoImage(reference.escape_debug().to_string()));
    }
    if ARCHIVE.is_empty() {
        return Err(Error::NoCarriedImage);
    }
    if let Some(id) = docker.image(ID).await? {
        return Ok(id);
    }
    progress.step("loading the agent image");
    docker.load(ARCHIVE).await?;
    // An engine that keeps images by the digest of their manifest knows ours by its tag only.
    match docker.image(ID).await? {
        Some(id) => Ok(id),
        None => docker.image(TAG).await?.ok_or_else(|| Error::NoImage(TAG.to_owned())),
    }
}
