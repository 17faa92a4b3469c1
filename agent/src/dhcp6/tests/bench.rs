//! The workbench: a client and its clock; its messages taken apart, and replies put together octet by octet, so that neither
//! relies on the code under test.

use std::{net::Ipv6Addr, time::Duration};

use landfall_api::MacAddr;
use rand::{SeedableRng as _, rngs::StdRng};

use crate::{
    clock::Instant,
    dhcp::Context,
    dhcp6::{Action, Client, Event, Identity, Ignored, Want},
};

pub const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x50]);
pub const DUID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 0x50];
pub const IAID: [u8; 4] = [0, 0, 0, 0x50];
pub const SERVER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
pub const OTHER_SERVER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 2];
pub const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x50);
pub const OTHER_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x51);

pub const SOLICIT: u8 = 1;
pub const ADVERTISE: u8 = 2;
pub const REQUEST: u8 = 3;
pub const CONFIRM: u8 = 4;
pub const RENEW: u8 = 5;
pub const REBIND: u8 = 6;
pub const REPLY: u8 = 7;
pub const RELEASE: u8 = 8;
pub const DECLINE: u8 = 9;
pub const INFORMATION_REQUEST: u8 = 11;

pub const CLIENT_ID: u16 = 1;
pub const SERVER_ID: u16 = 2;
pub const IA_NA: u16 = 3;
pub const IA_ADDR: u16 = 5;
pub const ELAPSED: u16 = 8;
pub const STATUS: u16 = 13;
pub const RAPID_COMMIT: u16 = 14;

pub const UNSPEC_FAIL: u16 = 1;
pub const NO_ADDRS_AVAIL: u16 = 2;
pub const NO_BINDING: u16 = 3;
pub const NOT_ON_LINK: u16 = 4;

/// The usual lease, in seconds: T1 is 900, and T2 is 1440.
pub const PREFERRED: u32 = 1800;
pub const VALID: u32 = 3600;

/// More than any test needs, so that a client that goes wrong fails a test instead of hanging it.
const MOST_WAITS: usize = 1000;

/// A client and its clock.
pub struct Host {
    pub client: Client,
    pub now: Instant,
    rng: StdRng,
}

/// A message of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub kind: u8,
    pub xid: [u8; 3],
    pub options: Vec<(u16, Vec<u8>)>,
    pub at: Instant,
}

/// A message of a server's.
#[derive(Clone, Debug)]
pub struct Answer {
    pub kind: u8,
    pub xid: [u8; 3],
    pub options: Vec<(u16, Vec<u8>)>,
}

pub fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

impl Host {
    /// A client that has been told nothing yet, on a host that has been up for a while.
    pub fn new(seed: u64) -> Self {
        let client = Client::new(Identity::of(MAC, None));
        Self { client, now: Instant::BOOT + seconds(1000), rng: StdRng::seed_from_u64(seed) }
    }

    /// A client whose link is up, and which wants this.
    pub fn wanting(want: Want) -> Self {
        let mut host = Self::new(0);
        assert_eq!(host.step(Event::LinkUp), []);
        assert_eq!(host.step(Event::Wanted(want)), []);
        host
    }

    /// A client that has just sent this SOLICIT.
    pub fn soliciting() -> (Self, Sent) {
        let mut host = Self::wanting(Want::Address);
        let solicit = host.next_sent();
        (host, solicit)
    }

    /// A client that has just sent this REQUEST for the usual offer.
    pub fn requesting() -> (Self, Sent) {
        let (mut host, solicit) = Self::soliciting();
        let actions = host.hear(&Answer::advertise(&solicit).usual());
        let request = only_sent(&actions, host.now);
        (host, request)
    }

    /// A client that was granted a lease by a REPLY with this IA.
    pub fn bound_by(change: impl FnOnce(Answer) -> Answer) -> Self {
        let (mut host, request) = Self::requesting();
        let actions = host.hear(&change(Answer::reply(&request)));
        assert!(matches!(actions[..], [Action::Granted(_)]), "{actions:?}");
        host
    }

    /// A client that was granted the usual lease.
    pub fn bound() -> Self {
        Self::bound_by(Answer::usual)
    }

    pub fn step(&mut self, event: Event<'_>) -> Vec<Action> {
        self.client.step(event, &mut Context { now: self.now, rng: &mut self.rng })
    }

    pub fn hear(&mut self, answer: &Answer) -> Vec<Action> {
        self.step(Event::Received(&answer.bytes()))
    }

    /// Lets time pass until the deadline.
    pub fn wait(&mut self) -> Vec<Action> {
        let deadline = self.client.deadline().expect("something is due");
        self.now = self.now.max(deadline);
        self.step(Event::Deadline)
    }

    /// Lets time pass until something is done.
    pub fn wait_for_actions(&mut self) -> Vec<Action> {
        let mut waits = (0..MOST_WAITS).map(|_| self.wait());
        waits.find(|actions| !actions.is_empty()).expect("something is done some day")
    }

    /// Lets time pass until a message is sent.
    pub fn next_sent(&mut self) -> Sent {
        for _ in 0..MOST_WAITS {
            let actions = self.wait();
            if let [sent, ..] = &sent(&actions, self.now)[..] {
                return sent.clone();
            }
        }
        panic!("nothing is sent");
    }

    /// Lets time pass until a message of this kind is sent.
    pub fn next_of(&mut self, kind: u8) -> Sent {
        let mut messages = (0..MOST_WAITS).map(|_| self.next_sent());
        messages.find(|sent| sent.kind == kind).expect("it is sent some day")
    }

    pub fn since(&self, moment: Instant) -> Duration {
        self.now.saturating_duration_since(moment)
    }

    /// That a message is dropped for this reason, and nothing else happens.
    pub fn assert_ignored(&mut self, answer: &Answer, why: Ignored) {
        let deadline = self.client.deadline();
        assert_eq!(self.hear(answer), [Action::Ignore(why)]);
        assert_eq!(self.client.deadline(), deadline);
    }
}

impl Sent {
    pub fn parse(bytes: &[u8], at: Instant) -> Self {
        let [kind, a, b, c, options @ ..] = bytes else { panic!("too short: {bytes:?}") };
        Self { kind: *kind, xid: [*a, *b, *c], options: parse(options), at }
    }

    pub fn option(&self, code: u16) -> Option<&[u8]> {
        let mut found = self.options.iter().filter(|(other, _)| *other == code);
        let value = found.next().map(|(_, value)| value.as_slice());
        assert_eq!(found.next(), None, "option {code} is there twice");
        value
    }

    /// The address in the IA, if there is one.
    pub fn address(&self) -> Option<Ipv6Addr> {
        let inner = parse(&self.option(IA_NA)?[12..]);
        let [(IA_ADDR, value)] = &inner[..] else { return None };
        Some(Ipv6Addr::from(*value.first_chunk::<16>().expect("an address")))
    }

    /// Hundredths of a second.
    pub fn elapsed(&self) -> u16 {
        u16::from_be_bytes(self.option(ELAPSED).expect("always there").try_into().expect("two octets"))
    }
}

impl Answer {
    /// An ADVERTISE with both identifiers and nothing else.
    pub fn advertise(to: &Sent) -> Self {
        Self::of(ADVERTISE, to)
    }

    /// A REPLY with both identifiers and nothing else.
    pub fn reply(to: &Sent) -> Self {
        Self::of(REPLY, to)
    }

    fn of(kind: u8, to: &Sent) -> Self {
        let client = to.option(CLIENT_ID).expect("who asks").to_vec();
        Self { kind, xid: to.xid, options: vec![(CLIENT_ID, client), (SERVER_ID, SERVER.to_vec())] }
    }

    /// With the usual lease.
    pub fn usual(self) -> Self {
        self.giving(ADDRESS, PREFERRED, VALID)
    }

    /// With this address, and times that are left to the client.
    pub fn giving(self, address: Ipv6Addr, preferred: u32, valid: u32) -> Self {
        self.ia(0, 0, &[(IA_ADDR, ia_addr(address, preferred, valid))])
    }

    /// With an IA.
    pub fn ia(self, t1: u32, t2: u32, inner: &[(u16, Vec<u8>)]) -> Self {
        let value = [&IAID[..], &t1.to_be_bytes(), &t2.to_be_bytes(), &join(inner)].concat();
        self.with(IA_NA, value)
    }

    pub fn refusing(self, status: u16, text: &str) -> Self {
        self.with(STATUS, status_code(status, text))
    }

    pub fn rapid(self) -> Self {
        self.with(RAPID_COMMIT, Vec::new())
    }

    /// With this option, instead of any others of its kind.
    pub fn with(mut self, code: u16, value: impl Into<Vec<u8>>) -> Self {
        self.options.retain(|(other, _)| *other != code);
        self.options.push((code, value.into()));
        self
    }

    pub fn without(mut self, code: u16) -> Self {
        self.options.retain(|(other, _)| *other != code);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&[self.kind][..], &self.xid, &join(&self.options)].concat()
    }
}

pub fn ia_addr(address: Ipv6Addr, preferred: u32, valid: u32) -> Vec<u8> {
    [&address.octets()[..], &preferred.to_be_bytes(), &valid.to_be_bytes()].concat()
}

pub fn status_code(status: u16, text: &str) -> Vec<u8> {
    [&status.to_be_bytes()[..], text.as_bytes()].concat()
}

fn parse(mut rest: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    while let [a, b, c, d, tail @ ..] = rest {
        let (value, tail) = tail.split_at(u16::from_be_bytes([*c, *d]).into());
        options.push((u16::from_be_bytes([*a, *b]), value.to_vec()));
        rest = tail;
    }
    assert!(rest.is_empty(), "something is left");
    options
}

fn join(options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let octets = |(code, value): &(u16, Vec<u8>)| {
        let length = u16::try_from(value.len()).expect("a short option");
        [&code.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
    };
    options.iter().flat_map(octets).collect()
}

/// The messages among these actions.
pub fn sent(actions: &[Action], at: Instant) -> Vec<Sent> {
    let bytes = actions.iter().filter_map(|action| match action {
        Action::Send(bytes) => Some(bytes),
        Action::Granted(_)
        | Action::Extended(_)
        | Action::Lost(..)
        | Action::Released(_)
        | Action::Information(_)
        | Action::Searching { .. }
        | Action::Ignore(_) => None,
    });
    bytes.map(|bytes| Sent::parse(bytes, at)).collect()
}

/// The one message that is all there is to do.
pub fn only_sent(actions: &[Action], at: Instant) -> Sent {
    assert_eq!(actions.len(), 1, "{actions:?}");
    sent(actions, at).pop().expect("a message")
}
