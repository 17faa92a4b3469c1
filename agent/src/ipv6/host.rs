//! What a host does on a link with IPv6: events in, actions out.
//!
//! The kernel answers its neighbours and checks that addresses are nobody else's (RFC 4862, section 5.4); which addresses and
//! routers there are is decided here, and by the DHCPv6 client that the routers send us to.

use std::{net::Ipv6Addr, time::Duration};

use ipnet::Ipv6Net;
use landfall_api::{Ipv6Search, LostReason, MacAddr, Origin};
use rand::RngExt as _;

use super::{
    budget::Budget,
    configuration::{Address, Configuration, InUse},
    router::Advertisement,
    slaac::Told,
};
use crate::{
    clock::Instant,
    dhcp::Context,
    dhcp6::{self, Information, Want},
};

/// How long to wait for an advertisement, at first and at most (RFC 4861, section 10; RFC 7559).
const SOLICIT_AGAIN: Duration = Duration::from_secs(4);
const SOLICIT_LONGEST: Duration = Duration::from_hours(1);

/// After so long what was left out is looked at again.
const LEFT_OUT_AGAIN: Duration = Duration::from_mins(10);

/// After so long what the kernel has refused is tried again.
const REFUSED_AGAIN: Duration = Duration::from_secs(5);

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Frames can pass.
    LinkUp,
    /// Frames cannot pass.
    LinkDown,
    /// The IPv6 addresses that the interface has now, all of them.
    Addresses(Vec<Found>),
    /// A router says what there is.
    Advertised(Ipv6Addr, Advertisement),
    /// A DHCPv6 message came.
    Dhcp(&'a [u8]),
    /// What was to be configured could not be, or not all of it.
    Refused,
    /// Of what was to be configured this reaches into networks that are not the LAN's.
    LeftOut(Vec<Ipv6Net>),
    /// The deadline may have passed.
    Deadline,
    /// The agent is asked to stop.
    Stop,
}

/// An address that the interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// It.
    pub address: Ipv6Addr,
    /// How far it is.
    pub presence: Presence,
}

/// How far an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Being checked.
    Tentative,
    /// In use.
    Ready,
    /// Somebody else has it.
    Duplicate,
}

/// What is to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the routers; if that fails it is a lost packet.
    Solicit,
    /// Send that to the DHCPv6 servers; if that fails it is a lost packet.
    Dhcp(Vec<u8>),
    /// Make the interface have this, and nothing else of its kind.
    Configure(Configuration),
    /// What is in use is something else now.
    InUse(InUse),
    /// An answer is overdue.
    Searching(Ipv6Search),
    /// Something is wrong.
    Warn(String),
    /// The message changes nothing, because of that.
    Ignore(String),
}

/// A host on one link.
#[derive(Debug)]
pub struct Host {
    pub(super) mac: MacAddr,
    pub(super) is_up: bool,
    pub(super) is_stopped: bool,
    /// The time of the last step.
    pub(super) now: Instant,
    pub(super) link_local: Option<Ipv6Addr>,
    /// When it is overdue.
    pub(super) overdue: Option<Instant>,
    pub(super) present: Vec<Found>,
    /// Addresses of ours that have passed their check.
    pub(super) checked: Vec<Ipv6Addr>,
    /// Made of a prefix, and somebody else's, until then.
    pub(super) duplicates: Vec<(Ipv6Addr, Instant)>,
    pub(super) told: Told,
    /// When to ask the routers again, and how long to wait then; none once one has answered.
    pub(super) solicit: Option<(Instant, Duration)>,
    pub(super) search: Ipv6Search,
    pub(super) dhcp: dhcp6::Client,
    pub(super) information: Information,
    pub(super) configured: Configuration,
    /// When to try again what was refused.
    pub(super) retry: Option<Instant>,
    pub(super) is_to_be_redone: bool,
    /// What reaches into networks that are not the LAN's, until it is looked at again.
    pub(super) left_out: Vec<(Ipv6Net, Instant)>,
    pub(super) in_use: InUse,
    /// How often to configure, and how often to report.
    pub(super) budgets: [Budget; 2],
    /// When what the budgets have put off is due.
    pub(super) put_off: Option<Instant>,
}

impl Host {
    /// A host that waits for its link.
    pub fn new(mac: MacAddr, identity: dhcp6::Identity) -> Self {
        Self {
            mac,
            is_up: false,
            is_stopped: false,
            now: Instant::BOOT,
            link_local: None,
            overdue: None,
            present: Vec::new(),
            checked: Vec::new(),
            duplicates: Vec::new(),
            told: Told::default(),
            solicit: None,
            search: Ipv6Search::default(),
            dhcp: dhcp6::Client::new(identity),
            information: Information::default(),
            configured: Configuration::default(),
            retry: None,
            is_to_be_redone: false,
            left_out: Vec::new(),
            in_use: InUse::default(),
            budgets: Default::default(),
            put_off: None,
        }
    }

    /// The address that neighbours are spoken to from, once it is checked.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.link_local
    }

    /// When to say that the deadline may have passed.
    pub fn deadline(&self) -> Option<Instant> {
        let solicit = self.solicit.map(|(at, _)| at);
        let told = self.told.next_end(self.now);
        let duplicates = self.duplicates.iter().map(|(_, until)| *until).min();
        let left_out = self.left_out.iter().map(|(_, until)| *until).min();
        let own = [solicit, told, self.overdue, self.retry, self.put_off, duplicates, left_out];
        own.into_iter().chain([self.dhcp.deadline()]).flatten().min()
    }

    /// Takes what happened, and says what to do.
    pub fn step(&mut self, event: Event<'_>, context: &mut Context<'_>) -> Vec<Action> {
        self.now = context.now;
        let now = self.now;
        self.told.expire(now);
        self.duplicates.retain(|(_, until)| *until > now);
        self.left_out.retain(|(_, until)| *until > now);
        self.is_to_be_redone |= self.retry.take_if(|at| *at <= now).is_some();
        self.put_off.take_if(|at| *at <= now);
        let mut actions = match event {
            Event::LinkUp | Event::LinkDown => self.link(event == Event::LinkUp, context),
            Event::Addresses(found) => self.addresses(found, context),
            Event::Advertised(from, said) => self.advertised(from, &said, context),
            Event::Dhcp(message) => self.ask_dhcp(dhcp6::Event::Received(message), context),
            Event::Refused => {
                self.retry = Some(now + REFUSED_AGAIN);
                Vec::new()
            }
            Event::LeftOut(nets) => {
                self.left_out.extend(nets.into_iter().map(|net| (net, now + LEFT_OUT_AGAIN)));
                self.configured = self.desired();
                Vec::new()
            }
            Event::Deadline => self.deadline_passed(context),
            Event::Stop => {
                self.is_stopped = true;
                self.solicit = None;
                self.ask_dhcp(dhcp6::Event::Stop, context)
            }
        };
        self.settle(&mut actions);
        actions
    }

    fn link(&mut self, is_up: bool, context: &mut Context<'_>) -> Vec<Action> {
        let is_news = self.is_up != is_up;
        self.is_up = is_up;
        if !is_news {
            return Vec::new();
        }
        if is_up {
            // The kernel may have lost all of it meanwhile, and neighbours are others.
            self.configured = Configuration::default();
            self.duplicates.clear();
            self.overdue = Some(self.now + SOLICIT_AGAIN);
        }
        self.start_or_pause(context)
    }

    /// Whether there is somebody to talk to, and an address to talk from.
    fn can_talk(&self) -> bool {
        self.is_up && self.link_local.is_some() && !self.is_stopped
    }

    pub(super) fn start_or_pause(&mut self, context: &mut Context<'_>) -> Vec<Action> {
        let can_talk = self.can_talk();
        self.solicit = can_talk.then_some((self.now, SOLICIT_AGAIN));
        let event = if can_talk { dhcp6::Event::LinkUp } else { dhcp6::Event::LinkDown };
        let mut actions = self.ask_dhcp(event, context);
        actions.extend(self.deadline_passed(context));
        actions
    }

    fn advertised(&mut self, from: Ipv6Addr, said: &Advertisement, context: &mut Context<'_>) -> Vec<Action> {
        if self.is_stopped {
            return Vec::new();
        }
        if self.link_local == Some(from) {
            return vec![Action::Ignore("an advertisement that claims to be our own".to_owned())];
        }
        self.told.learn(from, said, self.now);
        self.search.router_advertisements = self.search.router_advertisements.saturating_add(1);
        self.search.managed |= said.managed;
        // One that is no way out may be a thing that only knows the way to other things.
        if !said.lifetime.is_zero() {
            self.solicit = None;
        }
        let is_first = self.search.router_advertisements == 1;
        let mut actions = self.ask_dhcp(dhcp6::Event::Wanted(self.wanted()), context);
        if is_first && self.wanted() != Want::Address && self.desired().addresses.is_empty() {
            actions.push(Action::Searching(self.search.clone()));
        }
        actions
    }

    /// What the routers say that a DHCPv6 server has.
    fn wanted(&self) -> Want {
        let routers = &self.told.routers;
        if routers.iter().any(|router| router.managed) {
            Want::Address
        } else if routers.iter().any(|router| router.other) {
            Want::Information
        } else {
            Want::Nothing
        }
    }

    fn deadline_passed(&mut self, context: &mut Context<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.overdue.take_if(|at| *at <= self.now).is_some() && self.link_local.is_none() {
            actions.push(Action::Searching(self.search.clone()));
        }
        if let Some((at, interval)) = self.solicit
            && at <= self.now
        {
            if self.search.router_solicitations > 0 && self.in_use.addresses.is_empty() {
                actions.push(Action::Searching(self.search.clone()));
            }
            self.search.router_solicitations = self.search.router_solicitations.saturating_add(1);
            self.solicit = Some((
                self.now + interval.mul_f64(context.rng.random_range(0.9..1.1)),
                (interval * 2).min(SOLICIT_LONGEST),
            ));
            actions.push(Action::Solicit);
        }
        // The flags of a router that has gone are gone, too.
        let wanted = self.wanted();
        actions.extend(self.ask_dhcp(dhcp6::Event::Wanted(wanted), context));
        actions.extend(self.ask_dhcp(dhcp6::Event::Deadline, context));
        actions
    }

    /// Lets the DHCPv6 client do what it does. Its lease is read from it, by `desired`.
    pub(super) fn ask_dhcp(&mut self, event: dhcp6::Event<'_>, context: &mut Context<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        for action in self.dhcp.step(event, context) {
            match action {
                dhcp6::Action::Send(message) => actions.push(Action::Dhcp(message)),
                dhcp6::Action::Granted(lease) | dhcp6::Action::Extended(lease) => {
                    self.information = lease.information;
                }
                dhcp6::Action::Information(information) => self.information = information,
                dhcp6::Action::Lost(lease, reason) if reason != LostReason::Conflict => {
                    actions
                        .push(Action::Warn(format!("the DHCPv6 server's address {} is lost", lease.address)));
                }
                dhcp6::Action::Lost(..) | dhcp6::Action::Released(_) => {}
                dhcp6::Action::Searching { solicits, advertises, message } => {
                    let search = Ipv6Search { solicits, advertises, message, ..self.search.clone() };
                    self.search = search.clone();
                    actions.push(Action::Searching(search));
                }
                dhcp6::Action::Ignore(why) => actions.push(Action::Ignore(why.to_string())),
            }
        }
        actions
    }

    /// Says what has changed by the step, unless much has changed of late: then a little later.
    fn settle(&mut self, actions: &mut Vec<Action>) {
        let (desired, now) = (self.desired(), self.now);
        let is_due = (desired != self.configured || self.is_to_be_redone) && self.retry.is_none();
        if is_due && (self.is_up || self.is_stopped) {
            if self.is_stopped || self.budgets[0].take(now) {
                self.is_to_be_redone = false;
                self.configured = desired.clone();
                actions.push(Action::Configure(desired));
            } else {
                self.put_off = Some(self.budgets[0].next());
            }
        }
        let in_use = self.now_in_use();
        if in_use.is_like(&self.in_use) {
            return;
        }
        if self.is_stopped || self.budgets[1].take(now) {
            if !in_use.addresses.is_empty() {
                self.search = Ipv6Search { managed: self.search.managed, ..Ipv6Search::default() };
            }
            self.in_use = in_use.clone();
            actions.push(Action::InUse(in_use));
        } else {
            self.put_off = Some(self.budgets[1].next());
        }
    }

    fn desired(&self) -> Configuration {
        if self.is_stopped {
            return Configuration::default();
        }
        let leased = self.dhcp.lease().map(|lease| Address {
            net: lease.address.into(),
            origin: Origin::Dhcpv6,
            preferred: lease.preferred.map(|lifetime| lease.obtained + lifetime),
            valid: lease.valid.map(|lifetime| lease.obtained + lifetime),
        });
        let made = self.told.addresses(self.mac).into_iter().map(|(net, known)| Address {
            net,
            origin: Origin::Slaac,
            preferred: known.preferred,
            valid: known.valid,
        });
        let is_anothers =
            |address: &Address| self.duplicates.iter().any(|(known, _)| *known == address.net.addr());
        let is_left_out = |net: Ipv6Net| self.left_out.iter().any(|(known, _)| *known == net);
        let made = made.filter(|address| !is_anothers(address));
        let addresses = leased.into_iter().chain(made).filter(|address| !is_left_out(address.net));
        let routers = self.told.defaults(self.now);
        Configuration {
            addresses: addresses.collect(),
            routers: routers.iter().map(|router| router.address).collect(),
            on_link: self.told.on_link.iter().map(|(net, _)| *net).filter(|net| !is_left_out(*net)).collect(),
            mtu: routers.first().and_then(|router| router.mtu),
        }
    }

    fn now_in_use(&self) -> InUse {
        let is_ready = |address: &&Address| {
            let ready = Found { address: address.net.addr(), presence: Presence::Ready };
            self.present.contains(&ready)
        };
        let mut dns = self.information.dns.clone();
        dns.extend(
            self.told
                .dns
                .iter()
                .map(|(server, _)| *server)
                .filter(|server| !self.information.dns.contains(server)),
        );
        let addresses: Vec<Address> = self.configured.addresses.iter().filter(is_ready).copied().collect();
        if addresses.is_empty() {
            return InUse::default();
        }
        InUse { addresses, routers: self.configured.routers.clone(), dns }
    }
}
