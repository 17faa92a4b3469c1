//! The processes in a network namespace: found by what the kernel says, so that nobody needs to write down their ids.
//! Refuses to know what they do there.

use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{Pid, getpid},
};
use tokio::time::{interval, timeout};

use super::error::LabError;
use crate::netns::{Id, Netns};

/// How long a process has to end after SIGTERM, and to be gone after SIGKILL.
const GRACE: Duration = Duration::from_secs(1);
/// How often to look whether they are gone.
const LOOK: Duration = Duration::from_millis(5);

/// Ends all processes of the namespace: SIGTERM, and SIGKILL after a second. Says how many there were.
pub async fn end(namespace: &Netns) -> Result<usize, LabError> {
    let namespace = namespace.id().map_err(LabError::io("open the network namespace"))?;
    let mut ended = BTreeSet::new();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut told = BTreeSet::new();
        let gone = timeout(GRACE, until_gone(namespace, signal, &mut told)).await;
        ended.append(&mut told);
        if let Ok(result) = gone {
            return result.map(|()| ended.len());
        }
    }
    Err(LabError::Survivors { pids: residents(namespace)? })
}

/// Sends the signal once to each process, also to those that appear meanwhile, until there are none.
async fn until_gone(namespace: Id, signal: Signal, told: &mut BTreeSet<Pid>) -> Result<(), LabError> {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let residents = residents(namespace)?;
        if residents.is_empty() {
            return Ok(());
        }
        for pid in residents {
            if told.insert(pid) {
                // It may have ended by itself since.
                kill(pid, signal)
                    .or_else(ignore_ended)
                    .map_err(io::Error::from)
                    .map_err(LabError::io("end a process"))?;
            }
        }
    }
}

fn ignore_ended(error: Errno) -> nix::Result<()> {
    if error == Errno::ESRCH { Ok(()) } else { Err(error) }
}

fn residents(namespace: Id) -> Result<Vec<Pid>, LabError> {
    let processes = fs::read_dir("/proc").map_err(LabError::io("list the processes"))?;
    let pids = processes.filter_map(|entry| pid(&entry)).filter(|pid| *pid != getpid());
    Ok(pids.filter(|pid| is_in(*pid, namespace)).collect())
}

fn pid(entry: &io::Result<fs::DirEntry>) -> Option<Pid> {
    entry.as_ref().ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw)
}

/// A process that has ended since, or is a zombie, is nowhere.
fn is_in(pid: Pid, namespace: Id) -> bool {
    Id::of(Path::new(&format!("/proc/{pid}/ns/net"))).is_ok_and(|id| id == namespace)
}
