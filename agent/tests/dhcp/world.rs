//! The simulated network: it loses, repeats, delays and reorders packets; its link flaps and its host sleeps.

use std::{collections::BTreeMap, time::Duration};

use landfall_agent::{
    clock::Instant,
    dhcp::{Action, Claim, Event, Lease, Query, Reply},
};
use landfall_api::{ConflictDetection, Dhcp, MacAddr};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::{
    bench::*,
    servers::{Honest, hostile},
    watch::Watch,
};

/// Any settings that change what is said on the wire.
pub fn any_settings(rng: &mut StdRng) -> Dhcp {
    Dhcp {
        conflict_detection: *CONFLICT_DETECTION.choose(rng).expect("some"),
        rapid_commit: rng.random(),
        ..settings()
    }
}

const CONFLICT_DETECTION: [ConflictDetection; 3] =
    [ConflictDetection::Off, ConflictDetection::Fast, ConflictDetection::Rfc5227];

/// How bad things are.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub loss: f64,
    pub duplication: f64,
    pub longest_delay: Duration,
    /// How often, on average, the link goes down; never without it.
    pub flaps: Option<Duration>,
    /// How likely it is that the host sleeps before the next thing happens.
    pub sleep: f64,
    pub hostility: Hostility,
    /// How likely it is that the agent is killed and started again before the next thing happens.
    pub crash: f64,
    /// How many of the first addresses that the servers lease are in use by somebody else.
    pub squatters: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostility {
    None,
    /// Somebody answers everything with anything, and repeats what went over the wire before.
    Rogue,
}

impl Weather {
    pub const CALM: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        longest_delay: Duration::from_millis(2),
        flaps: None,
        sleep: 0.0,
        hostility: Hostility::None,
        crash: 0.0,
        squatters: 0,
    };

    pub fn any(rng: &mut StdRng) -> Self {
        Self {
            loss: *[0.0, 0.1, 0.3, 0.6].choose(rng).expect("some"),
            duplication: *[0.0, 0.3].choose(rng).expect("some"),
            longest_delay: Duration::from_millis(*[1, 200, 5000].choose(rng).expect("some")),
            flaps: *[None, None, Some(seconds(60)), Some(seconds(86400))].choose(rng).expect("some"),
            sleep: *[0.0, 0.001].choose(rng).expect("some"),
            hostility: *[Hostility::None, Hostility::Rogue].choose(rng).expect("some"),
            crash: *[0.0, 0.0, 0.01].choose(rng).expect("some"),
            squatters: *[0, 0, 3].choose(rng).expect("some"),
        }
    }
}

enum Packet {
    ToServers(Sent),
    ToClient(Vec<u8>, MacAddr),
    Claim(Claim),
}

pub struct World {
    pub host: Host,
    pub watch: Watch,
    pub servers: Vec<Honest>,
    pub weather: Weather,
    /// Whether a rogue ever spoke: then an address may be anybody's.
    pub was_hostile: bool,
    rng: StdRng,
    begin: Instant,
    link: Event,
    next_flap: Option<Instant>,
    /// By when they arrive, and in the order sent.
    packets: BTreeMap<(Instant, usize), Packet>,
    sent: usize,
    /// What a rogue has overheard.
    overheard: Vec<Vec<u8>>,
    settings: Dhcp,
    /// What the agent has been told to remember.
    saved: Option<Lease>,
}

impl World {
    pub fn new(seed: u64, weather: Weather, settings: Dhcp) -> Self {
        let mut rng = StdRng::seed_from_u64(!seed);
        // The RFC's probes take up to seven seconds, in which a lease must not end.
        let shortest = if settings.conflict_detection == ConflictDetection::Rfc5227 { 30 } else { 1 };
        let leases = [1, 3, 30, 120, 3600, 3600, 86400, u32::MAX].map(|lease: u32| lease.max(shortest));
        let servers = (0..rng.random_range(1..=3))
            .map(|number| {
                let lease = *leases.choose(&mut rng).expect("some");
                Honest::new(number, lease).rapid(rng.random())
            })
            .collect();
        let host = Host::with(seed, settings.clone(), None);
        let mut world = Self {
            begin: host.now,
            next_flap: weather.flaps.map(|_| host.now),
            host,
            watch: Watch::default(),
            servers,
            weather,
            was_hostile: weather.hostility == Hostility::Rogue,
            rng,
            link: Event::LinkDown,
            packets: BTreeMap::new(),
            sent: 0,
            overheard: Vec::new(),
            settings,
            saved: None,
        };
        world.happen(&Event::LinkUp);
        world
    }

    /// How much time has passed.
    pub fn elapsed(&self) -> Duration {
        self.host.now.saturating_duration_since(self.begin)
    }

    /// From now on all is well.
    pub fn calm_down(&mut self) {
        self.weather = Weather::CALM;
        self.next_flap = None;
        self.servers.iter_mut().for_each(Honest::power_on);
        if self.link == Event::LinkDown {
            self.happen(&Event::LinkUp);
        }
    }

    /// Lets the next thing happen; false if nothing will.
    pub fn advance(&mut self) -> bool {
        let arrival = self.packets.first_key_value().map(|((at, _), _)| *at);
        let deadline = self.host.client.deadline();
        let Some(next) = [arrival, deadline, self.next_flap].into_iter().flatten().min() else {
            return false;
        };
        self.host.now = self.host.now.max(next);
        if self.rng.random_bool(self.weather.sleep) {
            self.host.pass(seconds(self.rng.random_range(1..=200_000)));
        }
        if self.rng.random_bool(self.weather.crash) {
            self.restart();
            return true;
        }
        let now = self.host.now;
        if self.next_flap.is_some_and(|at| at <= now) {
            self.flap();
        } else if arrival.is_some_and(|at| at <= now) {
            let (_, packet) = self.packets.pop_first().expect("the one that arrives");
            self.arrive(packet);
        } else {
            self.happen(&Event::Deadline);
        }
        true
    }

    /// Lets an event happen to the client.
    pub fn happen(&mut self, event: &Event) {
        if matches!(event, Event::LinkUp | Event::LinkDown) {
            self.link = event.clone();
        }
        let actions = self.host.step(event.clone());
        self.watch.check(event, &actions, &self.host);
        if !self.was_hostile {
            self.check_promise();
        }
        for action in &actions {
            match action {
                Action::Granted(lease) | Action::Extended(lease) | Action::Remember(lease) => {
                    self.saved = Some(lease.clone());
                }
                Action::Released(_) | Action::Declined(..) => self.saved = None,
                Action::Ask(query) if self.link == Event::LinkUp => self.ask(*query),
                Action::Send(_)
                | Action::Ask(_)
                | Action::Lost(..)
                | Action::LinkLocal(_)
                | Action::Searching(_)
                | Action::GaveUp(_)
                | Action::Ignore(_) => {}
            }
        }
        for message in sent(&actions) {
            if self.link == Event::LinkUp {
                self.transmit(|| Packet::ToServers(message.clone()));
            }
        }
        debug_assert!(actions.iter().filter(|action| matches!(action, Action::Send(_))).count() <= 1);
    }

    /// Among honest servers, no address is used that is not promised for as long.
    fn check_promise(&self) {
        if let Some(lease) = self.host.client.lease() {
            let (address, until) = (lease.address.addr(), lease.expiry());
            assert!(self.servers.iter().any(|server| server.promised(address, until)), "{lease:?}");
        }
    }

    /// The agent is killed, which leaves what it remembered, and another one begins.
    fn restart(&mut self) {
        self.host.restart(self.settings.clone(), self.saved.clone());
        self.watch.restart();
        let link = self.link.clone();
        self.happen(&link);
    }

    /// Whoever has the address that is asked for says so.
    fn ask(&mut self, query: Query) {
        let (Query::Probe(target)
        | Query::Announcement(target)
        | Query::Lookup { target, .. }
        | Query::Reachability { target, .. }) = query;
        let number = target.octets()[3];
        let mac = match number {
            1 => SERVER_MAC,
            10.. if number - 10 < self.weather.squatters => NEIGHBOUR,
            _ => return,
        };
        self.transmit(|| Packet::Claim(claim(mac, target, ADDRESS)));
    }

    fn flap(&mut self) {
        let event = if self.link == Event::LinkUp { Event::LinkDown } else { Event::LinkUp };
        let average = self.weather.flaps.expect("flaps");
        self.next_flap = Some(self.host.now + average.mul_f64(self.rng.random_range(0.0..2.0)));
        self.happen(&event);
    }

    fn transmit(&mut self, packet: impl Fn() -> Packet) {
        let copies = if self.rng.random_bool(self.weather.duplication) { 3 } else { 1 };
        for _ in 0..copies {
            if !self.rng.random_bool(self.weather.loss) {
                let delay = self.weather.longest_delay.mul_f64(self.rng.random_range(0.0..1.0));
                self.sent += 1;
                self.packets.insert((self.host.now + delay, self.sent), packet());
            }
        }
    }

    fn arrive(&mut self, packet: Packet) {
        match packet {
            Packet::ToServers(message) => {
                let now = self.host.now;
                let rng = &mut self.rng;
                let answers: Vec<Answer> =
                    self.servers.iter_mut().filter_map(|server| server.hear(&message, now, rng)).collect();
                for answer in answers {
                    self.answer(&answer.bytes(), answer.from);
                }
                if self.weather.hostility == Hostility::Rogue {
                    self.provoke(&message);
                }
            }
            // Without a link nothing arrives.
            Packet::ToClient(..) | Packet::Claim(_) if self.link == Event::LinkDown => {}
            Packet::ToClient(octets, from) => {
                if self.host.client.listening().servers
                    && let Ok(reply) = Reply::decode(&octets, MAC)
                {
                    self.happen(&Event::Received(reply, from));
                }
            }
            Packet::Claim(claim) => {
                if self.host.is_heard(&claim) {
                    self.happen(&Event::Heard(claim));
                }
            }
        }
    }

    fn answer(&mut self, octets: &[u8], from: MacAddr) {
        if self.weather.hostility == Hostility::Rogue {
            self.overheard.push(octets.to_vec());
        }
        self.transmit(|| Packet::ToClient(octets.to_vec(), from));
    }

    /// The rogue answers, repeats something, and damages something.
    fn provoke(&mut self, message: &Sent) {
        for _ in 0..self.rng.random_range(0..3) {
            let answer = hostile(message, &mut self.rng);
            self.answer(&answer.bytes(), answer.from);
        }
        if let Some(mut octets) = self.overheard.choose(&mut self.rng).cloned() {
            let damage = self.rng.random_range(0..2) * self.rng.random_range(0..octets.len());
            octets[damage] ^= self.rng.random::<u8>() & u8::try_from(damage & 0xff).unwrap_or(0);
            self.transmit(|| Packet::ToClient(octets.clone(), SERVER_MAC));
        }
    }
}
