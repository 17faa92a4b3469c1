//! One machine that the cases of a suite share, as long as none of them fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{machine::Machine, release::Release};
use crate::lan::Lan;

/// A machine on a LAN with a DHCP server.
pub struct Host {
    /// The machine, with `eth0` on the LAN.
    pub machine: Machine,
    /// The LAN.
    pub lan: Lan,
}

impl Host {
    /// Boots one of this run's release.
    pub fn boot() -> Self {
        let lan = Lan::new();
        let mut machine = Machine::boot("host", Release::of_this_run(), &lan, &["br0"]);
        machine.load_web();
        Self { machine, lan }
    }
}

type Slot = Mutex<Option<Host>>;

/// Runs a case on a host that other cases have used and left as it was; one at a time. A case that fails takes the host with
/// it, and the next one gets a new one. The last case that waits for the host ends it.
pub fn on_a_host(case: impl FnOnce(&mut Host)) {
    let shared = shared();
    let mut slot = whole(&shared);
    let mut host = slot.take().unwrap_or_else(Host::boot);
    case(&mut host);
    *slot = Some(host);
}

fn shared() -> Arc<Slot> {
    static SHARED: Mutex<Weak<Slot>> = Mutex::new(Weak::new());
    let mut weak = whole(&SHARED);
    let shared = weak.upgrade().unwrap_or_default();
    *weak = Arc::downgrade(&shared);
    shared
}

/// A case that failed left no host behind, so there is nothing that could be half done.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
