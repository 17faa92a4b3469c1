//! Which of the places that forwards lead to are there: one that was on a network of ours and is no more is left out, until it
//! is back.

use std::{
    collections::{BTreeSet, HashSet},
    future::pending,
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use landfall_api::{Forward, InterfaceName, Spec};

use crate::link::{Inside, LinkError};

/// The places, as far as the kernel knows them.
pub struct Replicas {
    /// None in a namespace that is shared: nothing leads out of it.
    inside: Option<Inside>,
    uplink: InterfaceName,
    networks: Vec<(String, Ipv4Net)>,
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
    /// If the kernel gives no netlink socket, or refuses.
    pub async fn watch(spec: &Spec) -> Result<Self, LinkError> {
        let uplink = spec.interface.clone();
        let inside = if spec.namespace.is_own() { Some(Inside::watch(uplink.clone())?) } else { None };
        let mut replicas = Self { inside, uplink, networks: Vec::new(), known: Known::default() };
        replicas.look().await?;
        Ok(replicas)
    }

    /// Waits for the networks to change. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel tells no more.
    pub async fn next(&mut self) -> Result<(), LinkError> {
        match &mut self.inside {
            Some(inside) => inside.next().await,
            None => pending().await,
        }
    }

    /// Looks what they are now.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn look(&mut self) -> Result<(), LinkError> {
        if let Some(inside) = &self.inside {
            self.networks = inside.look().await?;
        }
        Ok(())
    }

    /// The interfaces that have addresses, the uplink's among them.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.networks.iter().map(|(interface, _)| interface.as_str())
    }

    /// Looks what has become of the places of these forwards: those that are gone or back since the last time.
    pub fn learn(&mut self, forward: &[Forward]) -> Vec<(Ipv4Addr, bool)> {
        // The LAN is none of theirs, whatever its subnet.
        let inside = self.networks.iter().filter(|(interface, _)| *interface != self.uplink.as_str());
        let subnets: Vec<Ipv4Net> = inside.map(|(_, subnet)| *subnet).collect();
        self.known.learn(&subnets, forward)
    }

    /// Those that are not there any more.
    pub fn out(&self) -> &BTreeSet<Ipv4Addr> {
        &self.known.out
    }
}

impl Known {
    fn learn(&mut self, subnets: &[Ipv4Net], forward: &[Forward]) -> Vec<(Ipv4Addr, bool)> {
        let replicated = forward.iter().filter(|forward| forward.is_replicated());
        let places: BTreeSet<Ipv4Addr> = replicated.flat_map(Forward::addresses).collect();
        let (there, absent): (BTreeSet<Ipv4Addr>, _) =
            places.into_iter().partition(|place| subnets.iter().any(|subnet| subnet.contains(place)));
        self.seen.extend(&there);
        // Before it has been there once it is only late.
        let out: BTreeSet<Ipv4Addr> = absent.into_iter().filter(|place| self.seen.contains(place)).collect();
        let gone = out.difference(&self.out).map(|place| (*place, false));
        let back = self.out.intersection(&there).map(|place| (*place, true));
        let news = gone.chain(back).collect();
        self.out = out;
        news
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
        assert_eq!(known.learn(&[one], &forward), [], "it is not there yet");
        assert_eq!(known.learn(&[one, other], &forward), []);
        assert_eq!(known.learn(&[one], &forward), [(replica, false)]);
        assert_eq!(known.out, [replica].into());
        assert_eq!(known.learn(&[one], &forward), [], "it is said once");
        assert_eq!(known.learn(&[one, other], &forward), [(replica, true)]);
        assert!(known.out.is_empty());
    }

    #[test]
    fn a_place_without_others_is_none_to_be_left_out() {
        let mut known = Known::default();
        let forward = [forward(&[])];
        known.learn(&[net("10.0.0.2/30")], &forward);
        assert_eq!(known.learn(&[], &forward), []);
        assert!(known.out.is_empty());
    }
}
