//! An address that needs no server (RFC 3927), used beside the search for one.

use std::net::Ipv4Addr;

use landfall_api::{ConflictDetection, MacAddr};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    arp::{Claim, Query},
    client::{Action, Client, Context},
    conflict::{Check, Friends, Guard, Verdict, after_conflict},
};
use crate::clock::Instant;

/// RFC 3927, section 9: after so many conflicts addresses are tried less often.
const MOST_CONFLICTS: u32 = 10;

/// A link-local address on its way, or in use.
#[derive(Debug)]
pub(super) struct LinkLocal {
    address: Ipv4Addr,
    conflicts: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The next attempt is not due yet.
    Pause(Instant),
    Probing(Check),
    Held(Guard),
}

impl LinkLocal {
    /// Tries the address that a MAC address leads to after so many conflicts: the same one every time (RFC 3927, section
    /// 2.1).
    pub fn new(mac: MacAddr, conflicts: u32, context: &mut Context<'_>) -> Self {
        let address = choose(mac, conflicts);
        let check = Check::new(address, ConflictDetection::Rfc5227, context.now, context.rng);
        let stage = match check {
            Some(check) if conflicts < MOST_CONFLICTS => Stage::Probing(check),
            Some(_) | None => Stage::Pause(context.now + after_conflict(conflicts, context.rng)),
        };
        Self { address, conflicts, stage }
    }

    /// The address, if it is in use.
    pub fn address(&self) -> Option<Ipv4Addr> {
        matches!(self.stage, Stage::Held(_)).then_some(self.address)
    }

    /// The address, in use or not.
    pub fn candidate(&self) -> Ipv4Addr {
        self.address
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Pause(at) => Some(*at),
            Stage::Probing(check) => Some(check.at),
            Stage::Held(guard) => guard.deadline(),
        }
    }

    fn due(&mut self, context: &mut Context<'_>) -> Vec<Action> {
        let now = context.now;
        match &mut self.stage {
            Stage::Pause(at) if *at <= now => {
                let check = Check::new(self.address, ConflictDetection::Rfc5227, now, context.rng);
                self.stage = check.map_or(Stage::Pause(now), Stage::Probing);
                Vec::new()
            }
            Stage::Pause(_) => Vec::new(),
            Stage::Probing(check) => {
                let probe = check.due(now, context.rng);
                if check.is_done(now) {
                    let mut guard = Guard::new(self.address, ConflictDetection::Rfc5227, now);
                    let queries = guard.due(now, context.rng);
                    self.stage = Stage::Held(guard);
                    let used = Action::LinkLocal(Some(self.address));
                    return [used].into_iter().chain(queries.into_iter().map(Action::Ask)).collect();
                }
                probe.map(Action::Ask).into_iter().collect()
            }
            Stage::Held(guard) => guard.due(now, context.rng).into_iter().map(Action::Ask).collect(),
        }
    }
}

impl Client {
    /// Does what is due for the link-local address.
    pub(super) fn link_local_due(&mut self, context: &mut Context<'_>) -> Vec<Action> {
        self.link_local.as_mut().map(|own| own.due(context)).unwrap_or_default()
    }

    /// Takes a claim: somebody else may use the link-local address.
    pub(super) fn link_local_heard(&mut self, claim: &Claim, context: &mut Context<'_>) -> Vec<Action> {
        let Some(own) = &mut self.link_local else {
            return Vec::new();
        };
        let friends = Friends { own: self.identity.mac, others: &self.identity.other_macs, server: None };
        let is_taken = match &mut own.stage {
            Stage::Pause(_) => false,
            Stage::Probing(check) => {
                check.hear(claim, &friends);
                check.holder.is_some()
            }
            Stage::Held(guard) => match guard.hear(claim, &friends, context.now) {
                Verdict::Fine => false,
                Verdict::Defend => return vec![Action::Ask(Query::Announcement(own.address))],
                Verdict::GiveUp(_) => true,
            },
        };
        if !is_taken {
            return Vec::new();
        }
        let was_used = own.address().map(|_| Action::LinkLocal(None));
        let conflicts = own.conflicts.saturating_add(1);
        self.link_local = Some(LinkLocal::new(self.identity.mac, conflicts, context));
        was_used.into_iter().collect()
    }
}

/// An address of 169.254.1.0 to 169.254.254.255, evenly spread over MAC addresses.
fn choose(mac: MacAddr, conflicts: u32) -> Ipv4Addr {
    let mut seed = [0; 32];
    seed[..6].copy_from_slice(&mac.0);
    seed[6..10].copy_from_slice(&conflicts.to_be_bytes());
    let mut rng = StdRng::from_seed(seed);
    let _ = rng.next_u32();
    Ipv4Addr::new(169, 254, rng.random_range(1..=254), rng.random())
}
