//! Who holds which address of the pool, and until when. Pure: the time is an argument, counted from any one moment.
//! Refuses to know messages.

use std::{collections::BTreeMap, net::Ipv4Addr, ops::RangeInclusive, time::Duration};

use ipnet::Ipv4AddrRange;

/// How long an offered address is kept for the client that it was offered to.
const OFFER_HELD: Duration = Duration::from_secs(10);

/// What a client is known by: its client identifier, or else its hardware address (RFC 2131 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientId {
    /// The octets of option 61.
    Identifier(Vec<u8>),
    /// `chaddr`, of an Ethernet.
    Hardware([u8; 6]),
}

/// The addresses that were given, and the pool that they come from.
pub struct Leases {
    pool: RangeInclusive<Ipv4Addr>,
    /// Expired ones stay, so that a client which comes back gets its address back.
    bindings: BTreeMap<Ipv4Addr, Binding>,
}

struct Binding {
    holder: Holder,
    until: Duration,
}

#[derive(PartialEq)]
enum Holder {
    Client(ClientId),
    /// Somebody answers there who did not ask us (DHCPDECLINE).
    Stranger,
}

impl Leases {
    /// No address is given yet.
    pub fn new(pool: RangeInclusive<Ipv4Addr>) -> Self {
        Self { pool, bindings: BTreeMap::new() }
    }

    /// Chooses an address for the client in the order of RFC 2131 4.3.1: the one that it has or had, the one that it
    /// wants, one that nobody had, the one that expired first. None is left: `None`.
    pub fn offer(&mut self, client: &ClientId, wanted: Option<Ipv4Addr>, now: Duration) -> Option<Ipv4Addr> {
        let address = self
            .held_by(client)
            .or_else(|| wanted.filter(|address| self.is_free(*address, now)))
            .or_else(|| self.never_given())
            .or_else(|| self.longest_expired(now))?;
        let lease_end = self.bindings.get(&address).map_or(Duration::ZERO, |binding| binding.until);
        self.bind(client, address, lease_end.max(now + OFFER_HELD));
        Some(address)
    }

    /// Gives the address to the client, if it is the client's or nobody's; says whether.
    #[must_use]
    pub fn grant(&mut self, client: &ClientId, address: Ipv4Addr, lease: RangeInclusive<Duration>) -> bool {
        let granted = self.is_held_by(client, address) || self.is_free(address, *lease.start());
        if granted {
            self.bind(client, address, *lease.end());
        }
        granted
    }

    /// The client gives the address back.
    pub fn release(&mut self, client: &ClientId, address: Ipv4Addr, now: Duration) {
        if self.is_held_by(client, address) {
            self.bind(client, address, now);
        }
    }

    /// The client found somebody else at the address: nobody gets it before `until`.
    pub fn decline(&mut self, client: &ClientId, address: Ipv4Addr, until: Duration) {
        if self.is_held_by(client, address) {
            self.bindings.insert(address, Binding { holder: Holder::Stranger, until });
        }
    }

    fn bind(&mut self, client: &ClientId, address: Ipv4Addr, until: Duration) {
        let holder = Holder::Client(client.clone());
        self.bindings.retain(|_, binding| binding.holder != holder);
        self.bindings.insert(address, Binding { holder, until });
    }

    fn held_by(&self, client: &ClientId) -> Option<Ipv4Addr> {
        self.bindings.keys().copied().find(|address| self.is_held_by(client, *address))
    }

    fn is_held_by(&self, client: &ClientId, address: Ipv4Addr) -> bool {
        let holder = self.bindings.get(&address).map(|binding| &binding.holder);
        matches!(holder, Some(Holder::Client(holder)) if holder == client)
    }

    fn is_free(&self, address: Ipv4Addr, now: Duration) -> bool {
        self.pool.contains(&address) && self.bindings.get(&address).is_none_or(|binding| binding.until <= now)
    }

    fn never_given(&self) -> Option<Ipv4Addr> {
        let mut pool = Ipv4AddrRange::new(*self.pool.start(), *self.pool.end());
        pool.find(|address| !self.bindings.contains_key(address))
    }

    fn longest_expired(&self, now: Duration) -> Option<Ipv4Addr> {
        let expired = self.bindings.iter().filter(|(_, binding)| binding.until <= now);
        expired.min_by_key(|(_, binding)| binding.until).map(|(address, _)| *address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
    const SECOND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);
    const HOUR: Duration = Duration::from_hours(1);

    fn client(n: u8) -> ClientId {
        ClientId::Hardware([2, 0, 0, 0, 0, n])
    }

    fn two_addresses() -> Leases {
        Leases::new(FIRST..=SECOND)
    }

    fn hours(n: u32) -> Duration {
        HOUR * n
    }

    #[test]
    fn a_client_that_comes_back_gets_its_address_back() {
        let mut leases = two_addresses();
        assert!(leases.grant(&client(1), SECOND, Duration::ZERO..=HOUR));
        assert_eq!(leases.offer(&client(1), Some(FIRST), hours(2)), Some(SECOND), "its lease has expired");
    }

    #[test]
    fn an_address_that_nobody_had_is_given_before_one_that_expired() {
        let mut leases = two_addresses();
        assert!(leases.grant(&client(1), FIRST, Duration::ZERO..=HOUR));
        assert_eq!(leases.offer(&client(2), None, hours(2)), Some(SECOND));
    }

    #[test]
    fn the_address_that_expired_first_is_given_again() {
        let mut leases = two_addresses();
        assert!(leases.grant(&client(1), FIRST, Duration::ZERO..=hours(2)));
        assert!(leases.grant(&client(2), SECOND, Duration::ZERO..=HOUR));
        assert_eq!(leases.offer(&client(3), Some(Ipv4Addr::BROADCAST), hours(3)), Some(SECOND));
        assert_eq!(leases.offer(&client(2), None, hours(3)), Some(FIRST), "its own is taken");
    }

    #[test]
    fn an_exhausted_pool_offers_nothing_until_a_lease_ends() {
        let mut leases = two_addresses();
        assert!(leases.grant(&client(1), FIRST, Duration::ZERO..=HOUR));
        assert!(leases.grant(&client(2), SECOND, Duration::ZERO..=HOUR));
        assert_eq!(leases.offer(&client(3), None, HOUR / 2), None);
        leases.release(&client(2), FIRST, HOUR / 2);
        assert_eq!(leases.offer(&client(3), None, HOUR / 2), None, "it was not the client's to release");
        leases.release(&client(1), FIRST, HOUR / 2);
        assert_eq!(leases.offer(&client(3), None, HOUR / 2), Some(FIRST));
    }

    #[test]
    fn an_offer_is_kept_for_its_client_for_ten_seconds() {
        let mut leases = two_addresses();
        assert_eq!(leases.offer(&client(1), None, Duration::ZERO), Some(FIRST));
        assert!(!leases.grant(&client(2), FIRST, Duration::from_secs(9)..=HOUR));
        assert!(leases.grant(&client(2), FIRST, Duration::from_secs(10)..=HOUR));
    }

    #[test]
    fn an_offer_does_not_shorten_a_lease() {
        let mut leases = two_addresses();
        assert!(leases.grant(&client(1), FIRST, Duration::ZERO..=HOUR));
        assert_eq!(leases.offer(&client(1), None, Duration::ZERO), Some(FIRST));
        assert!(!leases.grant(&client(2), FIRST, HOUR / 2..=HOUR));
    }

    #[test]
    fn a_declined_address_is_given_to_nobody_for_a_while() {
        let mut leases = two_addresses();
        assert!(leases.grant(&client(1), FIRST, Duration::ZERO..=HOUR));
        leases.decline(&client(1), FIRST, hours(2));
        assert_eq!(leases.offer(&client(1), Some(FIRST), HOUR), Some(SECOND));
        assert!(!leases.grant(&client(1), FIRST, HOUR..=hours(2)));
    }

    proptest! {
        #[test]
        fn no_address_has_two_holders(steps in prop::collection::vec((0..4u8, 0..3u8, 99..103u8, 0..4000u64), 1..60)) {
            let mut leases = two_addresses();
            let mut given = BTreeMap::<Ipv4Addr, (ClientId, Duration)>::new();
            let mut now = Duration::ZERO;
            for (step, who, host, pause) in steps {
                now += Duration::from_secs(pause);
                let (client, address) = (client(who), Ipv4Addr::new(10, 77, 0, host));
                match step {
                    0 => drop(leases.offer(&client, Some(address), now)),
                    1 if leases.grant(&client, address, now..=now + HOUR) => {
                        prop_assert!((FIRST..=SECOND).contains(&address));
                        let holder = given.insert(address, (client.clone(), now + HOUR));
                        prop_assert!(holder.is_none_or(|(holder, end)| holder == client || end <= now));
                        given.retain(|held, (holder, _)| *held == address || *holder != client);
                    }
                    2 => {
                        leases.release(&client, address, now);
                        given.retain(|held, (holder, _)| (*held, &*holder) != (address, &client));
                    }
                    _ => {}
                }
            }
        }
    }
}
