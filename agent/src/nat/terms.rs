//! Short words for the parts of a rule, over the JSON schema of libnftables.

use std::borrow::Cow;

use nftables::{
    expr::{
        CT, CTDir, Expression, Fib, FibFlag, FibResult, Map, Meta, MetaKey, NamedExpression, Payload,
        PayloadField,
    },
    stmt::{Accept, Counter, Match, NAT, NATFamily, Operator, Statement},
};

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
    Expression::Named(NamedExpression::CT(CT {
        key: key.into(),
        family: None,
        dir,
    }))
}

/// `fib daddr type`: whose address the packet goes to.
pub(super) fn destination_type() -> Expression<'static> {
    let flags = [FibFlag::Daddr].into();
    Expression::Named(NamedExpression::Fib(Fib {
        result: FibResult::Type,
        flags,
    }))
}

/// `KEY map @NAME`
pub(super) fn lookup(key: Expression<'static>, name: &str) -> Expression<'static> {
    Expression::Named(NamedExpression::Map(Box::new(Map {
        key,
        data: text(format!("@{name}")),
    })))
}

pub(super) fn is(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match {
        left,
        right,
        op: Operator::EQ,
    })
}

pub(super) fn is_in(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match {
        left,
        right,
        op: Operator::IN,
    })
}

pub(super) fn is_not(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match {
        left,
        right,
        op: Operator::NEQ,
    })
}

pub(super) fn dnat(addr: Expression<'static>, port: Option<Expression<'static>>) -> Statement<'static> {
    Statement::DNAT(Some(NAT {
        addr: Some(addr),
        family: Some(NATFamily::IP),
        port,
        flags: None,
    }))
}

pub(super) fn masquerade() -> Statement<'static> {
    Statement::Masquerade(None)
}

pub(super) fn counter() -> Statement<'static> {
    Statement::Counter(Counter::Anonymous(None))
}

pub(super) fn accept() -> Statement<'static> {
    Statement::Accept(Some(Accept {}))
}
