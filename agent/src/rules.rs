//! Brings the rules about that the spec asks for, one transaction after another; the last spec wins.

use std::{collections::BTreeSet, future, net::Ipv4Addr, pin::Pin};

use landfall_api::{Family, Forward, InterfaceName, Namespace, Spec};
use nftables::schema::Nftables;
use tracing::{info, warn};

use crate::nat::{self, NftError};

/// The forwards that are in force from now on, or why they are not.
pub type Applied = Result<Vec<Forward>, NftError>;

/// What was asked of the kernel, and what came of it.
type Transaction = (Vec<Forward>, Result<Option<String>, NftError>);

/// The rules in the kernel, and those on their way there.
pub struct Rules {
    uplink: InterfaceName,
    namespace: Namespace,
    family: Family,
    state: State,
    /// What is in force, or is to be first.
    forward: Vec<Forward>,
    /// What was asked for last, and not refused.
    asked: Vec<Forward>,
    /// The places that nothing is to be led to.
    out: BTreeSet<Ipv4Addr>,
    /// The interfaces between which packets take a short cut; none if they are not to.
    short_cut: Option<BTreeSet<String>>,
    warning: Option<String>,
    wanted: Option<Vec<Forward>>,
    transaction: Option<Pin<Box<dyn Future<Output = Transaction>>>>,
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
        Self {
            uplink,
            namespace,
            family,
            state: State::Absent,
            asked: forward.clone(),
            forward,
            out,
            short_cut: spec.offload.then(BTreeSet::new),
            warning: None,
            wanted,
            transaction: None,
        }
    }

    /// Asks for these forwards, instead of any others that were asked for.
    pub fn want(&mut self, forward: Vec<Forward>) {
        self.asked.clone_from(&forward);
        self.wanted = Some(forward);
    }

    /// Leads nothing to these places from now on, where there are others.
    pub fn leave_out(&mut self, out: &BTreeSet<Ipv4Addr>) {
        if self.out != *out {
            self.out.clone_from(out);
            self.wanted = Some(self.asked.clone());
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

    /// Passes on by a short cut, from now on, what comes over one of these interfaces and leaves over another, if that is
    /// wanted. Loopbacks are none of them.
    pub fn shorten<'a>(&mut self, interfaces: impl Iterator<Item = &'a str>) {
        let Some(known) = &mut self.short_cut else { return };
        let now: BTreeSet<String> = interfaces.filter(|name| *name != "lo").map(str::to_owned).collect();
        if *known != now {
            *known = now;
            self.wanted = Some(self.asked.clone());
        }
    }

    /// What the kernel could not do, said once.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// Waits for the next transaction to end. Cancel-safe.
    ///
    /// # Errors
    /// If nft refuses it; what was in force is still.
    pub async fn applied(&mut self) -> Applied {
        loop {
            if self.transaction.is_none()
                && let Some(forward) = self.wanted.take()
            {
                let reduced: Vec<Forward> =
                    forward.iter().map(|forward| forward.without(&self.out)).collect();
                let ruleset = self.ruleset(&reduced);
                let may_be_stale = self.are_in_force() && self.namespace.is_own();
                self.transaction = Some(Box::pin(async move {
                    let applied = match nat::apply(ruleset).await {
                        Ok(()) if may_be_stale => Ok(end_stale(&reduced).await),
                        applied => applied.map(|()| None),
                    };
                    (forward, applied)
                }));
            }
            let Some(transaction) = &mut self.transaction else {
                return future::pending().await;
            };
            let (forward, applied) = transaction.await;
            self.transaction = None;
            match applied {
                Ok(warning) => {
                    self.warning = warning.or(self.warning.take());
                    self.state = State::InForce;
                    self.forward.clone_from(&forward);
                    return Ok(forward);
                }
                // Without it there is no more to ask for than every kernel has.
                Err(error) if self.short_cut.as_ref().is_some_and(|interfaces| interfaces.len() > 1) => {
                    self.short_cut = None;
                    self.warning = Some(format!("packets take no short cut here: {error}"));
                    self.wanted.get_or_insert(forward);
                }
                Err(error) => {
                    if self.wanted.is_none() {
                        self.asked.clone_from(&self.forward);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn ruleset(&self, forward: &[Forward]) -> Nftables<'static> {
        match self.namespace {
            Namespace::Own => {
                let short_cut = self.short_cut.iter().flatten().cloned().collect();
                nat::ruleset(&self.uplink, self.family, short_cut, forward)
            }
            Namespace::Shared => nat::shared(&self.uplink, self.family, forward),
        }
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

/// Ends the connections that lead where these forwards do not; gives why they go on, if they do.
async fn end_stale(forward: &[Forward]) -> Option<String> {
    match nat::end_stale(forward).await {
        Ok(0) => None,
        Ok(ended) => {
            info!(ended, "connections that led elsewhere have ended");
            None
        }
        Err(error) => Some(format!("connections that lead elsewhere go on: {error}")),
    }
}
