//! Makes a practice LAN, or what is missing of one. Every step finds what is there already, so a kill between any two
//! of them is repaired by the next `up`, and `down` finds all that was made.

use super::{
    Lab,
    dhcp::LeaseTime,
    down,
    error::LabError,
    lan,
    links::{Change, converse},
    name::Name,
    netns, serve,
    subnet::Subnet,
};
use crate::netns::{Id, Netns};

/// What to make.
#[derive(Debug)]
pub struct Plan {
    /// What it is called.
    pub name: Name,
    /// Its subnet; `None` is the one that it has, or else the default.
    pub subnet: Option<Subnet>,
    /// How long its leases last, if its server is to be started.
    pub lease_time: LeaseTime,
}

/// What `up` came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing; it was made.
    Made,
    /// A half-made one; the rest was made.
    Repaired,
    /// The LAN, whole.
    Found,
}

/// Brings the practice LAN up. If it was not there before and cannot be made, nothing of it is left.
pub async fn up(plan: &Plan) -> Result<(Lab, Outcome), LabError> {
    let _lock = netns::lock().map_err(LabError::io("lock the directory of network namespaces"))?;
    match open(&plan.name)? {
        Some(namespace) => complete(plan, &namespace).await.map(|(lab, change)| match change {
            Change::Made => (lab, Outcome::Repaired),
            Change::Found => (lab, Outcome::Found),
        }),
        None => match make(plan).await {
            Ok(lab) => Ok((lab, Outcome::Made)),
            Err(error) => {
                take_back(&plan.name).await;
                Err(error)
            }
        },
    }
}

/// The lab's namespace, unless it is the one that this process is in.
pub fn open(name: &Name) -> Result<Option<Netns>, LabError> {
    let failed = LabError::io("open the network namespace");
    let Some(namespace) = netns::open(&name.namespace()).map_err(&failed)? else { return Ok(None) };
    if namespace.id().map_err(&failed)? == Id::own().map_err(&failed)? {
        return Err(LabError::Inside { name: name.clone() });
    }
    Ok(Some(namespace))
}

async fn make(plan: &Plan) -> Result<Lab, LabError> {
    let created = netns::create(&plan.name.namespace());
    let namespace = created.map_err(LabError::io("make a network namespace"))?;
    complete(plan, &namespace).await.map(|(lab, _)| lab)
}

async fn complete(plan: &Plan, namespace: &Netns) -> Result<(Lab, Change), LabError> {
    let (subnet, wired) = converse(None, async |host| {
        converse(Some(namespace), async |inside| {
            let (bridge, subnet, bridged) = lan::bridge(plan, inside).await?;
            let ends = lan::Ends { host, inside, interface: &plan.name.interface() };
            let paired = ends.pair(namespace).await?;
            ends.plug_in(&bridge).await?;
            Ok((subnet, bridged.and(paired)))
        })
        .await
    })
    .await?;
    let lab = Lab { name: plan.name.clone(), subnet };
    let served = serve::start(namespace, &lab, plan.lease_time)?;
    Ok((lab, wired.and(served)))
}

async fn take_back(name: &Name) {
    if let Err(error) = down::remove(name).await {
        tracing::warn!(%error, "could not take back what was made");
    }
}
