//! The routing rules of an uplink in a namespace that is shared: what is sent from its address, or to its subnet from no address
//! yet, goes over it. What is sent from the target's other addresses goes where it always went, also to the uplink's subnet.
//!
//! The kernel has no rule of IPv6 for what is sent from no address yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use landfall_api::{Namespace, ROUTE_PROTOCOL, SHARED_TABLE};
use rtnetlink::IpVersion;
use rtnetlink::packet_route::{
    AddressFamily,
    route::RouteProtocol,
    rule::{RuleAction, RuleAttribute, RuleMessage},
};

use super::{Attempt as _, LinkError, Links, absent_is_fine};

/// Whose they are, and routes of IPv6: those that the kernel makes of what routers say bear a number of their own.
pub(super) const OURS: RouteProtocol = RouteProtocol::Other(ROUTE_PROTOCOL);

/// Where they are among the target's own: before all others, because they are about less. Between them come those for datagrams
/// that answer from no address.
const BOUND: u32 = 10;
const UNBOUND: u32 = 13;

impl Links {
    /// Removes the rules for an uplink, of both families, if there are any.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn forget_rules(&self) -> Result<(), LinkError> {
        match self.namespace {
            Namespace::Own => Ok(()),
            Namespace::Shared => {
                self.set_rules(None).await?;
                self.set_ipv6_rules(&[]).await
            }
        }
    }

    /// Makes the rules of IPv4 those for `source`, and no others.
    pub(super) async fn set_rules(&self, source: Option<Ipv4Addr>) -> Result<(), LinkError> {
        self.set_rules_of(IpVersion::V4, source.into_iter().flat_map(rules).collect()).await
    }

    /// Makes the rules of IPv6 those for these addresses, and no others.
    pub(super) async fn set_ipv6_rules(&self, sources: &[Ipv6Addr]) -> Result<(), LinkError> {
        let wanted = sources.iter().map(|source| bound((*source).into())).collect();
        self.set_rules_of(IpVersion::V6, wanted).await
    }

    async fn set_rules_of(&self, version: IpVersion, wanted: Vec<RuleMessage>) -> Result<(), LinkError> {
        let family = family(&version);
        let mut listed: Vec<RuleMessage> = self
            .handle
            .rule()
            .get(version)
            .execute()
            .try_collect()
            .await
            .attempt(&self.name, || "list the routing rules".into())?;
        // A kernel without IPv6 lists those of IPv4 in its place.
        listed.retain(|rule| rule.header.family == family);
        let is = |rule: &RuleMessage, wanted: &RuleMessage| {
            wanted.attributes.iter().all(|attribute| rule.attributes.contains(attribute))
        };
        for missing in wanted.iter().filter(|wanted| !listed.iter().any(|rule| is(rule, wanted))) {
            let mut adding = self.handle.rule().add().v4();
            *adding.message_mut() = missing.clone();
            adding.execute().await.attempt(&self.name, || "set the routing rules for its address".into())?;
        }
        let is_wanted = |rule: &RuleMessage| wanted.iter().any(|wanted| is(rule, wanted));
        for old in listed.into_iter().filter(|rule| is_ours(rule) && !is_wanted(rule)) {
            let removed = self.handle.rule().del(old).execute().await;
            removed.or_else(absent_is_fine).attempt(&self.name, || "remove a routing rule".into())?;
        }
        Ok(())
    }
}

fn family(version: &IpVersion) -> AddressFamily {
    match version {
        IpVersion::V4 => AddressFamily::Inet,
        IpVersion::V6 => AddressFamily::Inet6,
    }
}

/// The rules for an uplink with this address.
fn rules(address: Ipv4Addr) -> [RuleMessage; 2] {
    let mut unbound = rule(Ipv4Addr::UNSPECIFIED.into(), UNBOUND);
    // Not by its default route.
    unbound.attributes.push(RuleAttribute::SuppressPrefixLen(0));
    [bound(address.into()), unbound]
}

fn bound(address: IpAddr) -> RuleMessage {
    rule(address, BOUND)
}

fn rule(source: IpAddr, priority: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.action = RuleAction::ToTable;
    (message.header.family, message.header.src_len) =
        if source.is_ipv4() { (AddressFamily::Inet, 32) } else { (AddressFamily::Inet6, 128) };
    message.attributes = vec![
        RuleAttribute::Source(source),
        RuleAttribute::Table(SHARED_TABLE),
        RuleAttribute::Priority(priority),
        RuleAttribute::Protocol(OURS),
    ];
    message
}

/// Whether a rule is one for an address of an uplink's, now or earlier.
fn is_ours(rule: &RuleMessage) -> bool {
    rule.header.src_len > 0 && rule.attributes.contains(&RuleAttribute::Table(SHARED_TABLE))
}
