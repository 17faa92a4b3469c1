//! Octets as a sequence of events: a client lives through it in virtual time, and what must hold is watched.

use std::{net::Ipv4Addr, time::Duration};

use landfall_agent::dhcp::{Action, Audience, Claim, Event, Ignored, LeaseTime, Reply};
use landfall_api::{Broadcast, ConflictDetection, Dhcp, MacAddr, NoServer};

use crate::{bench::*, watch::Watch};

/// More would only repeat, and take time.
const MOST_EVENTS: usize = 200;

/// What the octets mean, in their order; those that are missing are zero.
struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    fn octet(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.octet()) % from.len()]
    }

    fn seconds(&mut self) -> u32 {
        let any = u32::from(self.octet()) << 16 | u32::from(self.octet());
        self.choose(&[0, 1, 2, 5, 6, 7, 60, 3600, 1 << 31, u32::MAX, any])
    }

    fn address(&mut self) -> Ipv4Addr {
        let any = Ipv4Addr::from(self.seconds());
        self.choose(&[
            ADDRESS,
            ADDRESS,
            Ipv4Addr::new(10, 0, 0, 51),
            SERVER,
            TARGET,
            Ipv4Addr::LOCALHOST,
            any,
        ])
    }

    fn mac(&mut self) -> MacAddr {
        self.choose(&[SERVER_MAC, NEIGHBOUR, MAC, OTHER_INTERFACE])
    }

    fn settings(&mut self) -> Dhcp {
        let conflict_detection =
            self.choose(&[ConflictDetection::Off, ConflictDetection::Fast, ConflictDetection::Rfc5227]);
        let no_server = self.choose(&[NoServer::Wait, NoServer::Fail, NoServer::LinkLocal]);
        let how = self.octet();
        Dhcp {
            conflict_detection,
            no_server,
            timeout: 10,
            rapid_commit: how & 1 == 0,
            ipv6_only: how & 2 != 0,
            start_jitter: if how & 4 == 0 { 0 } else { 1000 },
            assume_lease_time: (how & 8 != 0).then_some(60),
            broadcast: if how & 16 == 0 { Broadcast::default() } else { Broadcast::Always },
            ..settings()
        }
    }
}

/// A client, what watches it, and what has gone over the wire.
struct Life {
    host: Host,
    watch: Watch,
    link: Event,
    sent: Vec<Sent>,
    heard: Vec<(Reply, MacAddr)>,
    is_over: bool,
}

/// Lives through a sequence of events.
pub fn events(input: &[u8]) {
    let mut tape = Tape(input);
    let mut life = Life::begin(&mut tape);
    life.happen(&Event::LinkUp);
    for _ in 0..MOST_EVENTS {
        if tape.0.is_empty() || life.is_over {
            break;
        }
        if let Some(event) = life.next(&mut tape) {
            life.happen(&event);
        }
    }
}

impl Life {
    fn begin(tape: &mut Tape<'_>) -> Self {
        let settings = tape.settings();
        let saved = (tape.octet() & 1 == 1).then(|| {
            let mut lease = Host::bound(|ack| ack).lease().clone();
            lease.gateway_mac = Some(SERVER_MAC);
            lease.time = LeaseTime::Finite { lease: seconds(1800), t1: seconds(100), t2: seconds(1350) };
            lease
        });
        Self {
            host: Host::with(tape.octet().into(), settings, saved),
            watch: Watch::default(),
            link: Event::LinkDown,
            sent: Vec::new(),
            heard: Vec::new(),
            is_over: false,
        }
    }

    /// Lets time pass, or something happen.
    fn next(&mut self, tape: &mut Tape<'_>) -> Option<Event> {
        match tape.octet() % 16 {
            0..=3 => {
                self.host.now = self.host.client.deadline()?.max(self.host.now);
                Some(Event::Deadline)
            }
            // Without a link nothing arrives.
            4..=8 | 12..=14 if self.link == Event::LinkDown => None,
            4..=8 => self.answer(tape),
            9 => {
                self.host.pass(Duration::from_millis(1 << (tape.octet() % 40)));
                None
            }
            10 => Some(Event::Deadline),
            11 => Some(if self.link == Event::LinkUp { Event::LinkDown } else { Event::LinkUp }),
            12 | 13 => self.overhear(tape),
            14 => {
                let (reply, from) = self.heard.get(usize::from(tape.octet()) % self.heard.len().max(1))?;
                Some(Event::Received(reply.clone(), *from))
            }
            _ if tape.octet() == 0xff => Some(Event::Stop),
            _ => Some(Event::Garbage(Ignored::Short)),
        }
    }

    /// A reply to something that was sent, as it comes off the wire.
    fn answer(&mut self, tape: &mut Tape<'_>) -> Option<Event> {
        let age = usize::from(tape.choose(&[0, 0, 0, 1_u8, 2]));
        let to = self.sent.iter().rev().nth(age)?;
        let mut answer = match tape.octet() % 8 {
            0 => Answer::nak(to),
            1 => Answer::ack(to).with(80, []),
            2..=4 => Answer::ack(to),
            _ => Answer::offer(to),
        };
        for _ in 0..tape.octet() % 4 {
            answer = change(answer, tape);
        }
        let reply = Reply::decode(&answer.bytes(), MAC).ok()?;
        self.heard.push((reply.clone(), answer.from));
        Some(Event::Received(reply, answer.from))
    }

    /// What somebody says by ARP, if the client listens to such.
    fn overhear(&mut self, tape: &mut Tape<'_>) -> Option<Event> {
        let own = self.host.client.link_local().unwrap_or(ADDRESS);
        let mac = tape.mac();
        let address = tape.choose(&[own, ADDRESS, SERVER, Ipv4Addr::UNSPECIFIED]);
        let target = tape.choose(&[own, ADDRESS, SERVER]);
        let audience = tape.choose(&[Audience::Everybody, Audience::One]);
        let listening = self.host.client.listening();
        let is_heard = listening.speakers.contains(&address)
            || address.is_unspecified() && listening.targets.contains(&target);
        is_heard.then_some(Event::Heard(Claim { mac, address, target, from: mac, audience }))
    }

    fn happen(&mut self, event: &Event) {
        if matches!(event, Event::LinkUp | Event::LinkDown) {
            self.link = event.clone();
        }
        let actions = self.host.step(event.clone());
        self.watch.check(event, &actions, &self.host);
        let (lease, link_local) = (self.host.client.lease(), self.host.client.link_local());
        assert!(lease.is_none() || link_local.is_none(), "two addresses: {lease:?} {link_local:?}");
        self.sent.extend(sent(&actions));
        let gave_up = actions.iter().any(|action| matches!(action, Action::GaveUp(_)));
        self.is_over = gave_up || *event == Event::Stop;
    }
}

/// Makes an answer another one.
fn change(answer: Answer, tape: &mut Tape<'_>) -> Answer {
    match tape.octet() % 10 {
        0 => answer.yiaddr(tape.address()),
        1 => answer.with(54, tape.address().octets()),
        2 => answer.seconds(51, tape.seconds()),
        3 => answer.seconds(58, tape.seconds()),
        4 => answer.seconds(59, tape.seconds()),
        5 => Answer { from: tape.mac(), ..answer },
        6 => answer.without(tape.choose(&[1, 3, 51, 54])),
        7 => answer.seconds(108, tape.seconds()),
        8 => answer.seconds(1, tape.seconds()).with(3, tape.address().octets()),
        _ => {
            let (code, length) = (tape.octet(), tape.octet() % 32);
            answer.first(code, tape.take(length.into()))
        }
    }
}
