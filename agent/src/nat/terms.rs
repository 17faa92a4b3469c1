//! Short words for rules and their parts, over the JSON schema of libnftables.

use std::borrow::Cow;

use landfall_api::COMPANION;
use nftables::{
    expr::{
        BinaryOperation, CT, CTDir, Expression, Fib, FibFlag, FibResult, Map, Meta, MetaKey, NamedExpression,
        Payload, PayloadField,
    },
    schema::{NfListObject, Rule},
    stmt::{Accept, Counter, Drop, JumpTarget, Match, NAT, NATFamily, Operator, Statement},
    types::NfFamily,
};

/// The table that holds all our rules, of family `inet`.
pub(super) const TABLE: &str = "landfall";

pub(super) fn rule<const N: usize>(
    chain: &'static str,
    parts: [Statement<'static>; N],
) -> NfListObject<'static> {
    NfListObject::Rule(Rule {
        family: NfFamily::INet,
        table: TABLE.into(),
        chain: chain.into(),
        expr: Cow::Owned(parts.into()),
        ..Rule::default()
    })
}

pub(super) fn text(text: impl Into<String>) -> Expression<'static> {
    Expression::String(Cow::Owned(text.into()))
}

pub(super) fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

pub(super) fn field(protocol: &str, field: &'static str) -> Expression<'static> {
    let protocol = Cow::Owned(protocol.to_owned());
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(PayloadField {
        protocol,
        field: field.into(),
    })))
}

pub(super) fn ct(key: &'static str, dir: Option<CTDir>) -> Expression<'static> {
    Expression::Named(NamedExpression::CT(CT { key: key.into(), family: None, dir }))
}

/// `fib daddr type`: whose address the packet goes to.
pub(super) fn destination_type() -> Expression<'static> {
    let flags = [FibFlag::Daddr].into();
    Expression::Named(NamedExpression::Fib(Fib { result: FibResult::Type, flags }))
}

/// `KEY map @NAME`
pub(super) fn lookup(key: Expression<'static>, name: &str) -> Expression<'static> {
    Expression::Named(NamedExpression::Map(Box::new(Map { key, data: text(format!("@{name}")) })))
}

pub(super) fn is(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

/// Whether a bit is set.
pub(super) fn has(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op: Operator::IN })
}

pub(super) fn is_not(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op: Operator::NEQ })
}

/// Whether a bit is not set.
pub(super) fn lacks(value: Expression<'static>, bit: Expression<'static>) -> Statement<'static> {
    is(Expression::BinaryOperation(Box::new(BinaryOperation::AND(value, bit))), Expression::Number(0))
}

pub(super) fn dnat(
    family: NATFamily,
    addr: Expression<'static>,
    port: Option<Expression<'static>>,
) -> Statement<'static> {
    Statement::DNAT(Some(NAT { addr: Some(addr), family: Some(family), port, flags: None }))
}

/// Another port of the same address.
pub(super) fn dnat_port(port: Expression<'static>) -> Statement<'static> {
    Statement::DNAT(Some(NAT { addr: None, family: None, port: Some(port), flags: None }))
}

/// What the LAN sends, and the host: each with its way in, as a rule's first part.
pub(super) fn arrivals(uplink: &Expression<'static>) -> [Statement<'static>; 2] {
    [uplink.clone(), text(format!("{COMPANION}*"))].map(|name| is(meta(MetaKey::Iifname), name))
}

/// The packets of one family, in a table for both.
pub(super) fn is_of(family: &'static str) -> Statement<'static> {
    is(meta(MetaKey::Nfproto), text(family))
}

pub(super) fn masquerade() -> Statement<'static> {
    Statement::Masquerade(None)
}

/// `masquerade to : PORT`
pub(super) fn masquerade_from(port: Expression<'static>) -> Statement<'static> {
    Statement::Masquerade(Some(NAT { addr: None, family: None, port: Some(port), flags: None }))
}

pub(super) fn counter() -> Statement<'static> {
    Statement::Counter(Counter::Anonymous(None))
}

pub(super) fn accept() -> Statement<'static> {
    Statement::Accept(Some(Accept {}))
}

/// The rest of a packet's way through the rules is in another chain.
pub(super) fn goto(chain: &'static str) -> Statement<'static> {
    Statement::Goto(JumpTarget { target: chain.into() })
}

pub(super) fn drop() -> Statement<'static> {
    Statement::Drop(Some(Drop {}))
}
