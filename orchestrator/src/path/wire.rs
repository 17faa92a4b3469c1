//! The wire: a pair of interfaces, one in the network container and one in the target, so that the target sees the real
//! addresses of its clients. Nothing in the target translates or tracks anything: answers find their way by routing rules.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd as _,
    path::Path,
};

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use landfall_api::{Forward, PortRange, SHARED_TABLE};
use nix::errno::Errno;
use rtnetlink::{
    IpVersion, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::AddressScope,
        link::{InfoData, InfoVeth, LinkMessage},
        route::{RouteHeader, RouteMessage},
    },
};
use tracing::debug;

use super::{
    PathError,
    direct::is_uplink,
    end::{End, Side},
    pair::{Pair, assign},
    rules::{Rule, direct, over_ipv6, rules, rules6},
};
use crate::{
    netlink::{OURS, are_pair, ignore, is, refused, short_name},
    netns::Id,
};

/// The end in the network container, of the wire to the target that it is for.
const END: &str = "wire0";

/// The wire from one network container to its target: as it is, or as it is to be.
pub struct Wire {
    name: String,
    end: String,
    pair: Option<Pair>,
    /// What else the target has addresses in.
    occupied: Vec<Ipv4Net>,
    target: Side,
}

impl Wire {
    /// The wire from the network container of that name to the target in the namespace at `path`: the one that is there, or
    /// else one with addresses that are free.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn find(container: &str, path: &Path) -> Result<Self, PathError> {
        let mut wire = Self::look(container, None, path).await?;
        Self::settle(&mut [&mut wire]);
        Ok(wire)
    }

    /// The one that is there, to the target or to another container of that name. What addresses it is to have `settle` says.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn look(container: &str, other: Option<&str>, path: &Path) -> Result<Self, PathError> {
        let end = other.map_or_else(|| END.to_owned(), |other| short_name("wire", other));
        let target = Side::open(path, "the target")?;
        let name = short_name("lf", container);
        let addresses = target.netlink.addresses().await?;
        let own = target.netlink.link(&name).await?.map(|link| link.header.index);
        let (its, others): (Vec<_>, Vec<_>) = addresses.iter().partition(|(index, _)| Some(*index) == own);
        let nets =
            |all: Vec<&(u32, Ipv4Net)>| -> Vec<Ipv4Net> { all.into_iter().map(|(_, net)| *net).collect() };
        Ok(Self { name, end, pair: Pair::of(&nets(its)), occupied: nets(others), target })
    }

    /// Gives each of these wires of one network container a pair of its own: those that are there keep theirs.
    pub fn settle(wires: &mut [&mut Self]) {
        let present: Vec<(Option<Pair>, &[Ipv4Net])> =
            wires.iter().map(|wire| (wire.pair, &*wire.occupied)).collect();
        let assigned = assign(&present);
        for (wire, pair) in wires.iter_mut().zip(assigned) {
            wire.pair = pair;
        }
    }

    /// The table of the wire, by which it is known in the target.
    pub fn table(&self) -> Option<u32> {
        self.pair.map(Pair::number)
    }

    /// The target's ports whose datagrams are answered over something else that landfall has made there than what has the table
    /// `own`.
    pub async fn foreign_datagrams(&self, own: Option<u32>) -> Vec<PortRange> {
        let found = async { Ok::<_, PathError>((self.rules(&IpVersion::V4).await?, self.tables().await?)) };
        let (found, alive) = match found.await {
            Ok(found) => found,
            Err(error) => {
                debug!(%error, "not known what else leads out of the target");
                return Vec::new();
            }
        };
        let ports = found.iter().filter_map(|rule| match rule {
            Rule::Datagrams(ports, table) if Some(*table) != own && alive.contains(table) => Some(*ports),
            Rule::Datagrams(..) | Rule::From(..) | Rule::Neighbours | Rule::Unbound(_) => None,
        });
        ports.collect()
    }

    /// The target's address on it.
    ///
    /// # Errors
    /// If none is free.
    pub fn address(&self) -> Result<Ipv4Addr, PathError> {
        Ok(self.pair.ok_or(PathError::Full)?.target().addr())
    }

    /// The target's IPv6 address on it.
    ///
    /// # Errors
    /// If none is free.
    pub fn address6(&self) -> Result<Ipv6Addr, PathError> {
        Ok(self.pair.ok_or(PathError::Full)?.target6().addr())
    }

    /// Which namespace the target is in.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn target(&self) -> io::Result<Id> {
        self.target.namespace.id()
    }

    /// Whether its end in the target is there.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn is_laid(&self) -> Result<bool, PathError> {
        Ok(self.target.netlink.link(&self.name).await?.is_some())
    }

    /// Makes what is missing of it, to the network container whose namespace is at `path`, for these forwards.
    ///
    /// # Errors
    /// If the kernel refuses, or no addresses are free.
    pub async fn lay(&self, path: &Path, mtu: u32, forward: &[Forward]) -> Result<(), PathError> {
        let pair = self.pair.ok_or(PathError::Full)?;
        let container = Side::open(path, "the network container")?;
        let (near, far) = self.ends(pair, &container).await?;
        // Masquerade takes no address of link scope; the target's own connections must take no other.
        let has_v6 = forward.iter().any(|forward| forward.to6().is_some());
        let near = End {
            side: &container,
            name: &self.end,
            index: near,
            net: pair.gateway(),
            net6: has_v6.then(|| pair.gateway6()),
            scope: AddressScope::Universe,
        };
        let far = End {
            side: &self.target,
            name: &self.name,
            index: far,
            net: pair.target(),
            net6: has_v6.then(|| pair.target6()),
            scope: AddressScope::Link,
        };
        for end in [&near, &far] {
            end.bring_up(mtu).await?;
        }
        for end in [&near, &far] {
            end.side.netlink.settle(end.name).await?;
        }
        let ways = [Some(route(pair, far.index)), has_v6.then(|| route6(pair, far.index))];
        for way in ways.into_iter().flatten() {
            let led = self.target.netlink.handle.route().add(way).replace().execute().await;
            led.map_err(refused("lead the target's answers over the wire"))?;
        }
        self.set_rules(Some(pair.number()), &rules(pair, forward), &rules6(pair, forward)).await
    }

    /// Removes what of it is in the target, where these forwards come over an uplink of the target's own: what is sent from that
    /// address is the agent's business, and only datagrams from no address are left.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn give_way(&self, forward: &[Forward]) -> Result<(), PathError> {
        self.remove_end().await?;
        self.set_rules(Some(SHARED_TABLE), &direct(forward), &direct(&over_ipv6(forward))).await
    }

    /// Removes what of it is in the target.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn clear(&self) -> Result<(), PathError> {
        self.remove_end().await?;
        self.forget_rules().await
    }

    /// Removes the rules of what is not in the target any more.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn forget_rules(&self) -> Result<(), PathError> {
        match self.set_rules(None, &[], &[]).await {
            Err(PathError::NoRules) => Ok(()),
            result => result,
        }
    }

    async fn remove_end(&self) -> Result<(), PathError> {
        match self.target.netlink.link(&self.name).await? {
            Some(end) => Ok(self.target.netlink.remove(end.header.index).await?),
            None => Ok(()),
        }
    }

    /// The indices of both ends, in the network container and in the target.
    async fn ends(&self, pair: Pair, container: &Side) -> Result<(u32, u32), PathError> {
        let (inside, target) = (&container.netlink, &self.target.netlink);
        let (near, far) = (inside.link(&self.end).await?, target.link(&self.name).await?);
        if let (Some(near), Some(far)) = (&near, &far)
            && are_pair(near, far)
            && far.header.index == pair.number()
        {
            return Ok((near.header.index, far.header.index));
        }
        // One that leads elsewhere, or is about to go with a network container that has ended.
        if let Some(near) = near {
            inside.remove(near.header.index).await?;
        }
        if let Some(far) = far {
            target.remove(far.header.index).await?;
        }
        let made = target.handle.link().add(self.veth(pair, container)).execute().await;
        made.map_err(refused(format!("make a wire to the network container, {} in the target", self.name)))?;
        let (near, far) = (inside.link(&self.end).await?, target.link(&self.name).await?);
        near.zip(far).map(|(near, far)| (near.header.index, far.header.index)).ok_or(PathError::Vanished)
    }

    /// Both ends, each in its own namespace from the beginning: there is no moment at which one could be left on the host.
    ///
    /// They have different indices: where those of a veth's two ends are the same number, the kernel takes up to a second
    /// until they can send.
    fn veth(&self, pair: Pair, container: &Side) -> LinkMessage {
        let near = LinkUnspec::new_with_name(&self.end).setns_by_fd(container.namespace.as_raw_fd()).build();
        LinkMessageBuilder::<LinkVeth>::new(&self.name, &self.end)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(near)))
            .index(pair.number())
            .setns_by_fd(self.target.namespace.as_raw_fd())
            .build()
    }

    /// Brings the target's rules that lead to the table `own`, and to those of wires that are gone, to what they should be.
    async fn set_rules(&self, own: Option<u32>, wanted: &[Rule], wanted6: &[Rule]) -> Result<(), PathError> {
        self.set_rules_of(&IpVersion::V4, own, wanted).await?;
        match self.set_rules_of(&IpVersion::V6, own, wanted6).await {
            // A kernel without IPv6 has none to remove.
            Err(PathError::NoRules) if wanted6.is_empty() => Ok(()),
            result => result,
        }
    }

    async fn set_rules_of(
        &self,
        version: &IpVersion,
        own: Option<u32>,
        wanted: &[Rule],
    ) -> Result<(), PathError> {
        let handle = &self.target.netlink.handle;
        let found = self.rules(version).await?;
        let alive = self.tables().await?;
        let (main, is_shared) = (u32::from(RouteHeader::RT_TABLE_MAIN), alive.contains(&SHARED_TABLE));
        // What an uplink in the target leaves to Docker leads to the main table.
        let is_alive = |table: u32| alive.contains(&table) || (table == main && is_shared);
        let is_anothers = |rule: &Rule| {
            let table = rule.table().filter(|table| Some(*table) != own);
            table.is_some_and(|table| is_alive(table) && !(table == main && own == Some(SHARED_TABLE)))
        };
        let others: Vec<Rule> = found.iter().copied().filter(is_anothers).collect();
        // All wires share the rule for neighbours.
        let needs_neighbours = others.iter().any(|rule| matches!(rule, Rule::Datagrams(..)));
        let is_agents = |rule: &Rule| {
            let is_its_kind = matches!(rule, Rule::From(..) | Rule::Unbound(_));
            is_its_kind && own == Some(SHARED_TABLE) && rule.table() == own
        };
        let keep = |rule: &Rule| {
            wanted.contains(rule)
                || is_agents(rule)
                || others.contains(rule)
                || (needs_neighbours && *rule == Rule::Neighbours)
        };
        for rule in wanted.iter().filter(|rule| !found.contains(rule)) {
            let mut adding = handle.rule().add().v4();
            *adding.message_mut() = rule.message(version);
            adding.execute().await.map_err(unruly(&[Errno::EINVAL]))?;
            // A kernel that knows no rules by port takes them for rules about everything, and says nothing. The first rule shows by
            // its mark whether this is one, and is about one address or changes nothing.
            if wanted.first() == Some(rule) && !self.rules(version).await?.contains(rule) {
                drop(handle.rule().del(rule.message(version)).execute().await);
                return Err(PathError::NoRules);
            }
        }
        // Backwards: what is last matters least, and the neighbours' rule protects from those after it.
        for rule in found.iter().rev().filter(|rule| !keep(rule)) {
            let removed = handle.rule().del(rule.message(version)).execute().await;
            ignore(removed, Errno::ENOENT).map_err(unruly(&[]))?;
        }
        Ok(())
    }

    /// The rules of all wires that the target has, or had, in the order of their priorities.
    async fn rules(&self, version: &IpVersion) -> Result<Vec<Rule>, PathError> {
        let get = self.target.netlink.handle.rule().get(version.clone());
        let found = get.execute().try_collect::<Vec<_>>().await;
        Ok(found.map_err(unruly(&[]))?.iter().filter_map(Rule::read).collect())
    }

    /// The tables of all wires that the target has, and of an uplink of its own.
    async fn tables(&self) -> Result<Vec<u32>, PathError> {
        let Side { netlink, .. } = &self.target;
        let addresses = netlink.addresses().await?;
        let wires = addresses.iter().filter_map(|(_, net)| Pair::of(&[*net])).map(Pair::number);
        let has_uplink = netlink.names().await?.iter().any(|name| is_uplink(name));
        Ok(wires.chain(has_uplink.then_some(SHARED_TABLE)).collect())
    }
}

/// What leads everything over the wire, from the target's address on it.
fn route(pair: Pair, end: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(pair.gateway().addr())
        .output_interface(end)
        .pref_source(pair.target().addr())
        .table_id(pair.number())
        .protocol(OURS)
        .build()
}

/// The same for IPv6.
fn route6(pair: Pair, end: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv6Addr>::new()
        .gateway(pair.gateway6().addr())
        .output_interface(end)
        .pref_source(pair.target6().addr())
        .table_id(pair.number())
        .protocol(OURS)
        .build()
}

/// What the kernel says to an attempt on the rules; one of `more` says, too, that it lacks them.
fn unruly(more: &[Errno]) -> impl FnOnce(rtnetlink::Error) -> PathError {
    move |error| {
        let says = [&[Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT], more].concat();
        if says.iter().any(|errno| is(&error, *errno)) {
            return PathError::NoRules;
        }
        refused("set the routing rules of the target")(error).into()
    }
}
