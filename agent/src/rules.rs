//! Brings the rules about that the spec asks for, one transaction after another; the last spec wins.

use std::{collections::BTreeSet, future, net::Ipv4Addr, pin::Pin};

use landfall_api::{Family, Forward, InterfaceName, Namespace, Spec};
use tracing::warn;

use crate::nat::{self, NftError};

/// The forwards that are in force from now on, or why they are not.
pub type Applied = Result<Vec<Forward>, NftError>;

/// The rules in the kernel, and those on their way there.
pub struct Rules {
    uplink: InterfaceName,
    namespace: Namespace,
    family: Family,
    state: State,
    /// What is in force, or is to be first.
    forward: Vec<Forward>,
    /// The places that nothing is to be led to.
    out: BTreeSet<Ipv4Addr>,
    wanted: Option<Vec<Forward>>,
    transaction: Option<Pin<Box<dyn Future<Output = Applied>>>>,
}

/// Whether a transaction has ever succeeded.
enum State {
    Absent,
    InForce,
}

impl Rules {
    /// The rules that `spec` asks for; none of them are in force yet.
    pub fn new(spec: &Spec) -> Self {
        let forward = spec.forward().to_vec();
        let (wanted, out) = (Some(forward.clone()), BTreeSet::new());
        let (uplink, namespace, family) = (spec.interface.clone(), spec.namespace, spec.family);
        Self { uplink, namespace, family, state: State::Absent, forward, out, wanted, transaction: None }
    }

    /// Asks for these forwards, instead of any others that were asked for.
    pub fn want(&mut self, forward: Vec<Forward>) {
        self.wanted = Some(forward);
    }

    /// Leads nothing to these places from now on, where there are others.
    pub fn leave_out(&mut self, out: &BTreeSet<Ipv4Addr>) {
        if self.out != *out {
            self.out.clone_from(out);
            self.wanted.get_or_insert_with(|| self.forward.clone());
        }
    }

    /// The forwards in force, or the first ones that are to be.
    pub fn forward(&self) -> &[Forward] {
        &self.forward
    }

    /// Whether there are rules in the kernel.
    pub fn are_in_force(&self) -> bool {
        matches!(self.state, State::InForce)
    }

    /// Waits for the next transaction to end. Cancel-safe.
    ///
    /// # Errors
    /// If nft refuses it; what was in force is still.
    pub async fn applied(&mut self) -> Applied {
        if self.transaction.is_none()
            && let Some(forward) = self.wanted.take()
        {
            let reduced: Vec<Forward> = forward.iter().map(|forward| forward.without(&self.out)).collect();
            let ruleset = match self.namespace {
                Namespace::Own => nat::ruleset(&self.uplink, self.family, &reduced),
                Namespace::Shared => nat::shared(&self.uplink, &forward),
            };
            self.transaction = Some(Box::pin(async { nat::apply(ruleset).await.map(|()| forward) }));
        }
        let Some(transaction) = &mut self.transaction else {
            return future::pending().await;
        };
        let applied = transaction.await;
        self.transaction = None;
        if let Ok(forward) = &applied {
            self.state = State::InForce;
            self.forward.clone_from(forward);
        }
        applied
    }

    /// Takes them out of the kernel, as far as that is possible.
    pub async fn remove(self) {
        if self.are_in_force()
            && let Err(error) = nat::remove().await
        {
            warn!(%error, "the rules stay behind");
        }
    }
}
