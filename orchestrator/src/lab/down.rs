//! Removes a practice LAN, whole or half-made. The name of its namespace goes last: as long as something is left,
//! the next `down` finds it.

use std::fmt;

use super::{
    error::LabError,
    links::{converse, is_veth},
    name::Name,
    netns, residents, up,
};

/// What was there, and is no more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    interface: Option<String>,
    processes: usize,
    namespace: Option<String>,
}

/// Removes the practice LAN and ends what runs in it.
pub async fn down(name: &Name) -> Result<Removed, LabError> {
    let _lock = netns::lock().map_err(LabError::io("lock the directory of network namespaces"))?;
    remove(name).await
}

/// The same, under the lock of the caller.
pub async fn remove(name: &Name) -> Result<Removed, LabError> {
    let namespace = up::open(name)?;
    let interface = remove_interface(name.interface()).await;
    let processes = match namespace {
        Some(namespace) => residents::end(&namespace).await,
        None => Ok(0),
    };
    // Both were attempted before either failure counts.
    let (interface, processes) = (interface?, processes?);
    let deleted = netns::delete(&name.namespace());
    let deleted = deleted.map_err(LabError::io("remove the network namespace"))?;
    Ok(Removed { interface, processes, namespace: deleted.then(|| name.namespace()) })
}

/// An interface of that name that is no veth is somebody else's.
async fn remove_interface(interface: String) -> Result<Option<String>, LabError> {
    converse(None, async |host| match host.find(&interface).await? {
        Some(link) if is_veth(&link) => host.remove(&link).await.map(|()| Some(interface)),
        Some(_) | None => Ok(None),
    })
    .await
}

impl fmt::Display for Removed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interface = self.interface.as_ref().map(|name| format!("interface {name}"));
        let processes = match self.processes {
            0 => None,
            1 => Some("1 process".to_owned()),
            several => Some(format!("{several} processes")),
        };
        let namespace = self.namespace.as_ref().map(|name| format!("network namespace {name}"));
        let removed: Vec<String> = [interface, processes, namespace].into_iter().flatten().collect();
        if removed.is_empty() {
            return formatter.write_str("nothing was there");
        }
        write!(formatter, "removed {}", removed.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_removed_and_no_more() {
        assert_eq!(Removed::default().to_string(), "nothing was there");
        let half = Removed { namespace: Some("landfall-x".to_owned()), ..Removed::default() };
        assert_eq!(half.to_string(), "removed network namespace landfall-x");
        let whole = Removed { interface: Some("lf-x".to_owned()), processes: 2, ..half };
        let expected = "removed interface lf-x, 2 processes, network namespace landfall-x";
        assert_eq!(whole.to_string(), expected);
    }
}
