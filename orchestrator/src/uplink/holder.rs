//! Who has a MAC address that the kernel says is in use, and what to do about it. Pure.

use std::fmt;

use landfall_api::MacAddr;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::{UPLINK, macvlan::index_of};
use crate::{netns::Process, nsid::Nsid, path::is_direct_uplink};

/// A macvlan of the parent that has the MAC address and is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macvlan {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Where it is.
    pub place: Place,
}

/// A network namespace that a macvlan is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host's.
    Host,
    /// One that a process is in.
    Inhabited(Process),
    /// One that no process is in, and that something else keeps alive.
    Empty(Nsid),
}

/// Who has the MAC address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The parent itself.
    Parent,
    /// A macvlan.
    Macvlan(Macvlan),
    /// A macvlan in a container of that name, and the target whose address it may be.
    Container(String, Option<String>),
    /// Nobody that can be seen: a namespace that the kernel is about to remove, or one that has no number here.
    Unseen,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is an uplink of this network container's that was left behind: remove it, by its namespace and index.
    Remove(Nsid, u32),
    /// It may go by itself.
    Wait,
    /// It is somebody's.
    Refuse,
}

/// A MAC address that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// It.
    pub mac: MacAddr,
    /// The interface on whose LAN it is.
    pub parent: String,
    /// Who has it.
    pub holder: Holder,
}

/// Whether a link keeps others of the parent with that index from that MAC address: a macvlan that is up.
pub fn has_mac(link: &LinkMessage, parent: u32, mac: MacAddr) -> bool {
    is_macvlan(link)
        && link.header.flags.contains(LinkFlags::Up)
        && link.attributes.contains(&LinkAttribute::Link(parent))
        && link.attributes.contains(&LinkAttribute::Address(mac.0.to_vec()))
}

/// Whether a link is a macvlan, or the macvtap of a virtual machine.
pub fn is_macvlan(link: &LinkMessage) -> bool {
    let is_kind = |info: &LinkInfo| matches!(info, LinkInfo::Kind(InfoKind::MacVlan | InfoKind::MacVtap));
    link.attributes.iter().any(|a| matches!(a, LinkAttribute::LinkInfo(infos) if infos.iter().any(is_kind)))
}

/// Whether a macvlan of that name and index is an uplink that was made for that network container: nobody else gives this index.
pub fn is_uplink(name: &str, index: u32, container: &str) -> bool {
    index == index_of(container) && (name == UPLINK || is_direct_uplink(name))
}

/// What to do about the one that keeps the network container of that name from its MAC address.
///
/// Removed is only an uplink of that very network container, where no process is: so no agent is, nor a target.
pub fn decide(holder: &Holder, container: &str) -> Verdict {
    let Holder::Macvlan(Macvlan { name, index, place }) = holder else {
        return if *holder == Holder::Unseen { Verdict::Wait } else { Verdict::Refuse };
    };
    let is_ours = is_uplink(name, *index, container);
    match place {
        Place::Empty(nsid) if is_ours => Verdict::Remove(*nsid, *index),
        // Its container may have ended just now.
        Place::Empty(_) => Verdict::Wait,
        // Who looks around in what was left ends some time.
        Place::Inhabited(process) if is_ours && process.container.is_none() => Verdict::Wait,
        Place::Host | Place::Inhabited(_) => Verdict::Refuse,
    }
}

impl InUse {
    /// The id of the container that has it, as far as is known.
    pub fn container(&self) -> Option<&str> {
        match &self.holder {
            Holder::Macvlan(Macvlan { place: Place::Inhabited(process), .. }) => process.container.as_deref(),
            Holder::Macvlan(_) | Holder::Parent | Holder::Container(..) | Holder::Unseen => None,
        }
    }
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mac, parent, holder } = self;
        write!(f, "the MAC address {mac} is in use by ")?;
        let another = "choose another one with --mac";
        match holder {
            Holder::Parent => write!(f, "{parent} itself\n  {another}"),
            Holder::Container(name, None) => write!(f, "the container {name}, on {parent}\n  {another}"),
            Holder::Container(name, Some(target)) => write!(
                f,
                "the container {name}, on {parent}\n  {another}; or take the address of {target} away: landfall down {target}"
            ),
            Holder::Macvlan(Macvlan { name, place: Place::Host, .. }) => {
                write!(f, "the host's macvlan {name}, on {parent}\n  {another}")
            }
            Holder::Macvlan(Macvlan {
                name,
                place: Place::Inhabited(Process { pid, name: program, .. }),
                ..
            }) => {
                write!(
                    f,
                    "the process {pid} ({program}): the macvlan {name} of {parent} is in its network namespace\n  end the process, or {another}"
                )
            }
            Holder::Macvlan(Macvlan { name, place: Place::Empty(nsid), .. }) => write!(
                f,
                "{name} in a network namespace without a process (nsid {nsid}), on {parent}\n  see what keeps it: grep -l net: /proc/[0-9]*/mountinfo; or {another}"
            ),
            Holder::Unseen => write!(
                f,
                "another macvlan of {parent}, in a network namespace without a process\n  see what keeps it: grep -l net: /proc/[0-9]*/mountinfo; or {another}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "landfall-web";

    fn macvlan(name: &str, index: u32, place: Place) -> Holder {
        Holder::Macvlan(Macvlan { name: name.into(), index, place })
    }

    fn process(container: Option<&str>) -> Place {
        Place::Inhabited(Process { pid: 7, name: "sleep".into(), container: container.map(str::to_owned) })
    }

    fn nsid() -> Nsid {
        Nsid::new(5).expect("a number")
    }

    #[test]
    fn only_what_is_ours_and_where_nobody_is_is_removed() {
        let (index, empty) = (index_of(OURS), Place::Empty(nsid()));
        for name in ["lan0", "ll0123abcd"] {
            let left = macvlan(name, index, empty.clone());
            assert_eq!(decide(&left, OURS), Verdict::Remove(nsid(), index));
            // That of another network container's goes by itself, or it does not
            assert_eq!(decide(&left, "landfall-mail"), Verdict::Wait);
            assert_eq!(decide(&macvlan(name, 2, empty.clone()), OURS), Verdict::Wait);
            assert_eq!(decide(&macvlan(name, index, process(None)), OURS), Verdict::Wait);
            assert_eq!(decide(&macvlan(name, index, process(Some("0f"))), OURS), Verdict::Refuse);
            assert_eq!(decide(&macvlan(name, index, Place::Host), OURS), Verdict::Refuse);
        }
        assert_eq!(decide(&macvlan("eth0", index, empty), OURS), Verdict::Wait);
        assert_eq!(decide(&Holder::Unseen, OURS), Verdict::Wait);
        assert_eq!(decide(&Holder::Parent, OURS), Verdict::Refuse);
        assert_eq!(decide(&macvlan("lan0", 2, process(None)), OURS), Verdict::Refuse);
    }

    #[test]
    fn a_mac_address_is_had_by_a_macvlan_of_the_parent_that_is_up() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let kind = |kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
        let link = |kind, parent, flags| {
            let mut link = LinkMessage::default();
            link.header.flags = flags;
            link.attributes = vec![LinkAttribute::Address(mac.0.to_vec()), LinkAttribute::Link(parent), kind];
            link
        };
        let has = |link| has_mac(&link, 3, mac);
        assert!(has(link(kind(InfoKind::MacVlan), 3, LinkFlags::Up)));
        assert!(has(link(kind(InfoKind::MacVtap), 3, LinkFlags::Up)));
        assert!(!has(link(kind(InfoKind::MacVlan), 3, LinkFlags::empty())));
        assert!(!has(link(kind(InfoKind::MacVlan), 4, LinkFlags::Up)));
        assert!(!has(link(kind(InfoKind::Veth), 3, LinkFlags::Up)));
        assert!(!has_mac(&link(kind(InfoKind::MacVlan), 3, LinkFlags::Up), 3, MacAddr([2, 0, 0, 0, 0, 2])));
    }

    #[test]
    fn who_has_it_is_said_with_a_remedy() {
        let said =
            |holder| InUse { mac: MacAddr([2, 0, 0, 0, 0, 1]), parent: "eth0".into(), holder }.to_string();
        for (holder, words) in [
            (Holder::Parent, "in use by eth0 itself\n  choose another one with --mac"),
            (Holder::Container("db".into(), None), "in use by the container db, on eth0\n  choose"),
            (
                Holder::Container("landfall-db".into(), Some("db".into())),
                "take the address of db away: landfall down db",
            ),
            (macvlan("m0", 2, Place::Host), "in use by the host's macvlan m0, on eth0\n  choose"),
            (
                macvlan("m0", 2, process(None)),
                "in use by the process 7 (sleep): the macvlan m0 of eth0 is in",
            ),
            (
                macvlan("m0", 2, Place::Empty(nsid())),
                "(nsid 5), on eth0\n  see what keeps it: grep -l net: /proc/[0-9]*/mountinfo; or",
            ),
            (Holder::Unseen, "in use by another macvlan of eth0, in"),
        ] {
            let said = said(holder);
            assert!(
                said.starts_with("the MAC address 02:00:00:00:00:01 is ") && said.contains(words),
                "{said}"
            );
        }
    }
}
