//! A machine on a LAN of its own, for one case.

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
