//! Decides how ports become the elements of a set or a map: hashed one by one, or as intervals.

use std::collections::HashSet;

use landfall_api::PortRange;
use nftables::{
    expr::{Expression, Range},
    schema::SetFlag,
};

/// The ports of one element, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// The first one.
    pub first: u16,
    /// The last one, which may be the first.
    pub last: u16,
}

/// How the kernel finds an element.
pub(super) enum Lookup {
    /// By a hash; that many elements. The kernel is told, so that it need not grow the table while it loads.
    Hash(u32),
    /// In a tree of intervals: what a range needs, but slower to look up and twice as slow to load.
    Intervals,
}

impl Lookup {
    /// What these elements need.
    pub(super) fn of(elements: impl Iterator<Item = Ports> + Clone) -> Self {
        if elements.clone().any(Ports::is_range) {
            Self::Intervals
        } else {
            Self::Hash(u32::try_from(elements.count()).expect("there are 65535 ports"))
        }
    }

    pub(super) fn flags(&self) -> Option<HashSet<SetFlag>> {
        match self {
            Self::Hash(_) => None,
            Self::Intervals => Some([SetFlag::Interval].into()),
        }
    }

    pub(super) fn size(&self) -> Option<u32> {
        match self {
            Self::Hash(elements) => Some(*elements),
            Self::Intervals => None,
        }
    }
}

impl Ports {
    fn is_range(self) -> bool {
        self.first < self.last
    }
}

impl From<PortRange> for Ports {
    fn from(range: PortRange) -> Self {
        Self { first: range.first(), last: range.last() }
    }
}

impl From<Ports> for Expression<'static> {
    fn from(ports: Ports) -> Self {
        let [first, last] = [ports.first, ports.last].map(|port| Expression::Number(port.into()));
        if ports.is_range() { Expression::Range(Box::new(Range { range: [first, last] })) } else { first }
    }
}

/// Makes one element of neighbours that lead to one address, where that halves the elements or there are ranges anyway.
pub(super) fn merge<A: Copy + PartialEq>(mut elements: Vec<(Ports, A)>) -> Vec<(Ports, A)> {
    elements.sort_by_key(|(ports, _)| ports.first);
    let mut merged: Vec<(Ports, A)> = Vec::new();
    for &(ports, to) in &elements {
        match merged.last_mut() {
            Some((before, address)) if *address == to && before.last.checked_add(1) == Some(ports.first) => {
                before.last = ports.last;
            }
            _ => merged.push((ports, to)),
        }
    }
    let has_ranges = elements.iter().any(|(ports, _)| ports.is_range());
    if has_ranges || merged.len() * 2 <= elements.len() { merged } else { elements }
}
