//! The other containers that the command line names: those that ports lead to, and replicas.

use crate::{docker::Container, error::Error, path::Other, ports::Publish};

/// What was typed, with every container under its name, and the others than the target, as `find` finds them.
///
/// # Errors
/// If one is not found, or is named as a replica of itself.
pub async fn find(
    typed: &[Publish],
    replicas: &[String],
    target: &Container,
    find: impl AsyncFn(&str) -> Result<Container, Error>,
) -> Result<(Vec<Publish>, Vec<Other>), Error> {
    let mut others: Vec<Other> = Vec::new();
    let is_among = |others: &[Other], container: &Container| {
        others.iter().any(|other| other.container.id == container.id)
    };
    for replica in replicas {
        let container = find(replica).await?;
        if container.id == target.id {
            return Err(Error::OwnReplica(container.name));
        }
        if !is_among(&others, &container) {
            others.push(Other { container, is_replica: true });
        }
    }
    let mut publish = Vec::new();
    for typed in typed {
        let Some(name) = typed.target() else {
            publish.push(typed.clone());
            continue;
        };
        let container = find(name).await?;
        publish.push(typed.clone().with_target(container.name.clone()));
        if container.id != target.id && !is_among(&others, &container) {
            others.push(Other { container, is_replica: false });
        }
    }
    Ok((publish, others))
}
