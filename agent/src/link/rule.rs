//! The routing rules of an uplink in a namespace that is shared: what is sent from its address, or to its subnet from no address
//! yet, goes over it. What is sent from the target's other addresses goes where it always went, also to the uplink's subnet.

use std::net::Ipv4Addr;

use futures_util::TryStreamExt as _;
use landfall_api::{Namespace, ROUTE_PROTOCOL, SHARED_TABLE};
use rtnetlink::IpVersion;
use rtnetlink::packet_route::{
    AddressFamily,
    route::RouteProtocol,
    rule::{RuleAction, RuleAttribute, RuleMessage},
};

use super::{Attempt as _, LinkError, Links, absent_is_fine};

/// Where they are among the target's own: before all others, because they are about less. Between them come those for datagrams
/// that answer from no address.
const BOUND: u32 = 10;
const UNBOUND: u32 = 13;

impl Links {
    /// Removes the rules for an uplink, if there are any.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn forget_rules(&self) -> Result<(), LinkError> {
        match self.namespace {
            Namespace::Own => Ok(()),
            Namespace::Shared => self.set_rules(None).await,
        }
    }

    /// Makes the rules those for `source`, and no others.
    pub(super) async fn set_rules(&self, source: Option<Ipv4Addr>) -> Result<(), LinkError> {
        let listed: Vec<RuleMessage> = self
            .handle
            .rule()
            .get(IpVersion::V4)
            .execute()
            .try_collect()
            .await
            .attempt(&self.name, || "list the routing rules".into())?;
        let wanted: Vec<RuleMessage> = source.into_iter().flat_map(rules).collect();
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

/// The rules for an uplink with this address.
fn rules(address: Ipv4Addr) -> [RuleMessage; 2] {
    let rule = |source: Ipv4Addr, priority: u32| {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.action = RuleAction::ToTable;
        message.header.src_len = 32;
        message.attributes = vec![
            RuleAttribute::Source(source.into()),
            RuleAttribute::Table(SHARED_TABLE),
            RuleAttribute::Priority(priority),
            RuleAttribute::Protocol(RouteProtocol::Other(ROUTE_PROTOCOL)),
        ];
        message
    };
    let mut unbound = rule(Ipv4Addr::UNSPECIFIED, UNBOUND);
    // Not by its default route.
    unbound.attributes.push(RuleAttribute::SuppressPrefixLen(0));
    [rule(address, BOUND), unbound]
}

/// Whether a rule is one for an address of an uplink's, now or earlier.
fn is_ours(rule: &RuleMessage) -> bool {
    rule.header.src_len == 32 && rule.attributes.contains(&RuleAttribute::Table(SHARED_TABLE))
}
