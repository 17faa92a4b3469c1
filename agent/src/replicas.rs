//! Which of the places that forwards lead to are there: one that was on a network of ours and is no more is left out, until it
//! is back.

use std::{
    collections::{BTreeSet, HashSet},
    future::pending,
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use landfall_api::{Forward, Spec};

use crate::link::{Inside, LinkError};

/// The places, as far as the kernel knows them.
pub struct Replicas {
    /// None in a namespace that is shared: nothing leads out of it.
    inside: Option<Inside>,
    known: Known,
}

/// What is known of them. Pure.
#[derive(Debug, Default)]
struct Known {
    seen: HashSet<Ipv4Addr>,
    out: BTreeSet<Ipv4Addr>,
}

impl Replicas {
    /// Watches the networks that lead to targets.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket.
    pub fn watch(spec: &Spec) -> Result<Self, LinkError> {
        let inside =
            if spec.namespace.is_own() { Some(Inside::watch(spec.interface.clone())?) } else { None };
        Ok(Self { inside, known: Known::default() })
    }

    /// Waits for the networks to change: what they are now. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel tells no more.
    pub async fn next(&mut self) -> Result<Vec<Ipv4Net>, LinkError> {
        match &mut self.inside {
            Some(inside) => inside.next().await,
            None => pending().await,
        }
    }

    /// Takes what the networks are, and says what has become of the places of these forwards.
    pub fn learn(&mut self, subnets: &[Ipv4Net], forward: &[Forward]) -> Vec<String> {
        self.known.learn(subnets, forward)
    }

    /// Those that are not there any more.
    pub fn out(&self) -> &BTreeSet<Ipv4Addr> {
        &self.known.out
    }
}

impl Known {
    fn learn(&mut self, subnets: &[Ipv4Net], forward: &[Forward]) -> Vec<String> {
        let replicated = forward.iter().filter(|forward| forward.is_replicated());
        let places: BTreeSet<Ipv4Addr> = replicated.flat_map(Forward::addresses).collect();
        let (there, absent): (BTreeSet<Ipv4Addr>, _) =
            places.into_iter().partition(|place| subnets.iter().any(|subnet| subnet.contains(place)));
        self.seen.extend(&there);
        // Before it has been there once it is only late.
        let out: BTreeSet<Ipv4Addr> = absent.into_iter().filter(|place| self.seen.contains(place)).collect();
        let gone = out
            .difference(&self.out)
            .map(|place| format!("{place} is gone: nothing is led there while there are others"));
        let back = self.out.intersection(&there).map(|place| format!("{place} is back"));
        let said = gone.chain(back).collect();
        self.out = out;
        said
    }
}

#[cfg(test)]
mod tests {
    use landfall_api::{Destination, Protocol};

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a network")
    }

    fn forward(replicas: &[Ipv4Addr]) -> Forward {
        let to = Destination { address: Ipv4Addr::new(10, 0, 0, 1), port: None };
        let forward = Forward::new(Protocol::Tcp, "80".parse().expect("a port"), to).expect("one to one");
        forward.with_replicas(replicas.to_vec(), Vec::new()).expect("as many")
    }

    #[test]
    fn a_place_that_has_gone_is_left_out_until_it_is_back() {
        let mut known = Known::default();
        let replica = Ipv4Addr::new(10, 0, 1, 1);
        let forward = [forward(&[replica])];
        let (one, other) = (net("10.0.0.2/30"), net("10.0.1.2/30"));
        assert_eq!(known.learn(&[one], &forward), [""; 0], "it is not there yet");
        assert_eq!(known.learn(&[one, other], &forward), [""; 0]);
        assert_eq!(
            known.learn(&[one], &forward),
            ["10.0.1.1 is gone: nothing is led there while there are others"]
        );
        assert_eq!(known.out, [replica].into());
        assert_eq!(known.learn(&[one], &forward), [""; 0], "it is said once");
        assert_eq!(known.learn(&[one, other], &forward), ["10.0.1.1 is back"]);
        assert!(known.out.is_empty());
    }

    #[test]
    fn a_place_without_others_is_none_to_be_left_out() {
        let mut known = Known::default();
        let forward = [forward(&[])];
        known.learn(&[net("10.0.0.2/30")], &forward);
        assert_eq!(known.learn(&[], &forward), [""; 0]);
        assert!(known.out.is_empty());
    }
}
