//! A client, a server in changing moods, and a network that loses, delays and repeats what they say.

use std::{collections::HashMap, net::Ipv6Addr, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    bench::{
        Answer, CONFIRM, DECLINE, Host, NO_ADDRS_AVAIL, NO_BINDING, NOT_ON_LINK, PREFERRED, RAPID_COMMIT,
        REBIND, RELEASE, RENEW, REQUEST, SOLICIT, Sent, VALID, seconds, sent,
    },
    watch::Watch,
};
use crate::{
    clock::Instant,
    dhcp6::{Event, Want},
};

/// What is on its way.
#[derive(Clone, Debug)]
enum Packet {
    ToServer(Sent),
    ToClient(Vec<u8>),
}

/// What the server is like for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Silent,
    /// It has no addresses.
    Full,
    /// It offers what it does not give.
    Fickle,
    /// It knows no lease.
    Forgetful,
    /// It wants its addresses back.
    Withdrawing,
}

const MOODS: [Mood; 6] =
    [Mood::Well, Mood::Silent, Mood::Full, Mood::Fickle, Mood::Forgetful, Mood::Withdrawing];

/// A server for one client.
struct Server {
    mood: Mood,
    is_rapid: bool,
    times: [u32; 4],
    next: u16,
    address: Ipv6Addr,
    /// Until when an address may be used, at the most.
    promised: HashMap<Ipv6Addr, Instant>,
}

/// How bad the network is.
struct Weather {
    loss: f64,
    repeated: f64,
    slowest: Duration,
}

pub struct World {
    pub host: Host,
    pub watch: Watch,
    rng: StdRng,
    server: Server,
    weather: Weather,
    underway: Vec<(Instant, Packet)>,
    /// When something happens to them next; never, once all is well.
    fate: Option<Instant>,
}

impl Server {
    fn new() -> Self {
        let mut server = Self {
            mood: Mood::Well,
            is_rapid: false,
            times: [0, 0, PREFERRED, VALID],
            next: 0,
            address: Ipv6Addr::UNSPECIFIED,
            promised: HashMap::new(),
        };
        server.renumber();
        server
    }

    fn renumber(&mut self) {
        self.next += 1;
        self.address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, self.next);
    }

    fn answer(&mut self, sent: &Sent, now: Instant) -> Option<Answer> {
        let reply = Answer::reply(sent);
        match (self.mood, sent.kind) {
            (Mood::Silent, _) => None,
            (Mood::Full, SOLICIT) => Some(Answer::advertise(sent).refusing(NO_ADDRS_AVAIL, "full")),
            (Mood::Full, REQUEST) => Some(reply.refusing(NO_ADDRS_AVAIL, "full")),
            (Mood::Fickle, REQUEST | CONFIRM) => Some(reply.refusing(NOT_ON_LINK, "no")),
            (Mood::Forgetful, RENEW | REBIND | REQUEST) => Some(reply.refusing(NO_BINDING, "who?")),
            (Mood::Withdrawing, RENEW | REBIND) => Some(reply.giving(sent.address()?, 0, 0)),
            (_, SOLICIT) if self.is_rapid && sent.option(RAPID_COMMIT).is_some() => {
                Some(self.give(reply.rapid(), now))
            }
            (_, SOLICIT) => Some(self.give(Answer::advertise(sent), now)),
            (_, REQUEST | RENEW | REBIND) => Some(self.give(reply, now)),
            (_, DECLINE) => {
                self.renumber();
                Some(reply)
            }
            (_, CONFIRM | RELEASE) => Some(reply),
            (_, other) => {
                assert_eq!(other, super::bench::INFORMATION_REQUEST);
                Some(reply)
            }
        }
    }

    fn give(&mut self, answer: Answer, now: Instant) -> Answer {
        let [t1, t2, preferred, valid] = self.times;
        let until = self.promised.entry(self.address).or_insert(now);
        *until = (*until).max(now + seconds(valid));
        answer.ia(t1, t2, &[(super::bench::IA_ADDR, super::bench::ia_addr(self.address, preferred, valid))])
    }
}

impl Weather {
    fn any(rng: &mut StdRng) -> Self {
        let slowest = Duration::from_millis(rng.random_range(1..3000));
        Self { loss: rng.random_range(0.0..0.5), repeated: rng.random_range(0.0..0.2), slowest }
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut host = Host::new(rng.next_u64());
        let weather = Weather::any(&mut rng);
        host.step(Event::LinkUp);
        host.step(Event::Wanted(Want::Address));
        let fate = Some(host.now);
        let (server, watch) = (Server::new(), Watch::default());
        Self { host, watch, rng, server, weather, underway: Vec::new(), fate }
    }

    /// Lets the next thing happen.
    pub fn advance(&mut self) {
        let arrival = self.underway.iter().map(|(at, _)| *at).min();
        let next = [arrival, self.fate, self.host.client.deadline()].into_iter().flatten().min();
        let next = next.unwrap_or(self.host.now + seconds(60)).max(self.host.now);
        self.host.now = next;
        if let Some(at) = self.underway.iter().position(|(at, _)| *at <= next) {
            match self.underway.swap_remove(at).1 {
                Packet::ToClient(bytes) => self.happen(Event::Received(&bytes)),
                Packet::ToServer(sent) => {
                    if let Some(answer) = self.server.answer(&sent, next) {
                        self.carry(&Packet::ToClient(answer.bytes()));
                    }
                }
            }
        } else if self.fate.is_some_and(|at| at <= next) {
            self.strike();
            self.fate = Some(next + seconds(self.rng.random_range(1..4000)));
        } else {
            self.happen(Event::Deadline);
        }
    }

    /// All is well from now on.
    pub fn calm_down(&mut self) {
        self.fate = None;
        self.weather = Weather { loss: 0.0, repeated: 0.0, slowest: Duration::from_millis(5) };
        self.server =
            Server { promised: self.server.promised.clone(), next: self.server.next, ..Server::new() };
        self.server.renumber();
        self.happen(Event::LinkUp);
        self.happen(Event::Wanted(Want::Address));
    }

    pub fn happen(&mut self, event: Event<'_>) {
        let actions = self.host.step(event);
        self.watch.see(&self.host, &actions);
        let lease = self.host.client.lease();
        if let Some((lease, expiry)) = lease.and_then(|lease| Some((lease, lease.expiry()?))) {
            assert!(expiry <= self.server.promised[&lease.address], "longer than it was given");
        }
        for sent in sent(&actions, self.host.now) {
            self.carry(&Packet::ToServer(sent));
        }
    }

    fn carry(&mut self, packet: &Packet) {
        let copies = 1 + usize::from(self.rng.random_bool(self.weather.repeated));
        for _ in 0..copies {
            if !self.rng.random_bool(self.weather.loss) {
                let delay = self.rng.random_range(Duration::ZERO..=self.weather.slowest);
                self.underway.push((self.host.now + delay, packet.clone()));
            }
        }
    }

    /// Something happens to the client, the server or the network.
    fn strike(&mut self) {
        let address = self.host.client.lease().map(|lease| lease.address);
        match self.rng.random_range(0..12) {
            0 => self.happen(Event::LinkDown),
            1 | 2 => self.happen(Event::LinkUp),
            3 => self.happen(Event::Wanted(Want::Nothing)),
            4 => self.happen(Event::Wanted(Want::Information)),
            5 | 6 => self.happen(Event::Wanted(Want::Address)),
            7 => self.happen(Event::Duplicate(address.unwrap_or(Ipv6Addr::UNSPECIFIED))),
            8 => self.weather = Weather::any(&mut self.rng),
            9 => self.server.renumber(),
            10 => {
                let (valid, is_rapid) = (self.rng.random_range(1..9000), self.rng.random());
                let preferred = self.rng.random_range(0..=valid);
                let t2 = self.rng.random_range(0..=valid);
                self.server.times = [self.rng.random_range(0..=t2), t2, preferred, valid];
                self.server.is_rapid = is_rapid;
            }
            _ => self.server.mood = MOODS[self.rng.random_range(0..MOODS.len())],
        }
    }
}
