//! The spec: one YAML document that says what a network container is to do.
//!
//! A `Spec` that exists is valid; a text that is not one is refused with its line and column.

use serde::{Deserialize, Serialize};
use serde_yaml::{Location, Spanned};
use thiserror::Error;

use crate::{Dhcp, DhcpError, Family, Forward, HERE, HERE6, InterfaceName, Namespace};

/// The version of the format that this crate reads and writes.
const VERSION: u32 = 1;

/// What a network container is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The uplink, as it is called inside.
    pub interface: InterfaceName,
    /// Whose network namespace that is.
    pub namespace: Namespace,
    /// Which families it is to have addresses of.
    pub family: Family,
    /// Whether the kernel is to pass packets of established connections on by a short cut, which no rule sees.
    pub offload: bool,
    /// Where the uplink's address comes from.
    pub address: Address,
    forward: Vec<Forward>,
}

/// Where an address comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Address {
    /// From the LAN's DHCP server.
    Dhcp(Dhcp),
}

/// Why a text is not a spec. Each says the line and the column.
#[derive(Debug, Error)]
pub enum SpecError {
    /// Not YAML, or not the keys and values of a spec.
    #[error(transparent)]
    Syntax(Box<serde_yaml::Error>),
    /// A format that this program does not know.
    #[error(
        "line {line} column {column}: version {version} of the spec is not known here; this program reads version {VERSION}"
    )]
    Version {
        /// The version that the text claims.
        version: u32,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
    },
    /// Something about DHCP that cannot be meant.
    #[error("line {line} column {column}: {problem}")]
    Dhcp {
        /// What.
        problem: DhcpError,
        /// Of the address, counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
    },
    /// A forward that leads elsewhere than its namespace lets it.
    #[error(
        "line {line} column {column}: {forward} leads to another place than it can: with `namespace: shared` that is {HERE}, and {HERE6} over IPv6, and otherwise any other address"
    )]
    Destination {
        /// The forward.
        forward: Box<Forward>,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
    },
    /// Two forwards claim one port.
    #[error(
        "line {line} column {column}: {later} overlaps with {earlier}; one public port can lead to one place only"
    )]
    Overlap {
        /// The forward at that place.
        later: Box<Forward>,
        /// The one it collides with.
        earlier: Box<Forward>,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
    },
}

/// The document as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<V, A, F> {
    version: V,
    interface: InterfaceName,
    #[serde(default, skip_serializing_if = "Namespace::is_own")]
    namespace: Namespace,
    #[serde(default, skip_serializing_if = "Family::is_v4")]
    family: Family,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    offload: bool,
    address: A,
    #[serde(default = "Vec::new")]
    forward: Vec<F>,
}

impl Spec {
    /// A spec for `interface` in a namespace of the agent's own, for IPv4.
    ///
    /// # Errors
    /// The first pair of forwards that overlap, the later one first.
    pub fn new(
        interface: InterfaceName,
        address: Address,
        forward: Vec<Forward>,
    ) -> Result<Self, Box<(Forward, Forward)>> {
        if let Some((later, earlier)) = first_overlap(&forward) {
            return Err(Box::new((forward[later].clone(), forward[earlier].clone())));
        }
        let (namespace, family, offload) = (Namespace::Own, Family::V4, false);
        Ok(Self { interface, namespace, family, offload, address, forward })
    }

    /// The same with the short cut, or without.
    #[must_use]
    pub fn with_offload(self, offload: bool) -> Self {
        Self { offload, ..self }
    }

    /// The same for these families.
    #[must_use]
    pub fn with_family(self, family: Family) -> Self {
        Self { family, ..self }
    }

    /// The same in its target's namespace, where all forwards lead: what comes of its families is all for there.
    #[must_use]
    pub fn shared(self) -> Self {
        let forward = self.forward.into_iter().map(|forward| forward.here(self.family)).collect();
        Self { namespace: Namespace::Shared, forward, ..self }
    }

    /// Reads one YAML document.
    ///
    /// # Errors
    /// With line and column: what is not YAML, an unknown, missing or duplicate key, a bad value, forwards that overlap.
    pub fn from_yaml(text: &str) -> Result<Self, SpecError> {
        let document: Document<Spanned<u32>, Spanned<Address>, Spanned<Forward>> =
            serde_yaml::from_str(text).map_err(|error| SpecError::Syntax(Box::new(error)))?;
        let Spanned { value: version, referenced: place, .. } = document.version;
        if version != VERSION {
            return Err(SpecError::Version { version, line: place.line(), column: place.column() });
        }
        let Spanned { value: address, referenced: place, .. } = document.address;
        let Address::Dhcp(dhcp) = &address;
        if let Err(problem) = dhcp.check() {
            return Err(SpecError::Dhcp { problem, line: place.line(), column: place.column() });
        }
        let (namespace, family, offload) = (document.namespace, document.family, document.offload);
        let leads_astray = |forward: &&Spanned<Forward>| {
            let here = forward.value.addresses().filter(|address| *address == HERE).count();
            let wanted = if namespace.is_own() { 0 } else { forward.value.addresses().count() };
            here != wanted
                || forward.value.addresses6().any(|address| (address == HERE6) == namespace.is_own())
        };
        if let Some(Spanned { value, referenced: place, .. }) = document.forward.iter().find(leads_astray) {
            let (line, column) = (place.line(), place.column());
            return Err(SpecError::Destination { forward: Box::new(value.clone()), line, column });
        }
        let places: Vec<Location> = document.forward.iter().map(|forward| forward.referenced).collect();
        let forward: Vec<Forward> = document.forward.into_iter().map(|forward| forward.value).collect();
        let spec = Self { interface: document.interface, namespace, family, offload, address, forward };
        match first_overlap(&spec.forward) {
            Some((later, earlier)) => Err(SpecError::Overlap {
                later: Box::new(spec.forward[later].clone()),
                earlier: Box::new(spec.forward[earlier].clone()),
                line: places[later].line(),
                column: places[later].column(),
            }),
            None => Ok(if namespace.is_own() { spec } else { spec.shared() }),
        }
    }

    /// Writes the document that `from_yaml` reads.
    pub fn to_yaml(&self) -> String {
        let document = Document {
            version: VERSION,
            interface: self.interface.clone(),
            namespace: self.namespace,
            family: self.family,
            offload: self.offload,
            address: self.address.clone(),
            forward: self.forward.clone(),
        };
        serde_yaml::to_string(&document).expect("a spec holds numbers and text only")
    }

    /// What is forwarded; no two overlap.
    pub fn forward(&self) -> &[Forward] {
        &self.forward
    }
}

/// The indices of two forwards that overlap: the one that comes later in the list, then the earlier one.
fn first_overlap(forward: &[Forward]) -> Option<(usize, usize)> {
    let mut order: Vec<usize> = (0..forward.len()).collect();
    order.sort_by_key(|&i| (forward[i].protocol(), forward[i].port()));
    let overlap = order.windows(2).find(|pair| forward[pair[0]].overlaps(&forward[pair[1]]))?;
    Some((overlap[0].max(overlap[1]), overlap[0].min(overlap[1])))
}
