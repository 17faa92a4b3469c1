//! Who a network container is: what about it cannot change without making a new one. Pure.

use landfall_api::{Dhcp, Family, HostName, MacAddr};
use sha2::{Digest as _, Sha256};

use crate::path::Path;

/// What makes two network containers of one target the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The uplink's parent on the host.
    pub interface: String,
    /// The uplink's MAC address, from which the DHCP client identifier is made.
    pub mac: MacAddr,
    /// What DHCP servers are told.
    pub dhcp: Dhcp,
    /// Of which families it is to have addresses.
    pub family: Family,
    /// Whether packets of established connections take a short cut.
    pub offload: bool,
    /// The other containers that it leads to, by name, in order.
    pub others: Vec<String>,
    /// How it reaches the target.
    pub path: Path,
    /// The id of the agent's image.
    pub image: String,
}

/// The MAC address for `target` on the host with `machine_id`: always the same, locally administered, unicast.
pub fn derive_mac(machine_id: &str, target: &str) -> MacAddr {
    let digest = Sha256::new()
        .chain_update("landfall\0")
        .chain_update(machine_id)
        .chain_update("\0")
        .chain_update(target)
        .finalize();
    let mut octets = [0; 6];
    octets.copy_from_slice(&digest[..6]);
    octets[0] = octets[0] & 0xfc | 0x02;
    MacAddr(octets)
}

/// The host name for a target of that name, if one can be made of it.
pub fn derive_hostname(target: &str) -> Option<HostName> {
    target.replace(['_', '.'], "-").trim_matches('-').parse().ok()
}

/// What the network container of a target is called.
pub fn container_name(target: &str) -> String {
    format!("landfall-{target}")
}

/// Whether a container can have that name, by Docker's rule.
pub fn is_container_name(name: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    name.len() > 1 && name.as_bytes()[0].is_ascii_alphanumeric() && name.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_the_same_every_time_and_nowhere_else() {
        let mac = derive_mac("3d1219c7", "web");
        assert_eq!(mac, derive_mac("3d1219c7", "web"));
        assert_ne!(mac, derive_mac("3d1219c7", "mail"));
        assert_ne!(mac, derive_mac("4d1219c7", "web"));
        assert_eq!(mac.0[0] & 3, 2, "{mac} is not a locally administered unicast address");
    }

    #[test]
    fn a_host_name_is_made_of_the_targets_name_where_that_is_possible() {
        let made = |target| derive_hostname(target).map(|name| name.to_string());
        assert_eq!(made("web"), Some("web".into()));
        assert_eq!(made("my_web.1"), Some("my-web-1".into()));
        assert_eq!(made("web_"), Some("web".into()));
        assert_eq!(made(&"x".repeat(64)), None);
    }

    #[test]
    fn a_container_name_follows_dockers_rule() {
        for good in ["web", "my_web.1", "0a"] {
            assert!(is_container_name(good), "{good} was refused");
        }
        for bad in ["", "a", "-web", "_web", "we b", "$(id)", "wéb", "a/b", "web\n"] {
            assert!(!is_container_name(bad), "{bad:?} was accepted");
        }
    }
}
