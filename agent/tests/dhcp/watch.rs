//! What must hold whatever happens (Z-03).

use std::{collections::VecDeque, net::Ipv4Addr, time::Duration};

use landfall_agent::{
    clock::Instant,
    dhcp::{Action, Delivery, Event, Lease, LeaseTime, Query},
};

use crate::bench::*;

/// The most packets in a minute, however hostile the servers; as many again for each time that the link comes up.
const MOST_IN_A_MINUTE: usize = 70;

/// Follows a client's actions and compares them with its state.
#[derive(Default)]
pub struct Watch {
    held: Option<Lease>,
    link_local: Option<Ipv4Addr>,
    link: Link,
    /// Whether the timer that rang last is due again at once.
    rings_on: bool,
    packets: VecDeque<Instant>,
    link_ups: VecDeque<Instant>,
    pub busiest_minute: usize,
    pub grants: usize,
    pub losses: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Down,
    Up,
    /// The client was asked to stop.
    Over,
}

impl Watch {
    pub fn check(&mut self, event: &Event, actions: &[Action], host: &Host) {
        self.note(event, host.now);
        for action in actions {
            self.follow(action, host.now);
        }
        assert_eq!(self.held.as_ref(), host.client.lease(), "the actions tell of the lease that is held");
        if let Some(lease) = &self.held {
            check_lease(lease, host.now);
        }
        self.check_deadline(event, host);
        self.check_rate(host.now);
    }

    /// The client was killed, and another one has begun.
    pub fn restart(&mut self) {
        (self.held, self.link_local, self.link) = (None, None, Link::Down);
    }

    fn note(&mut self, event: &Event, now: Instant) {
        match event {
            Event::LinkUp => {
                self.link = Link::Up;
                self.link_ups.push_back(now);
            }
            Event::LinkDown => self.link = Link::Down,
            Event::Stop => self.link = Link::Over,
            Event::Received(..) | Event::Garbage(_) | Event::Heard(_) | Event::Deadline => {}
        }
    }

    fn follow(&mut self, action: &Action, now: Instant) {
        match action {
            Action::Granted(lease) => {
                assert_eq!(self.held.replace(lease.clone()), None, "granted where there was none");
                self.grants += 1;
            }
            Action::Extended(lease) => {
                assert!(self.held.replace(lease.clone()).is_some(), "extended where there was one");
            }
            Action::Lost(lease, _) | Action::Released(lease) => {
                assert_eq!(self.held.take().as_ref(), Some(lease), "lost what was held");
                self.losses += 1;
            }
            Action::Send(transmission) => self.sent(&Sent::of(transmission), now),
            Action::Remember(lease) => self.held = Some(lease.clone()),
            Action::Ask(query) => self.asked(query),
            Action::LinkLocal(address) => self.link_local = *address,
            Action::GaveUp(_) => self.link = Link::Over,
            Action::Declined(..) | Action::Searching(_) | Action::Ignore(_) => {}
        }
    }

    /// Only what is held is claimed.
    fn asked(&mut self, query: &Query) {
        let held = self.held.as_ref().map(|lease| lease.address.addr());
        match query {
            Query::Announcement(address) => {
                assert!(held == Some(*address) || self.link_local == Some(*address), "{query:?}");
            }
            Query::Lookup { source, .. } => assert_eq!(held, Some(*source)),
            Query::Probe(_) | Query::Reachability { .. } => {}
        }
        assert_ne!(self.link, Link::Over);
    }

    fn sent(&mut self, message: &Sent, now: Instant) {
        self.packets.push_back(now);
        let source = match message.delivery {
            Delivery::Broadcast { source } | Delivery::Frame { source, .. } => source,
            Delivery::Unicast { .. } => message.ciaddr(),
        };
        assert_eq!(source, message.ciaddr(), "ciaddr is the address it comes from");
        if let Some(lease) = &self.held {
            let address = lease.address.addr();
            assert!(lease.expiry().is_none_or(|end| now < end), "not after its end");
            if source.is_unspecified() {
                let named = (message.address_option(50), message.option(54));
                assert_eq!(named, (Some(address), None), "INIT-REBOOT asks for the address that is held");
            } else {
                assert_eq!((source, message.option(50)), (address, None), "from the address that is held");
            }
        } else if message.kind() == RELEASE {
            // Of a lease that was given, and not used yet.
        } else {
            assert!(source.is_unspecified(), "from no address");
            assert_eq!(self.link, Link::Up, "searching needs a link");
        }
    }

    /// Every state has a timer or is terminal. Where a host slept past two deadlines one timer may ring twice, but no
    /// more than that at one moment.
    fn check_deadline(&mut self, event: &Event, host: &Host) {
        let is_for_ever = self.held.as_ref().is_some_and(|lease| lease.time == LeaseTime::Infinite);
        let deadline = host.client.deadline();
        // A lease that never ends may be asked about once more, and its address announced.
        let waits = match self.link {
            Link::Up | Link::Down if is_for_ever => deadline.is_some(),
            Link::Up => true,
            Link::Down => self.held.is_some(),
            Link::Over => false,
        };
        assert_eq!(deadline.is_some(), waits, "{deadline:?} after {event:?} with {:?}", self.held);
        let rings_on = *event == Event::Deadline && deadline.is_some_and(|deadline| deadline <= host.now);
        assert!(!(self.rings_on && rings_on), "a timer that would spin");
        self.rings_on = rings_on;
    }

    fn check_rate(&mut self, now: Instant) {
        for moments in [&mut self.packets, &mut self.link_ups] {
            while moments.front().is_some_and(|then| now.saturating_duration_since(*then) > seconds(60)) {
                moments.pop_front();
            }
        }
        if self.link_ups.is_empty() {
            self.busiest_minute = self.busiest_minute.max(self.packets.len());
        }
        let most = MOST_IN_A_MINUTE * (1 + self.link_ups.len());
        assert!(self.packets.len() <= most, "{} packets in a minute", self.packets.len());
    }
}

fn check_lease(lease: &Lease, now: Instant) {
    let address = lease.address.addr();
    assert!(
        !address.is_loopback() && !address.is_multicast() && ![0, 240].contains(&address.octets()[0]),
        "{address}"
    );
    if let LeaseTime::Finite { lease: time, t1, t2 } = lease.time {
        assert!(lease.requested + time > now, "a lease after its end");
        assert!(time < Duration::from_secs(6) || (t1 < t2 && t2 < time), "{:?}", lease.time);
    }
}
