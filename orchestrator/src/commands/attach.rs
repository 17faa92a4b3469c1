//! Makes an uplink, and says by its name which container keeps it from its MAC address.

use crate::{
    docker::Docker,
    error::Error,
    identity::container_name,
    network_container,
    patience::Patience,
    uplink::{Holder, InUse, Parent, Uplink, UplinkError, create_macvlan},
};

/// Makes it.
///
/// # Errors
/// If somebody else has its MAC address, or the kernel or Docker refuses.
pub(super) async fn attach(
    docker: &Docker,
    parent: &Parent,
    uplink: Uplink<'_>,
    patience: Patience,
) -> Result<(), Error> {
    match Box::pin(create_macvlan(parent, uplink, patience)).await {
        Err(UplinkError::MacInUse(in_use)) => {
            Err(UplinkError::MacInUse(Box::new(with_name(docker, *in_use).await)).into())
        }
        result => Ok(result?),
    }
}

/// As it is, where Docker does not say more.
async fn with_name(docker: &Docker, in_use: InUse) -> InUse {
    let Some(id) = in_use.container() else { return in_use };
    let Ok(Some(container)) = docker.container(id).await else { return in_use };
    let target = network_container::target(&container).unwrap_or(&container.name).to_owned();
    let ours = docker.container(&container_name(&target)).await.ok().flatten();
    let exposed = ours.filter(|ours| network_container::target(ours) == Some(&target)).map(|_| target);
    InUse { holder: Holder::Container(container.name, exposed), ..in_use }
}
