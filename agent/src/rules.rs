//! Brings the rules about that the spec asks for, one transaction after another; the last spec wins.

use std::{collections::BTreeSet, future, net::Ipv4Addr, pin::Pin};

use landfall_api::{Family, Forward, InterfaceName, Namespace, Spec};
use nftables::schema::Nftables;
use tracing::{info, warn};

use crate::nat::{self, InForce, NftError};

/// The forwards that are in force from now on, or why they are not.
pub type Applied = Result<Vec<Forward>, NftError>;

/// What was asked of the kernel, and what came of it.
struct Transaction {
    forward: Vec<Forward>,
    /// The interfaces of its flowtable.
    short_cut: BTreeSet<String>,
    /// The table after success, and the table before; none if the whole table was replaced.
    after: InForce,
    before: Option<InForce>,
    applied: Result<Option<String>, NftError>,
}

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
    /// None if packets are not to take one.
    short_cut: Option<ShortCut>,
    warning: Option<String>,
    wanted: Option<Vec<Forward>>,
    transaction: Option<Pin<Box<dyn Future<Output = Transaction>>>>,
}

/// The flowtable. Pure.
#[derive(Debug, Default)]
struct ShortCut {
    /// The interfaces that it is to hold.
    interfaces: BTreeSet<String>,
    /// Those for which the kernel has refused it. It may take others: one of these may be about to go.
    refused: Option<BTreeSet<String>>,
}

impl ShortCut {
    /// Whether these interfaces are others than before.
    fn change(&mut self, interfaces: BTreeSet<String>) -> bool {
        let are_others = self.interfaces != interfaces;
        self.interfaces = interfaces;
        are_others
    }

    /// The interfaces to try now; none where there is nothing between which to pass packets on.
    fn to_try(&self) -> BTreeSet<String> {
        let is_hopeless = self.interfaces.len() < 2 || self.refused.as_ref() == Some(&self.interfaces);
        if is_hopeless { BTreeSet::new() } else { self.interfaces.clone() }
    }

    /// Remembers that the kernel has taken these.
    fn accept(&mut self, tried: &BTreeSet<String>) {
        if !tried.is_empty() {
            self.refused = None;
        }
    }

    /// Remembers that the kernel refuses these; gives whether that is news.
    fn refuse(&mut self, tried: BTreeSet<String>) -> bool {
        self.refused.replace(tried).is_none()
    }
}

/// Our table in the kernel.
enum State {
    Absent,
    /// With its content; none if the content is not certain.
    InForce(Option<InForce>),
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
            short_cut: spec.offload.then(ShortCut::default),
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
        matches!(self.state, State::InForce(_))
    }

    /// Passes on by a short cut, from now on, what comes over one of these interfaces and leaves over another, if that is
    /// wanted. Loopbacks are none of them.
    pub fn shorten<'a>(&mut self, interfaces: impl Iterator<Item = &'a str>) {
        let Some(short_cut) = &mut self.short_cut else { return };
        if short_cut.change(interfaces.filter(|name| *name != "lo").map(str::to_owned).collect()) {
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
                self.transaction = Some(Box::pin(self.begin(forward)));
            }
            let Some(transaction) = &mut self.transaction else {
                return future::pending().await;
            };
            let ended = transaction.await;
            self.transaction = None;
            if let Some(applied) = self.end(ended) {
                return applied;
            }
        }
    }

    /// The transaction that puts these forwards into force.
    fn begin(&self, forward: Vec<Forward>) -> impl Future<Output = Transaction> + use<> {
        let reduced: Vec<Forward> = forward.iter().map(|forward| forward.without(&self.out)).collect();
        let short_cut = self.short_cut.as_ref().map(ShortCut::to_try).unwrap_or_default();
        let ruleset = self.ruleset(&short_cut, &reduced);
        let after = InForce::of(&ruleset);
        let before = if let State::InForce(before) = &self.state { before.clone() } else { None };
        let ruleset = match &before {
            Some(before) => before.change(&after, ruleset),
            None => ruleset,
        };
        let may_be_stale = self.are_in_force() && self.namespace.is_own();
        async move {
            let applied = match nat::apply(ruleset).await {
                Ok(()) if may_be_stale => Ok(end_stale(&reduced).await),
                applied => applied.map(|()| None),
            };
            Transaction { forward, short_cut, after, before, applied }
        }
    }

    /// Takes note of what came of a transaction; none if there is another way to try.
    fn end(&mut self, transaction: Transaction) -> Option<Applied> {
        let Transaction { forward, short_cut: tried, after, before, applied } = transaction;
        if let (State::InForce(known), Err(NftError::Stuck | NftError::Run(_))) = (&mut self.state, &applied)
        {
            // It may have been carried out.
            *known = None;
        }
        match applied {
            Ok(warning) => {
                self.warning = warning.or(self.warning.take());
                self.state = State::InForce(Some(after));
                self.forward.clone_from(&forward);
                if let Some(short_cut) = &mut self.short_cut {
                    short_cut.accept(&tried);
                }
                Some(Ok(forward))
            }
            // Try again without the flowtable: every kernel accepts the rest.
            Err(error) if !tried.is_empty() => {
                let is_news = self.short_cut.as_mut().is_some_and(|short_cut| short_cut.refuse(tried));
                if is_news {
                    self.warning = Some(format!("packets take no short cut here: {error}"));
                }
                self.wanted.get_or_insert(forward);
                None
            }
            // Somebody has changed the table, or removed it: it is replaced, with all that it may have.
            Err(NftError::Refused(_)) if before.is_some() => {
                self.state = State::InForce(None);
                // The missing table was the reason, not the flowtable.
                if let Some(short_cut) = &mut self.short_cut
                    && short_cut.refused.take().is_some()
                {
                    self.warning = None;
                }
                self.wanted.get_or_insert(forward);
                None
            }
            Err(error) => {
                if self.wanted.is_none() {
                    self.asked.clone_from(&self.forward);
                }
                Some(Err(error))
            }
        }
    }

    fn ruleset(&self, short_cut: &BTreeSet<String>, forward: &[Forward]) -> Nftables<'static> {
        match self.namespace {
            Namespace::Own => {
                nat::ruleset(&self.uplink, self.family, short_cut.iter().cloned().collect(), forward)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_refused_short_cut_is_tried_again_with_other_interfaces_and_complained_of_once() {
        let mut short_cut = ShortCut::default();
        assert_eq!(short_cut.to_try(), names(&[]), "there is nothing to be passed on yet");
        assert!(short_cut.change(names(&["lan0"])));
        assert_eq!(short_cut.to_try(), names(&[]));
        // Given an interface that has just gone when it is tried
        let (gone, left) = (names(&["lan0", "wire0", "wire1"]), names(&["lan0", "wire0"]));
        assert!(short_cut.change(gone.clone()));
        assert_eq!(short_cut.to_try(), gone);
        assert!(short_cut.refuse(gone.clone()));
        assert_eq!(short_cut.to_try(), names(&[]), "the rules come into force without it");
        short_cut.accept(&names(&[]));
        // When that is known
        assert!(short_cut.change(left.clone()));
        // Then it is tried with those that are left
        assert_eq!(short_cut.to_try(), left);
        assert!(!short_cut.refuse(left.clone()), "a kernel that has none refuses them, too");
        assert_eq!(short_cut.to_try(), names(&[]));
        // And one that was taken and is refused later is worth another word
        assert!(short_cut.change(gone.clone()));
        short_cut.accept(&gone);
        assert!(!short_cut.change(gone.clone()));
        assert!(short_cut.refuse(gone));
    }
}
