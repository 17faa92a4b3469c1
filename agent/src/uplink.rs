//! The uplink at work: its DHCP client, its socket and its address, for as long as the interface is there.
//!
//! Carries out what the client decides, and reports it.

use std::{future, io, time::Duration};

use landfall_api::{Dhcp, Event as Reported, InterfaceName, LostReason};
use rand::rngs::StdRng;
use thiserror::Error;
use tracing::{debug, info, warn};

use crate::{
    alarm::Alarm,
    clock::Instant,
    dhcp::{
        Action, Client, Context, Event, Identity, Lease, LeaseTime, Received, Socket, SocketError,
        Transmission,
    },
    link::{Carrier, Configuration, Link, LinkError, Links},
    reporter::Reporter,
};

/// Why the uplink cannot be used.
#[derive(Debug, Error)]
pub enum UplinkError {
    /// The kernel refuses an address, a route or the watch over links.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No DHCP client can run.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// No timer.
    #[error("cannot use a timer")]
    Timer(#[source] io::Error),
}

/// What happened to the uplink.
pub enum Happening {
    /// The interface changed, or is gone.
    Changed(Option<Link>),
    /// A server's message came.
    Received(io::Result<Received>),
    /// The client's deadline.
    Deadline,
}

/// An uplink, whether its interface is there or not.
pub struct Uplink<'a> {
    name: InterfaceName,
    dhcp: Dhcp,
    reporter: &'a Reporter,
    started: Instant,
    links: Links,
    alarm: Alarm,
    rng: StdRng,
    attached: Option<Attached>,
}

/// What there is while the interface is.
struct Attached {
    link: Link,
    client: Client,
    socket: Socket,
}

impl<'a> Uplink<'a> {
    /// Watches for the interface `name`. `started` is when the agent did.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket or timer.
    pub async fn watch(
        name: InterfaceName,
        dhcp: Dhcp,
        started: Instant,
        reporter: &'a Reporter,
    ) -> Result<Self, UplinkError> {
        let links = Links::watch(name.clone()).await?;
        let alarm = Alarm::new().map_err(UplinkError::Timer)?;
        Ok(Self { name, dhcp, reporter, started, links, alarm, rng: rand::make_rng(), attached: None })
    }

    /// Waits for the next thing to happen. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel tells no more.
    pub async fn next(&mut self) -> Result<Happening, UplinkError> {
        let receive = async {
            match &mut self.attached {
                Some(attached) => attached.socket.receive().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            link = self.links.next() => Ok(Happening::Changed(link?)),
            received = receive => Ok(Happening::Received(received)),
            rung = self.alarm.ring() => rung.map(|()| Happening::Deadline).map_err(UplinkError::Timer),
        }
    }

    /// Does what follows.
    ///
    /// # Errors
    /// If the kernel refuses what the uplink needs.
    pub async fn handle(&mut self, happening: Happening) -> Result<(), UplinkError> {
        match self.follow(happening).await {
            // The kernel's own message is on its way, and says the same.
            Err(UplinkError::Link(error @ LinkError::Unavailable { .. })) => {
                debug!(%error, "the uplink went away meanwhile");
                Ok(())
            }
            followed => followed,
        }
    }

    async fn follow(&mut self, happening: Happening) -> Result<(), UplinkError> {
        match happening {
            Happening::Changed(Some(link)) => self.changed(link).await,
            Happening::Changed(None) => self.gone(),
            Happening::Received(Ok((reply, from))) => self.step(Event::Received(reply, from)).await,
            // The link's own message says what that means.
            Happening::Received(Err(error)) => {
                debug!(%error, "the packet socket failed");
                Ok(())
            }
            Happening::Deadline => self.step(Event::Deadline).await,
        }
    }

    /// Gives the lease back, takes the address away, and brings the interface down.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn stop(&mut self) -> Result<(), UplinkError> {
        self.step(Event::Stop).await?;
        match &self.attached {
            Some(Attached { link, .. }) => Ok(self.links.bring_down(link).await?),
            None => Ok(()),
        }
    }

    async fn changed(&mut self, link: Link) -> Result<(), UplinkError> {
        let is_same =
            |attached: &Attached| attached.link.index == link.index && attached.link.mac == link.mac;
        if !self.attached.as_ref().is_some_and(is_same) {
            self.gone()?;
            self.attach(&link).await?;
        }
        let event = match link.carrier {
            Carrier::Up => Event::LinkUp,
            Carrier::Down => Event::LinkDown,
        };
        if let Some(attached) = &mut self.attached {
            attached.link = link;
        }
        self.step(event).await
    }

    async fn attach(&mut self, link: &Link) -> Result<(), UplinkError> {
        let (interface, mac, mtu) = (self.name.clone(), link.mac, link.mtu);
        info!(%interface, %mac, mtu, "found the uplink");
        self.reporter.report(Reported::UplinkFound { interface, mac, mtu });
        // A packet socket that is bound while the interface is down loses the first message.
        self.links.bring_up(link).await?;
        let socket = Socket::open(&self.name, link.index, mac)?;
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        let client = Client::new(Identity { mac, hostname: self.dhcp.hostname.clone(), mtu });
        self.attached = Some(Attached { link: link.clone(), client, socket });
        if link.carrier == Carrier::Down {
            self.links.bring_up(link).await?;
        }
        Ok(())
    }

    /// The interface took address and routes with it.
    fn gone(&mut self) -> Result<(), UplinkError> {
        if let Some(attached) = self.attached.take() {
            warn!(interface = %self.name, "the uplink is gone");
            if let Some(lease) = attached.client.lease() {
                let (address, reason) = (lease.address, LostReason::UplinkGone);
                self.reporter.report(Reported::Lost { address, reason });
            }
        }
        self.alarm.set(None).map_err(UplinkError::Timer)
    }

    async fn step(&mut self, event: Event) -> Result<(), UplinkError> {
        let Some(attached) = &mut self.attached else {
            return Ok(());
        };
        let mut context = Context { now: Instant::now(), rng: &mut self.rng };
        let actions = attached.client.step(event, &mut context);
        self.alarm.set(attached.client.deadline()).map_err(UplinkError::Timer)?;
        for action in actions {
            self.perform(action).await?;
        }
        Ok(())
    }

    async fn perform(&self, action: Action) -> Result<(), UplinkError> {
        let Some(Attached { link, socket, .. }) = &self.attached else {
            return Ok(());
        };
        match action {
            Action::Send(transmission) => send(socket, &transmission),
            Action::Granted(lease) => {
                self.configure(link, &lease).await?;
                let elapsed = Instant::now().saturating_duration_since(self.started);
                let since_start_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                self.reporter.report(Reported::Leased { lease: to_report(&lease), since_start_ms });
            }
            Action::Extended(lease) => {
                self.configure(link, &lease).await?;
                self.reporter.report(Reported::Renewed { lease: to_report(&lease) });
            }
            Action::Lost(lease, reason) => {
                self.links.deconfigure(link).await?;
                self.reporter.report(Reported::Lost { address: lease.address, reason });
            }
            Action::Released(lease) => {
                self.links.deconfigure(link).await?;
                self.reporter.report(Reported::Released { address: lease.address });
            }
            Action::Searching(search) => self.reporter.report(Reported::Searching(search)),
            Action::Ignore(why) => debug!(%why, "ignored a message"),
        }
        Ok(())
    }

    async fn configure(&self, link: &Link, lease: &Lease) -> Result<(), UplinkError> {
        let configuration = to_configuration(lease, link, Instant::now());
        let overlapping = self.links.configure(link, &configuration).await?;
        for subnet in overlapping {
            let message = format!(
                "the LAN's subnet {} overlaps with {subnet}, which is inside: some clients or the target cannot be \
                 reached; give the Docker network another subnet",
                lease.address.trunc()
            );
            warn!("{message}");
            self.reporter.report(Reported::Warning { message });
        }
        Ok(())
    }
}

fn send(socket: &Socket, transmission: &Transmission) {
    if let Err(error) = socket.send(transmission) {
        debug!(%error, delivery = ?transmission.delivery, "a message could not be sent");
    }
}

/// What the kernel is to have of a lease: not longer than the lease lasts, and no MTU above the link's own.
fn to_configuration(lease: &Lease, link: &Link, now: Instant) -> Configuration {
    Configuration {
        address: lease.address,
        lifetime: lease.expiry().map(|expiry| expiry.saturating_duration_since(now)),
        mtu: lease.mtu.map(|mtu| mtu.min(link.mtu)),
        routers: lease.routers.clone(),
        routes: lease.routes.clone(),
    }
}

fn to_report(lease: &Lease) -> landfall_api::Lease {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    landfall_api::Lease {
        address: lease.address,
        routers: lease.routers.clone(),
        dns: lease.dns.clone(),
        domain: lease.domain.as_ref().map(ToString::to_string),
        server: lease.server,
        lease_time: match lease.time {
            LeaseTime::Finite { lease, .. } => Some(seconds(lease)),
            LeaseTime::Infinite => None,
        },
    }
}
