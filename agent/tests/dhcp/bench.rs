//! The workbench: a client in virtual time, its messages taken apart, and replies put together octet by octet, so that
//! neither relies on the code under test.

use std::{net::Ipv4Addr, time::Duration};

use landfall_agent::{
    clock::Instant,
    dhcp::{
        Action, Audience, Claim, Client, Context, Delivery, Event, Identity, Ignored, Lease, Query, Reply,
        Transmission,
    },
};
use landfall_api::{ConflictDetection, Dhcp, LostReason, MacAddr, Search};
use rand::{SeedableRng as _, rngs::StdRng};

pub const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x50]);
pub const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const OTHER_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Another interface of the same host.
pub const OTHER_INTERFACE: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x51]);
/// A host that is in the way.
pub const NEIGHBOUR: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x99]);
/// Where the forwards lead.
pub const TARGET: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 2);
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);
pub const LEASE: u32 = 3600;

pub const DISCOVER: u8 = 1;
pub const REQUEST: u8 = 3;
pub const DECLINE: u8 = 4;
pub const RELEASE: u8 = 7;

/// More than any test needs, so that a client that goes wrong fails a test instead of hanging it.
const MOST_WAITS: usize = 10_000;

/// A client and its clock.
pub struct Host {
    pub client: Client,
    pub now: Instant,
    waits: usize,
    rng: StdRng,
}

impl Host {
    /// A client on a link that is not up yet, which does not look for conflicts.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, settings(), None)
    }

    /// A client with these settings, and a lease from before.
    pub fn with(seed: u64, settings: Dhcp, saved: Option<Lease>) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { client: Client::new(identity(settings), saved), now: Self::begin(), waits: 0, rng }
    }

    /// Another process in place of the one that was killed.
    pub fn restart(&mut self, settings: Dhcp, saved: Option<Lease>) {
        self.client = Client::new(identity(settings), saved);
    }

    /// A host that has been up for a while, so that nothing is measured from zero by chance.
    pub fn begin() -> Instant {
        Instant::BOOT + Duration::from_secs(1000)
    }

    /// A client that has just sent this DISCOVER.
    pub fn selecting() -> (Self, Sent) {
        Self::selecting_with(settings())
    }

    /// A client with these settings that has just sent this DISCOVER.
    pub fn selecting_with(settings: Dhcp) -> (Self, Sent) {
        let mut host = Self::with(0, settings, None);
        let discover = only_sent(&host.step(Event::LinkUp));
        (host, discover)
    }

    /// A client with these settings that was granted the usual lease.
    pub fn bound_with(settings: Dhcp) -> (Self, Vec<Action>) {
        let (mut host, discover) = Self::selecting_with(settings);
        let request = only_sent(&host.hear(&Answer::offer(&discover)));
        let mut actions = host.hear(&Answer::ack(&request));
        while host.client.lease().is_none() {
            actions = host.wait();
        }
        (host, actions)
    }

    /// A client that has just sent this REQUEST for the usual offer.
    pub fn requesting() -> (Self, Sent) {
        let (mut host, discover) = Self::selecting();
        let request = only_sent(&host.hear(&Answer::offer(&discover)));
        (host, request)
    }

    /// A client that was granted a lease by the usual ACK, changed by `change`.
    pub fn bound(change: impl FnOnce(Answer) -> Answer) -> Self {
        let (mut host, request) = Self::requesting();
        let actions = host.hear(&change(Answer::ack(&request)));
        assert!(matches!(actions[..], [Action::Granted(_), ..]), "{actions:?}");
        host
    }

    /// A client that has just sent this REQUEST at T1.
    pub fn renewing() -> (Self, Sent) {
        let mut host = Self::bound(|ack| ack);
        let request = only_sent(&host.wait());
        (host, request)
    }

    /// A client that has just sent this REQUEST at T2, and none before that was answered.
    pub fn rebinding() -> (Self, Sent) {
        let (mut host, _) = Self::renewing();
        loop {
            let request = only_sent(&host.wait());
            if request.delivery == (Delivery::Broadcast { source: ADDRESS }) {
                return (host, request);
            }
        }
    }

    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let mut context = Context { now: self.now, rng: &mut self.rng };
        self.client.step(event, &mut context)
    }

    /// Lets time pass until the deadline.
    pub fn wait(&mut self) -> Vec<Action> {
        self.waits += 1;
        assert!(self.waits < MOST_WAITS, "what is waited for never comes");
        self.now = self.client.deadline().expect("a deadline");
        self.step(Event::Deadline)
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Takes a reply as the socket would; one that comes while that is closed must change nothing.
    pub fn hear(&mut self, answer: &Answer) -> Vec<Action> {
        let is_heard = self.client.listening().servers;
        let received = |reply| Event::Received(reply, answer.from);
        let actions = self.step(Reply::decode(&answer.bytes(), MAC).map_or_else(Event::Garbage, received));
        assert!(is_heard || matches!(actions[..], [] | [Action::Ignore(_)]), "not heard: {actions:?}");
        actions
    }

    /// Takes a claim, if the client listens to such.
    pub fn overhear(&mut self, claim: Claim) -> Vec<Action> {
        if self.is_heard(&claim) { self.step(Event::Heard(claim)) } else { Vec::new() }
    }

    /// Whether the client listens to such a claim.
    pub fn is_heard(&self, claim: &Claim) -> bool {
        let listening = self.client.listening();
        listening.speakers.contains(&claim.address)
            || claim.address.is_unspecified() && listening.targets.contains(&claim.target)
    }

    /// Lets time pass until then, and everything happen that is due.
    pub fn pass_until(&mut self, end: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        while self.client.deadline().is_some_and(|deadline| deadline <= end) {
            actions.extend(self.wait());
        }
        self.now = end;
        actions
    }

    /// Asserts that a reply is ignored for this reason, and changes nothing.
    pub fn ignores(&mut self, answer: &Answer, why: Ignored) {
        let before = (self.client.deadline(), self.client.lease().cloned());
        assert_eq!(self.hear(answer), [Action::Ignore(why)], "{answer:?}");
        assert_eq!((self.client.deadline(), self.client.lease().cloned()), before);
    }

    pub fn lease(&self) -> &Lease {
        self.client.lease().expect("a lease")
    }
}

fn identity(settings: Dhcp) -> Identity {
    Identity { mac: MAC, mtu: 1500, settings, other_macs: vec![OTHER_INTERFACE], taken: vec![TARGET] }
}

/// A client's message, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub delivery: Delivery,
    pub octets: Vec<u8>,
    /// Codes and values in the order sent, without the end.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Sent {
    pub fn of(transmission: &Transmission) -> Self {
        let octets = transmission.message.clone();
        assert_eq!(&octets[236..240], [99, 130, 83, 99], "the magic cookie");
        let mut rest = &octets[240..];
        let mut options = Vec::new();
        while let [code @ 1..=254, length, tail @ ..] = rest {
            let (value, tail) = tail.split_at(usize::from(*length));
            options.push((*code, value.to_vec()));
            rest = tail;
        }
        assert_eq!(rest[0], 255, "the end option");
        assert!(rest[1..].iter().all(|octet| *octet == 0), "nothing but padding after the end");
        Self { delivery: transmission.delivery, octets, options }
    }

    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(other, _)| *other == code).map(|(_, value)| &value[..])
    }

    pub fn codes(&self) -> Vec<u8> {
        self.options.iter().map(|(code, _)| *code).collect()
    }

    pub fn kind(&self) -> u8 {
        self.option(53).expect("a message type")[0]
    }

    pub fn address_option(&self, code: u8) -> Option<Ipv4Addr> {
        self.option(code).map(|value| <[u8; 4]>::try_from(value).expect("four octets").into())
    }

    pub fn xid(&self) -> [u8; 4] {
        self.field(4)
    }

    pub fn secs(&self) -> u16 {
        u16::from_be_bytes([self.octets[8], self.octets[9]])
    }

    pub fn flags(&self) -> u16 {
        u16::from_be_bytes([self.octets[10], self.octets[11]])
    }

    pub fn ciaddr(&self) -> Ipv4Addr {
        self.field(12).into()
    }

    fn field(&self, at: usize) -> [u8; 4] {
        self.octets[at..at + 4].try_into().expect("four octets")
    }
}

/// A server's message to be: right in everything until a test changes that.
#[derive(Clone, Debug)]
pub struct Answer {
    pub from: MacAddr,
    /// The 236 octets before the cookie.
    pub header: Vec<u8>,
    pub cookie: [u8; 4],
    pub options: Vec<(u8, Vec<u8>)>,
    /// What follows the options.
    pub tail: Vec<u8>,
}

impl Answer {
    fn new(kind: u8, to: &Sent, yiaddr: Ipv4Addr) -> Self {
        let mut header = vec![0; 236];
        header[..3].copy_from_slice(&[2, 1, 6]);
        header[4..8].copy_from_slice(&to.xid());
        header[28..34].copy_from_slice(&MAC.0);
        let answer = Self {
            from: SERVER_MAC,
            header,
            cookie: [99, 130, 83, 99],
            options: vec![(53, vec![kind])],
            tail: vec![255],
        };
        answer.yiaddr(yiaddr).with(54, SERVER.octets())
    }

    fn lease(kind: u8, to: &Sent) -> Self {
        let (mask, time) = ([255, 255, 255, 0], LEASE.to_be_bytes());
        Self::new(kind, to, ADDRESS).with(51, time).with(1, mask).with(3, SERVER.octets())
    }

    pub fn offer(to: &Sent) -> Self {
        Self::lease(2, to)
    }

    pub fn ack(to: &Sent) -> Self {
        Self::lease(5, to)
    }

    pub fn nak(to: &Sent) -> Self {
        Self::new(6, to, Ipv4Addr::UNSPECIFIED)
    }

    pub fn yiaddr(self, address: Ipv4Addr) -> Self {
        self.octets(16, &address.octets())
    }

    /// Overwrites the header.
    pub fn octets(mut self, at: usize, octets: &[u8]) -> Self {
        self.header[at..at + octets.len()].copy_from_slice(octets);
        self
    }

    /// With this option, instead of the one with the same code, if any.
    pub fn with(self, code: u8, value: impl Into<Vec<u8>>) -> Self {
        let mut answer = self.without(code);
        answer.options.push((code, value.into()));
        answer
    }

    pub fn seconds(self, code: u8, seconds: u32) -> Self {
        self.with(code, seconds.to_be_bytes())
    }

    /// With this option before all others, and beside one with the same code.
    pub fn first(mut self, code: u8, value: impl Into<Vec<u8>>) -> Self {
        self.options.insert(0, (code, value.into()));
        self
    }

    pub fn without(mut self, code: u8) -> Self {
        self.options.retain(|(other, _)| *other != code);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.header[..], &self.cookie].concat();
        bytes.extend(field(&self.options));
        bytes.extend(&self.tail);
        bytes
    }
}

/// Options as they stand in a field, without an end.
pub fn field(options: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let octets = |(code, value): &(u8, Vec<u8>)| {
        let length = u8::try_from(value.len()).expect("one option");
        [&[*code, length], &value[..]].concat()
    };
    options.iter().flat_map(octets).collect()
}

/// All messages among the actions.
pub fn sent(actions: &[Action]) -> Vec<Sent> {
    let transmission = |action: &Action| match action {
        Action::Send(transmission) => Some(Sent::of(transmission)),
        Action::Granted(_)
        | Action::Extended(_)
        | Action::Lost(..)
        | Action::Released(_)
        | Action::Ask(_)
        | Action::Remember(_)
        | Action::Declined(..)
        | Action::LinkLocal(_)
        | Action::GaveUp(_)
        | Action::Searching(_)
        | Action::Ignore(_) => None,
    };
    actions.iter().filter_map(transmission).collect()
}

/// The one message among the actions.
pub fn only_sent(actions: &[Action]) -> Sent {
    match &sent(actions)[..] {
        [message] => message.clone(),
        messages => panic!("one message expected, not {}: {actions:?}", messages.len()),
    }
}

/// What is said by ARP among the actions.
pub fn asked(actions: &[Action]) -> Vec<Query> {
    actions
        .iter()
        .filter_map(|action| if let Action::Ask(query) = action { Some(*query) } else { None })
        .collect()
}

/// What `from` says when it has `address` and looks for `target`: everybody hears it.
pub fn claim(from: MacAddr, address: Ipv4Addr, target: Ipv4Addr) -> Claim {
    Claim { mac: from, address, target, from, audience: Audience::Everybody }
}

/// The settings of most tests: conflict detection has its own.
pub fn settings() -> Dhcp {
    Dhcp { hostname: "web".parse().ok(), conflict_detection: ConflictDetection::Off, ..Dhcp::default() }
}

/// What the actions say of the search.
pub fn searching(actions: &[Action]) -> Option<&Search> {
    actions.iter().find_map(|action| if let Action::Searching(search) = action { Some(search) } else { None })
}

/// Why the actions say that the lease was lost.
pub fn lost(actions: &[Action]) -> Option<LostReason> {
    actions.iter().find_map(|action| if let Action::Lost(_, reason) = action { Some(*reason) } else { None })
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
