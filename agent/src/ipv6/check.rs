//! What has become of the addresses that the kernel was told to have: whether they are ours. Pure.

use std::{net::Ipv6Addr, time::Duration};

use super::{
    configuration::Configuration,
    host::{Action, Found, Host, Presence},
};
use crate::{dhcp::Context, dhcp6};

/// After so long somebody else's address is tried again: whoever said so may be gone, or have lied.
const DUPLICATE_AGAIN: Duration = Duration::from_mins(10);

impl Host {
    /// Takes which addresses the interface has now, and finds out which of ours are somebody else's.
    pub(super) fn addresses(&mut self, found: Vec<Found>, context: &mut Context<'_>) -> Vec<Action> {
        let mut actions = self.look_at_link_local(&found, context);
        self.present = found;
        let own: Vec<Ipv6Addr> = self.configured.addresses.iter().map(|address| address.net.addr()).collect();
        let ready = self.present.iter().filter(|found| found.presence == Presence::Ready);
        self.checked.extend(ready.map(|found| found.address));
        let is_checking = |address: &Ipv6Addr| {
            self.present.contains(&Found { address: *address, presence: Presence::Tentative })
        };
        self.checked.retain(|address| own.contains(address) && !is_checking(address));
        self.checked.sort_unstable();
        self.checked.dedup();
        let failed: Vec<Ipv6Addr> = own.iter().copied().filter(|address| self.has_failed(*address)).collect();
        for address in failed {
            if self.dhcp.lease().is_some_and(|lease| lease.address == address) {
                actions.extend(self.ask_dhcp(dhcp6::Event::Duplicate(address), context));
            } else {
                self.duplicates.push((address, self.now + DUPLICATE_AGAIN));
            }
            actions.push(Action::Warn(format!("{address} is used by somebody else on the LAN")));
        }
        // Who sets the interface down and up again takes its addresses.
        let is_there = |address: &Ipv6Addr| self.present.iter().any(|found| found.address == *address);
        if !own.iter().all(is_there) {
            self.configured = Configuration::default();
        }
        actions
    }

    fn look_at_link_local(&mut self, found: &[Found], context: &mut Context<'_>) -> Vec<Action> {
        let of = |presence: Presence| {
            move |found: &&Found| found.address.is_unicast_link_local() && found.presence == presence
        };
        let mut actions = Vec::new();
        if let Some(duplicate) = found.iter().find(of(Presence::Duplicate))
            && !self.present.contains(duplicate)
        {
            actions.push(Action::Warn(format!(
                "{} is used by somebody else on the LAN, so there is no IPv6; is there another machine with the MAC address {}?",
                duplicate.address, self.mac
            )));
        }
        let link_local = found.iter().find(of(Presence::Ready)).map(|found| found.address);
        if self.link_local != link_local {
            self.link_local = link_local;
            actions.extend(self.start_or_pause(context));
        }
        actions
    }

    /// Whether a check has shown that an address of ours is somebody else's. The kernel keeps such an address, with a mark, or
    /// takes it away, by how long it would have lived; that may be over before anybody looks.
    fn has_failed(&self, address: Ipv6Addr) -> bool {
        match self.present.iter().find(|found| found.address == address).map(|found| found.presence) {
            Some(Presence::Duplicate) => true,
            Some(Presence::Tentative | Presence::Ready) => false,
            None => self.is_up && !self.checked.contains(&address),
        }
    }
}
