//! The addresses of a wire: a /30 of RFC 3927's, whose first address is the target's, and a /126 of RFC 4193's like it. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Where the pairs of all wires come from: 169.254.192.0/18, in which no cloud's metadata service lives.
const POOL: u32 = 0xa9fe_c000;
const PREFIX: u8 = 30;

/// Where their IPv6 addresses come from: `fd6c:616e:6466::/64`, "landf". No route but a wire's own leads there.
const POOL6: Ipv6Addr = Ipv6Addr::new(0xfd6c, 0x616e, 0x6466, 0, 0, 0, 0, 0);
const PREFIX6: u8 = 126;

const PAIRS: u32 = 1 << (PREFIX - 18);

/// The two addresses of one wire, as a number below 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(u32);

impl Pair {
    /// The pair that one of these addresses belongs to.
    pub fn of(addresses: &[Ipv4Net]) -> Option<Self> {
        let is_end = |net: &&Ipv4Net| net.prefix_len() == PREFIX;
        let offsets =
            addresses.iter().filter(is_end).map(|net| u32::from(net.network()).wrapping_sub(POOL) >> 2);
        offsets.map(Self).find(|pair| pair.0 < PAIRS)
    }

    /// The first pair that has no address in common with these networks; none if they have all of them.
    pub fn free(taken: &[Ipv4Net]) -> Option<Self> {
        let is_free = |pair: &Self| {
            let net = pair.target();
            taken.iter().all(|other| !other.contains(&net.network()) && !net.contains(&other.network()))
        };
        (0..PAIRS).map(Self).find(is_free)
    }

    /// The target's end.
    pub fn target(self) -> Ipv4Net {
        self.end(1)
    }

    /// The network container's end.
    pub fn gateway(self) -> Ipv4Net {
        self.end(2)
    }

    /// The target's end in IPv6.
    pub fn target6(self) -> Ipv6Net {
        self.end6(1)
    }

    /// The network container's end in IPv6.
    pub fn gateway6(self) -> Ipv6Net {
        self.end6(2)
    }

    /// "lf", and the pair's number: of the target's end, and of the routing table there that leads back over it.
    pub fn number(self) -> u32 {
        0x6c66_0000 | self.0
    }

    fn end6(self, host: u32) -> Ipv6Net {
        Ipv6Net::new_assert(Ipv6Addr::from(u128::from(POOL6) | u128::from(self.0 << 2 | host)), PREFIX6)
    }

    fn end(self, host: u32) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::from(POOL | self.0 << 2 | host), PREFIX)
    }
}

/// A pair for each wire of one network container, given the one that it has, if any, and what else its target has addresses in.
/// Wires that are there keep theirs, the first of two that have the same; none where none is free.
pub fn assign(wires: &[(Option<Pair>, &[Ipv4Net])]) -> Vec<Option<Pair>> {
    let mut taken: Vec<Pair> = Vec::new();
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    for (present, _) in wires {
        let kept = present.filter(|pair| !taken.contains(pair));
        taken.extend(kept);
        pairs.push(kept);
    }
    for (pair, (_, occupied)) in pairs.iter_mut().zip(wires).filter(|(pair, _)| pair.is_none()) {
        let beside = taken.iter().map(|pair| pair.target());
        *pair = Pair::free(&occupied.iter().copied().chain(beside).collect::<Vec<_>>());
        taken.extend(*pair);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    #[test]
    fn a_pair_is_found_again_by_either_end() {
        for number in [0, 1, 77, PAIRS - 1] {
            let pair = Pair(number);
            assert_eq!(Pair::of(&[pair.target()]), Some(pair));
            assert_eq!(Pair::of(&[pair.gateway()]), Some(pair));
            assert_eq!(pair.target().network(), pair.gateway().network());
        }
        assert_eq!(Pair(0).target().to_string(), "169.254.192.1/30");
        assert_eq!(Pair(PAIRS - 1).gateway().to_string(), "169.254.255.254/30");
        assert_eq!(Pair(0).target6().to_string(), "fd6c:616e:6466::1/126");
        assert_eq!(Pair(PAIRS - 1).gateway6().to_string(), "fd6c:616e:6466::3ffe/126");
    }

    #[test]
    fn other_addresses_are_no_pair() {
        assert_eq!(
            Pair::of(&nets(&["172.17.0.2/16", "169.254.10.1/30", "169.254.192.1/24", "170.0.0.1/30"])),
            None
        );
    }

    #[test]
    fn a_wire_that_is_there_keeps_its_pair_whoever_comes_before_it() {
        let occupied = nets(&["169.254.192.5/30"]);
        let assigned = |wires: &[Option<u32>]| {
            let wires: Vec<_> = wires.iter().map(|pair| (pair.map(Pair), &*occupied)).collect();
            assign(&wires).into_iter().map(|pair| pair.map(|pair| pair.0)).collect::<Vec<_>>()
        };
        assert_eq!(assigned(&[None, Some(0), None]), [Some(2), Some(0), Some(3)]);
        assert_eq!(assigned(&[Some(2), Some(2)]), [Some(2), Some(0)]);
        assert_eq!(assigned(&[None]), [Some(0)]);
    }

    #[test]
    fn what_is_taken_is_not_taken_again() {
        assert_eq!(Pair::free(&nets(&["172.17.0.2/16"])), Some(Pair(0)));
        assert_eq!(Pair::free(&nets(&["169.254.192.1/30", "169.254.192.6/32"])), Some(Pair(2)));
        assert_eq!(Pair::free(&nets(&["169.254.192.9/25"])), Some(Pair(32)));
        assert_eq!(Pair::free(&nets(&["169.254.7.7/16"])), None);
    }
}
