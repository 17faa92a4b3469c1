//! A case: a rule, what a server does to see whether a client keeps it, and how that is judged.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    client::{Client, Settings},
    heard::{Arp, Heard, Kind},
    judge::{Run, Verdict},
    reply::{Outgoing, Reply, ack_as_asked, offer},
};

/// What the server says to a message; the number is how many of its kind came before.
pub type Script = Box<dyn Fn(&Heard, usize) -> Vec<Outgoing> + Send + Sync>;
/// What is said to an ARP packet; the number is how many of that sender for that target came before.
pub type ArpScript = Box<dyn Fn(&Arp, usize) -> Vec<Outgoing> + Send + Sync>;
/// What a case makes of a proper reply.
pub type Spoil = fn(Reply) -> Reply;
/// A case of many that differ in one thing: id, line, rule and that thing.
pub type Row<T> = (&'static str, &'static str, &'static str, T);
/// What is found.
pub type Judge = Box<dyn Fn(&Run<'_>) -> Verdict + Send + Sync>;

/// Why nothing can be said of a client that leaves this to others.
pub const BY_OURS: &str = "a program that we wrote does it";

/// What is done to the client once it has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// It is asked to give the lease back.
    Release,
    /// It is killed.
    Kill,
    /// It is killed, its address is taken away, and it starts again.
    Restart,
}

/// A case.
#[must_use]
pub struct Case {
    /// A short name.
    pub id: &'static str,
    /// What a client is to do.
    pub line: String,
    /// Where that stands.
    pub rule: &'static str,
    /// What is looked at, and how long at most.
    pub limit: Duration,
    /// How the client is set up.
    pub settings: Settings,
    /// What is done to it.
    pub act: Act,
    /// Addresses that a neighbour has.
    pub taken: Vec<Ipv4Addr>,
    /// What the server says.
    pub script: Script,
    /// What is said to ARP.
    pub arp_script: ArpScript,
    /// What is found.
    pub judge: Judge,
    /// Clients that do not offer the function, and why it is not theirs.
    pub not_for: Vec<(Client, &'static str)>,
}

impl Case {
    /// A case with a proper server, fifteen seconds and no verdict yet.
    pub fn new(id: &'static str, line: impl Into<String>, rule: &'static str) -> Self {
        Self {
            id,
            line: line.into(),
            rule,
            limit: Duration::from_secs(15),
            settings: Settings::default(),
            act: Act::Nothing,
            taken: Vec::new(),
            script: Box::new(|heard, _| proper(heard)),
            arp_script: Box::new(|_, _| Vec::new()),
            judge: Box::new(|_| Verdict::Fail("not judged".into())),
            not_for: Vec::new(),
        }
    }

    /// With a server that says this.
    pub fn server(mut self, script: impl Fn(&Heard, usize) -> Vec<Outgoing> + Send + Sync + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    /// With a LAN that says this to ARP.
    pub fn arp(mut self, script: impl Fn(&Arp, usize) -> Vec<Outgoing> + Send + Sync + 'static) -> Self {
        self.arp_script = Box::new(script);
        self
    }

    /// Judged by this.
    pub fn judge(mut self, judge: impl Fn(&Run<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        self.judge = Box::new(judge);
        self
    }

    /// For that many seconds at most.
    pub fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// With the client's conflict detection on.
    pub fn with_conflict_detection(mut self) -> Self {
        self.settings.conflict_detection = true;
        self
    }

    /// With servers allowed that do not say who they are.
    pub fn with_nameless_servers(mut self) -> Self {
        self.settings.nameless_servers = true;
        self
    }

    /// With a neighbour who has these addresses.
    pub fn taken(mut self, addresses: &[Ipv4Addr]) -> Self {
        self.taken = addresses.to_vec();
        self
    }

    /// Once the client has an address, this is done.
    pub fn then(mut self, act: Act) -> Self {
        self.act = act;
        self
    }

    /// Not for these clients, because of that.
    pub fn not_for(mut self, clients: &[Client], why: &'static str) -> Self {
        self.not_for.extend(clients.iter().map(|client| (*client, why)));
        self
    }
}

/// What a proper server says: an OFFER, and an ACK of what is asked for.
pub fn proper(heard: &Heard) -> Vec<Outgoing> {
    match heard.kind {
        Kind::Discover => vec![offer(heard).out()],
        Kind::Select | Kind::Reboot | Kind::Renew | Kind::Rebind => vec![ack_as_asked(heard).out()],
        Kind::Decline | Kind::Release | Kind::Other => Vec::new(),
    }
}
