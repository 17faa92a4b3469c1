//! The servers of the simulated network: honest ones, which lose their memory and their power now and then, and one that
//! says anything to anybody.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use landfall_agent::{clock::Instant, dhcp::Delivery};
use landfall_api::MacAddr;
use rand::{Rng as _, RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::bench::*;

/// A server that does what RFC 2131 says.
pub struct Honest {
    pub id: Ipv4Addr,
    pub lease: u32,
    pub is_reliable: bool,
    /// Whether it commits at once, if it is asked to (RFC 4039).
    is_rapid: bool,
    off_until: Instant,
    /// The client's address, and until when it is the client's.
    record: Option<(Ipv4Addr, Instant)>,
    /// The addresses that it ever acknowledged, and until when at most.
    acknowledged: BTreeMap<Ipv4Addr, Instant>,
    next: u8,
}

impl Honest {
    pub fn new(number: u8, lease: u32) -> Self {
        Self {
            id: Ipv4Addr::new(10, 0, number, 1),
            lease,
            is_reliable: false,
            is_rapid: false,
            off_until: Instant::BOOT,
            record: None,
            acknowledged: BTreeMap::new(),
            next: 10,
        }
    }

    pub fn rapid(self, is_rapid: bool) -> Self {
        Self { is_rapid, ..self }
    }

    /// Whether it ever said that the address is the client's until then.
    pub fn promised(&self, address: Ipv4Addr, until: Option<Instant>) -> bool {
        let end = until.unwrap_or(Instant::BOOT + Duration::MAX);
        self.acknowledged.get(&address).is_some_and(|limit| end <= *limit)
    }

    pub fn power_on(&mut self) {
        self.is_reliable = true;
        self.off_until = Instant::BOOT;
    }

    pub fn hear(&mut self, message: &Sent, now: Instant, rng: &mut StdRng) -> Option<Answer> {
        if !self.is_reliable {
            self.misfortune(now, rng);
        }
        if now < self.off_until || !self.is_addressed(message) {
            return None;
        }
        match message.kind() {
            DISCOVER if self.is_rapid && message.option(80).is_some() => {
                let address = self.address();
                Some(self.grant(message, address, now).with(80, []))
            }
            DISCOVER => Some(self.lease(Answer::offer(message), self.address())),
            REQUEST => self.requested(message, now),
            RELEASE => {
                self.record = None;
                None
            }
            DECLINE => {
                self.record = None;
                self.next = self.next % 200 + 10;
                None
            }
            kind => panic!("a client does not send type {kind}"),
        }
    }

    fn misfortune(&mut self, now: Instant, rng: &mut StdRng) {
        if rng.random_bool(0.02) {
            self.off_until = now + Duration::from_secs(rng.random_range(1..=2 * u64::from(self.lease)));
        }
        if rng.random_bool(0.02) {
            self.record = None;
            self.next = self.next % 200 + 10;
        }
    }

    fn is_addressed(&self, message: &Sent) -> bool {
        let is_mine = |to: Ipv4Addr| to == self.id;
        message.address_option(54).is_none_or(is_mine)
            && match message.delivery {
                Delivery::Broadcast { .. } => true,
                Delivery::Unicast { to } | Delivery::Frame { to, .. } => is_mine(to),
            }
    }

    fn requested(&mut self, message: &Sent, now: Instant) -> Option<Answer> {
        let wanted = message.address_option(50).unwrap_or(message.ciaddr());
        let is_free = message.option(54).is_some() && wanted == self.address();
        let is_held = self.record.is_some_and(|(address, end)| address == wanted && now < end);
        if is_free || is_held {
            Some(self.grant(message, wanted, now))
        } else if wanted.octets()[2] == self.id.octets()[2] {
            Some(Answer::nak(message).with(54, self.id.octets()))
        } else {
            None
        }
    }

    fn grant(&mut self, message: &Sent, address: Ipv4Addr, now: Instant) -> Answer {
        let end = match self.lease {
            u32::MAX => Instant::BOOT + Duration::MAX,
            lease => now + seconds(lease.into()),
        };
        self.record = Some((address, end));
        let limit = self.acknowledged.entry(address).or_insert(end);
        *limit = end.max(*limit);
        self.lease(Answer::ack(message), address)
    }

    fn address(&self) -> Ipv4Addr {
        let [a, b, c, _] = self.id.octets();
        self.record.map_or(Ipv4Addr::new(a, b, c, self.next), |(address, _)| address)
    }

    fn lease(&self, answer: Answer, address: Ipv4Addr) -> Answer {
        let answer = answer.yiaddr(address).seconds(51, self.lease);
        answer.with(54, self.id.octets()).with(3, self.id.octets())
    }
}

/// What a hostile server answers: something near to what the client waits for, wrong in any way.
pub fn hostile(message: &Sent, rng: &mut StdRng) -> Answer {
    let mut answer = match rng.random_range(0..4) {
        0 => Answer::nak(message),
        1 => Answer::ack(message),
        _ if message.kind() == DISCOVER => Answer::offer(message),
        _ => Answer::ack(message),
    };
    let server = *[SERVER, SERVER, SERVER, OTHER_SERVER, Ipv4Addr::LOCALHOST].choose(rng).expect("some");
    answer = answer.with(54, server.octets());
    if rng.random_bool(0.2) {
        answer = answer.yiaddr(Ipv4Addr::from(rng.next_u32()));
    }
    for code in [51, 58, 59] {
        if rng.random_bool(0.8) {
            let any = rng.next_u32();
            let seconds = *[0, 1, 2, 5, 6, 7, 30, 600, 1 << 31, u32::MAX, any].choose(rng).expect("some");
            answer = answer.seconds(code, seconds);
        }
    }
    if rng.random_bool(0.1) {
        answer = answer.octets(4, &rng.next_u32().to_be_bytes());
    }
    if rng.random_bool(0.2) {
        let value: Vec<u8> = (0..rng.random_range(0..60)).map(|_| rng.random()).collect();
        answer = answer.first(rng.random_range(1..255), value);
    }
    Answer { from: MacAddr(rng.random()), ..answer }
}
