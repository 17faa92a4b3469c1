//! IPv6 on the uplink: carries out what the host does on its link, and reports it.
//!
//! What goes wrong here is a warning where there is IPv4, too: that goes on, and so does the agent.

use std::{future, io};

use ipnet::Ipv6Net;
use landfall_api::{Address, Event as Reported, HostName, InterfaceName, Ipv6, Ipv6Address, Spec};
use rand::rngs::StdRng;
use thiserror::Error;
use tracing::{debug, info, warn};

use crate::{
    alarm::Alarm,
    clock::Instant,
    dhcp::Context,
    dhcp6::Identity,
    ipv6::{Action, Configuration, Event, Heard, Host, InUse, Ipv6SocketError, Socket},
    link::{Carrier, Ipv6Changes, Ipv6Configuration, Link, LinkError, Links},
    reporter::Reporter,
};

/// Why IPv6 cannot be used.
#[derive(Debug, Error)]
pub enum Ipv6Error {
    /// The kernel refuses an address, a route or the watch over them.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Nobody can be talked to.
    #[error(transparent)]
    Socket(#[from] Ipv6SocketError),
    /// No timer.
    #[error("cannot use a timer")]
    Timer(#[source] io::Error),
}

/// What happened.
pub enum Happening {
    /// The interface changed, or is gone.
    Changed(Option<Link>),
    /// Its addresses may have.
    Addresses,
    /// Something came over it.
    Heard(io::Result<Heard>),
    /// The host's deadline.
    Deadline,
}

/// IPv6 on an uplink, whether its interface is there or not.
pub struct Uplink6<'a> {
    name: InterfaceName,
    hostname: Option<HostName>,
    reporter: &'a Reporter,
    started: Instant,
    links: Links,
    changes: Ipv6Changes,
    alarm: Alarm,
    rng: StdRng,
    attached: Option<Attached>,
    /// Whether addresses have been reported that were not lost since.
    has_addresses: bool,
}

/// What there is while the interface is.
struct Attached {
    link: Link,
    host: Host,
    /// There is none without a link-local address.
    socket: Option<Socket>,
}

impl<'a> Uplink6<'a> {
    /// Watches for the interface that `spec` names. `started` is when the agent did.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket or timer.
    pub async fn watch(spec: &Spec, started: Instant, reporter: &'a Reporter) -> Result<Self, Ipv6Error> {
        let (name, Address::Dhcp(dhcp)) = (spec.interface.clone(), &spec.address);
        let hostname = dhcp.hostname.clone().or_else(|| dhcp.fqdn.as_ref().map(|fqdn| fqdn.name.clone()));
        let links = Links::watch(name.clone(), spec.namespace).await?;
        let changes = Ipv6Changes::watch()?;
        let alarm = Alarm::new().map_err(Ipv6Error::Timer)?;
        let rng = rand::make_rng();
        let (attached, has_addresses) = (None, false);
        Ok(Self { name, hostname, reporter, started, links, changes, alarm, rng, attached, has_addresses })
    }

    /// Waits for the next thing to happen. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel tells no more.
    pub async fn next(&mut self) -> Result<Happening, Ipv6Error> {
        let receive = async {
            match self.attached.as_mut().and_then(|attached| attached.socket.as_mut()) {
                Some(socket) => socket.receive().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            link = self.links.next() => Ok(Happening::Changed(link?)),
            changed = self.changes.next() => Ok(changed.map(|()| Happening::Addresses)?),
            heard = receive => Ok(Happening::Heard(heard)),
            rung = self.alarm.ring() => rung.map(|()| Happening::Deadline).map_err(Ipv6Error::Timer),
        }
    }

    /// Does what follows.
    pub async fn handle(&mut self, happening: Happening) {
        match self.follow(happening).await {
            Ok(()) => {}
            // The kernel's own message is on its way, and says the same.
            Err(Ipv6Error::Link(error @ LinkError::Unavailable { .. })) => {
                debug!(%error, "the uplink went away meanwhile");
            }
            Err(error) => self.warn(format!("IPv6 does not work as it should: {error}")),
        }
    }

    async fn follow(&mut self, happening: Happening) -> Result<(), Ipv6Error> {
        match happening {
            Happening::Changed(Some(link)) => self.changed(link).await,
            Happening::Changed(None) => self.gone(),
            Happening::Addresses => self.look().await,
            Happening::Heard(Ok(heard)) => {
                let Some(attached) = &mut self.attached else { return Ok(()) };
                let Some(socket) = &attached.socket else { return Ok(()) };
                let mut context = Context { now: Instant::now(), rng: &mut self.rng };
                let actions = attached.host.step(socket.event(heard), &mut context);
                self.perform(actions).await
            }
            // The link's own message says what that means.
            Happening::Heard(Err(error)) => {
                debug!(%error, "an IPv6 socket failed");
                Ok(())
            }
            Happening::Deadline => self.step(Event::Deadline).await,
        }
    }

    /// Gives a lease back and takes the addresses away.
    pub async fn stop(&mut self) {
        if let Err(error) = self.step(Event::Stop).await {
            debug!(%error, "IPv6 was not taken down");
        }
    }

    async fn changed(&mut self, link: Link) -> Result<(), Ipv6Error> {
        let is_same =
            |attached: &Attached| attached.link.index == link.index && attached.link.mac == link.mac;
        if !self.attached.as_ref().is_some_and(is_same) {
            self.gone()?;
            let host = Host::new(link.mac, Identity::of(link.mac, self.hostname.clone()));
            self.attached = Some(Attached { link: link.clone(), host, socket: None });
        }
        let event = match link.carrier {
            Carrier::Up => Event::LinkUp,
            Carrier::Down => Event::LinkDown,
        };
        if let Some(attached) = &mut self.attached {
            attached.link = link;
        }
        self.step(event).await?;
        self.look().await
    }

    /// Looks which addresses there are.
    async fn look(&mut self) -> Result<(), Ipv6Error> {
        let Some(Attached { link, .. }) = &self.attached else { return Ok(()) };
        let found = self.links.ipv6_addresses(link).await?;
        self.step(Event::Addresses(found)).await
    }

    /// The interface took addresses and routes with it.
    fn gone(&mut self) -> Result<(), Ipv6Error> {
        if self.attached.take().is_some() {
            self.report(InUse::default());
        }
        self.alarm.set(None).map_err(Ipv6Error::Timer)
    }

    async fn step(&mut self, event: Event<'_>) -> Result<(), Ipv6Error> {
        let Some(attached) = &mut self.attached else { return Ok(()) };
        let mut context = Context { now: Instant::now(), rng: &mut self.rng };
        let actions = attached.host.step(event, &mut context);
        self.perform(actions).await
    }

    async fn perform(&mut self, actions: Vec<Action>) -> Result<(), Ipv6Error> {
        let Some(attached) = &mut self.attached else { return Ok(()) };
        self.alarm.set(attached.host.deadline()).map_err(Ipv6Error::Timer)?;
        let Attached { link, host, socket } = attached;
        let opened = match (host.link_local(), &socket) {
            (Some(address), None) => {
                Socket::open(&self.name, link.index, link.mac, address).map(|opened| *socket = Some(opened))
            }
            (None, Some(_)) => {
                *socket = None;
                Ok(())
            }
            (Some(_), Some(_)) | (None, None) => Ok(()),
        };
        // One that fails does not keep the others.
        let mut result = opened.map_err(Ipv6Error::from);
        for action in actions {
            let done = self.carry_out(action).await;
            if result.is_ok() {
                result = done;
            }
        }
        result
    }

    async fn carry_out(&mut self, action: Action) -> Result<(), Ipv6Error> {
        let Some(Attached { link, socket, .. }) = &self.attached else { return Ok(()) };
        match action {
            Action::Solicit => said(socket.as_ref().map(Socket::solicit)),
            Action::Dhcp(message) => said(socket.as_ref().map(|socket| socket.send(&message))),
            Action::Configure(configuration) => {
                let wanted = to_configuration(&configuration, Instant::now());
                match self.links.configure_ipv6(link, &wanted).await {
                    Ok(left_out) => self.left_out(&left_out),
                    Err(error) => {
                        self.tell_host(Event::Refused);
                        return Err(error.into());
                    }
                }
            }
            Action::InUse(in_use) => self.report(in_use),
            Action::Searching(search) => self.reporter.report(Reported::SearchingIpv6(search)),
            Action::Warn(message) => self.warn(message),
            Action::Ignore(why) => debug!(%why, "ignored a DHCPv6 message"),
        }
        Ok(())
    }

    /// What the LAN announces and targets have is the targets'.
    fn left_out(&mut self, left_out: &[(Ipv6Net, Ipv6Net)]) {
        if left_out.is_empty() {
            return;
        }
        for (net, inside) in left_out {
            self.warn(format!(
                "{net}, which the LAN announces, is left out: it reaches into {inside}, which is inside"
            ));
        }
        self.tell_host(Event::LeftOut(left_out.iter().map(|(net, _)| *net).collect()));
    }

    /// Tells the host how its configuration went, of which nothing follows at once but a report.
    fn tell_host(&mut self, event: Event<'_>) {
        let Some(attached) = &mut self.attached else { return };
        let mut context = Context { now: Instant::now(), rng: &mut self.rng };
        let actions = attached.host.step(event, &mut context);
        if let Err(error) = self.alarm.set(attached.host.deadline()) {
            debug!(%error, "the alarm is not set");
        }
        for action in actions {
            if let Action::InUse(in_use) = action {
                self.report(in_use);
            }
        }
    }

    fn warn(&self, message: String) {
        warn!("{message}");
        self.reporter.report(Reported::Warning { message });
    }

    fn report(&mut self, InUse { addresses, routers, dns }: InUse) {
        if addresses.is_empty() && !self.has_addresses {
            return;
        }
        self.has_addresses = !addresses.is_empty();
        let now = Instant::now();
        let seconds =
            |end: Instant| u32::try_from(end.saturating_duration_since(now).as_secs()).unwrap_or(u32::MAX);
        let shown = addresses.iter().map(|address| Ipv6Address {
            address: address.net,
            origin: address.origin,
            valid_lifetime: address.valid.map(seconds),
        });
        let addresses: Vec<Ipv6Address> = shown.collect();
        info!(addresses = addresses.len(), "IPv6");
        let elapsed = now.saturating_duration_since(self.started);
        let since_start_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.reporter.report(Reported::Ipv6(Ipv6 { addresses, routers, dns, since_start_ms }));
    }
}

/// What could not be sent is lost, as on the wire.
fn said(sent: Option<io::Result<()>>) {
    match sent {
        Some(Err(error)) => debug!(%error, "a message could not be sent"),
        None => debug!("a message was not sent: there is no link-local address"),
        Some(Ok(())) => {}
    }
}

/// What the kernel is to have, from now on.
fn to_configuration(configuration: &Configuration, now: Instant) -> Ipv6Configuration {
    let remaining = |end: Option<Instant>| end.map(|end| end.saturating_duration_since(now));
    let addresses = configuration.addresses.iter();
    Ipv6Configuration {
        addresses: addresses
            .map(|address| (address.net, remaining(address.preferred), remaining(address.valid)))
            .collect(),
        routers: configuration.routers.clone(),
        on_link: configuration.on_link.clone(),
        mtu: configuration.mtu,
    }
}
