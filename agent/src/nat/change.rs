//! Decides how a table in force becomes another one, so that packets for forwards that stay meet one of the two, but for one case: where a
//! map leads elsewhere for one port, the first packet of a connection to another port of it may be lost at that moment.
//!
//! A packet passes chain after chain, and the kernel changes over between two of them as well as within one. Where the table is
//! deleted and made anew, there are two chains at the hook of NAT for a moment: a packet that is first in the new one, still
//! empty, and then in the old one, whose maps the kernel has emptied meanwhile, is translated by neither. So the chains stay,
//! and only their rules are others; and a map that leads where it led stays, too. Sets may go: they are read until nobody reads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use nftables::{
    batch::Batch,
    schema::{FlowTable, FlushObject, Map, NfCmd, NfListObject, NfObject, Nftables, Set},
    types::NfFamily,
};

use serde_json::json;

use super::{
    ruleset::{SHORT_CUT, table_of_ours},
    terms::TABLE,
};

/// What a table in force consists of, beside its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    chains: BTreeSet<u64>,
    sets: BTreeSet<String>,
    /// Name -> what it holds, as a number: ten thousand forwards are not kept for it.
    maps: BTreeMap<String, u64>,
    has_flowtable: bool,
}

impl InForce {
    /// What it will be once this ruleset is in force.
    pub fn of(ruleset: &Nftables<'_>) -> Self {
        let mut all = Self::default();
        for object in added(ruleset) {
            if let NfListObject::Chain(_) = object {
                all.chains.insert(fingerprint(object));
            } else if let NfListObject::Set(set) = object {
                all.sets.insert(set.name.to_string());
            } else if let NfListObject::Map(map) = object {
                all.maps.insert(map.name.to_string(), fingerprint(object));
            } else if let NfListObject::FlowTable(_) = object {
                all.has_flowtable = true;
            }
        }
        all
    }

    /// What makes this ruleset, which consists of `next`, of what is in force. The same ruleset, which replaces the table, where that
    /// has other chains.
    ///
    /// A flowtable is always another one: what takes a short cut meets the new rules first.
    pub fn change(&self, next: &Self, ruleset: Nftables<'static>) -> Nftables<'static> {
        if next.chains.is_empty() || next.chains != self.chains {
            return ruleset;
        }
        let mut batch = Batch::new();
        batch.add_cmd(NfCmd::Flush(FlushObject::Table(table_of_ours())));
        self.has_flowtable.then(flowtable).into_iter().for_each(|object| batch.delete(object));
        self.sets.iter().for_each(|name| batch.delete(set(name)));
        let outdated =
            self.maps.iter().filter(|(name, content)| next.maps.get(name.as_str()) != Some(content));
        outdated.for_each(|(name, _)| batch.delete(map(name)));
        let is_there = |object: &NfListObject<'_>| {
            let is_kept = |map: &Map<'_>| self.maps.get(&*map.name) == next.maps.get(&*map.name);
            matches!(object, NfListObject::Table(_) | NfListObject::Chain(_))
                || matches!(object, NfListObject::Map(map) if is_kept(map))
        };
        for object in ruleset.objects.into_owned() {
            if let NfObject::CmdObject(NfCmd::Add(object)) = object
                && !is_there(&object)
            {
                batch.add(object);
            }
        }
        batch.to_nftables()
    }
}

fn added<'a, 'b>(ruleset: &'a Nftables<'b>) -> impl Iterator<Item = &'a NfListObject<'b>> {
    ruleset.objects.iter().filter_map(|object| {
        if let NfObject::CmdObject(NfCmd::Add(object)) = object { Some(object) } else { None }
    })
}

fn fingerprint(object: &NfListObject<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    json!(object).to_string().hash(&mut hasher);
    hasher.finish()
}

fn flowtable() -> NfListObject<'static> {
    NfListObject::FlowTable(FlowTable {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: SHORT_CUT.into(),
        ..FlowTable::default()
    })
}

fn set(name: &str) -> NfListObject<'static> {
    let (family, table, name) = (NfFamily::INet, TABLE.into(), name.to_owned().into());
    NfListObject::Set(Box::new(Set { family, table, name, ..Set::default() }))
}

fn map(name: &str) -> NfListObject<'static> {
    let (family, table, name) = (NfFamily::INet, TABLE.into(), name.to_owned().into());
    NfListObject::Map(Box::new(Map { family, table, name, ..Map::default() }))
}
