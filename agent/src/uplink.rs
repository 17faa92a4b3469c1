//! The uplink at work: its DHCP client, its socket and its address, for as long as the interface is there.
//!
//! Carries out what the client decides, and reports it.

use std::{future, io, net::Ipv4Addr};

use ipnet::Ipv4Net;
use landfall_api::{
    Address, Dhcp, Event as Reported, Family, HERE, InterfaceName, LostReason, Search, Seen, Spec,
};
use rand::rngs::StdRng;
use thiserror::Error;
use tracing::{debug, info, warn};

use crate::{
    alarm::Alarm,
    clock::Instant,
    dhcp::{Action, Client, Context, Event, Identity, Lease, Socket, SocketError},
    link::{Carrier, Configuration, Forwarding, Link, LinkError, Links},
    reporter::Reporter,
    store::Store,
};

/// After so many messages without an answer it is told what the uplink has heard meanwhile.
const BLACK_HOLE: u32 = 3;

/// The subnet of all link-local addresses (RFC 3927).
const LINK_LOCAL: u8 = 16;

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
    /// The spec wants an end rather than a search without one.
    #[error("no DHCP server gave an address in time ({}); the spec says no_server: fail", told(.0))]
    NoServer(Search),
}

/// What happened to the uplink.
pub enum Happening {
    /// The interface changed, or is gone.
    Changed(Option<Link>),
    /// Something came over it.
    Heard(io::Result<Event>),
    /// The client's deadline.
    Deadline,
}

/// An uplink, whether its interface is there or not.
pub struct Uplink<'a> {
    name: InterfaceName,
    family: Family,
    dhcp: Dhcp,
    targets: Vec<Ipv4Addr>,
    store: Store,
    reporter: &'a Reporter,
    started: Instant,
    links: Links,
    alarm: Alarm,
    rng: StdRng,
    /// Off until there are rules: without them the kernel would forward whatever comes.
    forwarding: Forwarding,
    attached: Option<Attached>,
}

/// What there is while the interface is.
struct Attached {
    link: Link,
    /// None where there is to be no IPv4.
    dhcp: Option<Conversation>,
}

/// A client and its server.
struct Conversation {
    client: Client,
    socket: Socket,
    /// What it had received when the search began.
    before: Seen,
}

impl<'a> Uplink<'a> {
    /// Watches for the interface that `spec` names. `started` is when the agent did.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket or timer.
    pub async fn watch(spec: &Spec, started: Instant, reporter: &'a Reporter) -> Result<Self, UplinkError> {
        let (name, Address::Dhcp(dhcp)) = (spec.interface.clone(), spec.address.clone());
        let targets =
            spec.forward().iter().map(|forward| forward.to().address).filter(|to| *to != HERE).collect();
        let store = Store::from_env();
        let links = Links::watch(name.clone(), spec.namespace).await?;
        let alarm = Alarm::new().map_err(UplinkError::Timer)?;
        let rng = rand::make_rng();
        let (family, forwarding, attached) = (spec.family, Forwarding::Off, None);
        Ok(Self {
            name,
            family,
            dhcp,
            targets,
            store,
            reporter,
            started,
            links,
            alarm,
            rng,
            forwarding,
            attached,
        })
    }

    /// Lets through what comes from now on: there are rules.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn open(&mut self) -> Result<(), UplinkError> {
        let before = std::mem::replace(&mut self.forwarding, Forwarding::On);
        match &self.attached {
            Some(Attached { link, .. }) if before == Forwarding::Off => {
                let opened = self.links.set_forwarding(link, Forwarding::On).await;
                opened.or_else(|error| self.excuse(error.into()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Its interface, while that is there.
    pub fn interface(&self) -> Option<&str> {
        self.attached.as_ref().map(|_| self.name.as_str())
    }

    /// Waits for the next thing to happen. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel tells no more.
    pub async fn next(&mut self) -> Result<Happening, UplinkError> {
        let receive = async {
            match self.attached.as_mut().and_then(|attached| attached.dhcp.as_mut()) {
                Some(dhcp) => dhcp.socket.receive().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            link = self.links.next() => Ok(Happening::Changed(link?)),
            heard = receive => Ok(Happening::Heard(heard)),
            rung = self.alarm.ring() => rung.map(|()| Happening::Deadline).map_err(UplinkError::Timer),
        }
    }

    /// Does what follows.
    ///
    /// # Errors
    /// If the kernel refuses what the uplink needs.
    pub async fn handle(&mut self, happening: Happening) -> Result<(), UplinkError> {
        self.follow(happening).await.or_else(|error| self.excuse(error))
    }

    /// Where the uplink went away meanwhile, the kernel's own message is on its way, and says the same.
    fn excuse(&self, error: UplinkError) -> Result<(), UplinkError> {
        if let UplinkError::Link(error @ LinkError::Unavailable { .. }) = error {
            debug!(%error, uplink = %self.name, "the uplink went away meanwhile");
            return Ok(());
        }
        Err(error)
    }

    async fn follow(&mut self, happening: Happening) -> Result<(), UplinkError> {
        match happening {
            Happening::Changed(Some(link)) => self.changed(link).await,
            Happening::Changed(None) => self.gone().await,
            Happening::Heard(Ok(event)) => self.step(event).await,
            // The link's own message says what that means.
            Happening::Heard(Err(error)) => {
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
        let Some(Attached { link, .. }) = &self.attached else { return Ok(()) };
        Ok(self.links.bring_down(link).await?)
    }

    async fn changed(&mut self, link: Link) -> Result<(), UplinkError> {
        let is_same =
            |attached: &Attached| attached.link.index == link.index && attached.link.mac == link.mac;
        if !self.attached.as_ref().is_some_and(is_same) {
            self.gone().await?;
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
        if self.forwarding == Forwarding::Off {
            self.links.set_forwarding(link, Forwarding::Off).await?;
        }
        // A packet socket that is bound while the interface is down loses the first message.
        if link.carrier == Carrier::Down {
            self.links.bring_up(link).await?;
        }
        let dhcp = if self.family.has_v4() { Some(self.converse(link).await?) } else { None };
        self.attached = Some(Attached { link: link.clone(), dhcp });
        Ok(())
    }

    async fn converse(&self, link: &Link) -> Result<Conversation, UplinkError> {
        let socket = Socket::open(&self.name, link.index, link.mac)?;
        let identity = self.identity(link).await?;
        let before = self.links.seen(link).await?;
        let client = Client::new(identity, self.store.load(link.mac));
        Ok(Conversation { client, socket, before })
    }

    async fn identity(&self, link: &Link) -> Result<Identity, UplinkError> {
        let neighbours = self.links.neighbours(link).await?;
        let taken = neighbours.addresses.iter().map(Ipv4Net::addr).chain(self.targets.iter().copied());
        Ok(Identity {
            mac: link.mac,
            mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
            settings: self.dhcp.clone(),
            other_macs: neighbours.macs,
            taken: taken.collect(),
        })
    }

    /// The interface took address and routes with it, but no rules.
    async fn gone(&mut self) -> Result<(), UplinkError> {
        if let Some(attached) = self.attached.take() {
            self.links.forget_rules().await?;
            warn!(interface = %self.name, "the uplink is gone");
            if let Some(lease) = attached.dhcp.as_ref().and_then(|dhcp| dhcp.client.lease()) {
                let (address, reason) = (lease.address, LostReason::UplinkGone);
                self.reporter.report(Reported::Lost { address, reason });
            }
        }
        self.alarm.set(None).map_err(UplinkError::Timer)
    }

    async fn step(&mut self, event: Event) -> Result<(), UplinkError> {
        let Some(dhcp) = self.attached.as_mut().and_then(|attached| attached.dhcp.as_mut()) else {
            return Ok(());
        };
        let mut context = Context { now: Instant::now(), rng: &mut self.rng };
        let actions = dhcp.client.step(event, &mut context);
        self.alarm.set(dhcp.client.deadline()).map_err(UplinkError::Timer)?;
        // Before anything is asked, so that no answer is missed.
        if let Err(error) = dhcp.socket.listen(dhcp.client.listening()) {
            let name = &self.name;
            self.warn(format!("cannot listen on {name}: {error}; servers or address conflicts go unheard"));
        }
        for action in actions {
            self.perform(action).await?;
        }
        Ok(())
    }

    async fn perform(&self, action: Action) -> Result<(), UplinkError> {
        let Some(Attached { link, dhcp: Some(Conversation { socket, before, .. }) }) = &self.attached else {
            return Ok(());
        };
        match action {
            Action::Send(transmission) => socket.send(&transmission),
            Action::Ask(query) => socket.ask(query),
            Action::Granted(lease) => {
                self.configure(link, &lease).await?;
                // Who is told of a lease may kill us at once, and expect it back.
                self.store.save(&lease, link.mac);
                let elapsed = Instant::now().saturating_duration_since(self.started);
                let since_start_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                self.reporter.report(Reported::Leased { lease: (&lease).into(), since_start_ms });
            }
            Action::Extended(lease) => {
                self.configure(link, &lease).await?;
                self.store.save(&lease, link.mac);
                self.reporter.report(Reported::Renewed { lease: (&lease).into() });
            }
            Action::Remember(lease) => self.store.save(&lease, link.mac),
            Action::Lost(lease, reason) => {
                self.links.deconfigure(link).await?;
                self.reporter.report(Reported::Lost { address: lease.address, reason });
                self.forget(reason);
            }
            Action::Released(lease) => {
                self.links.deconfigure(link).await?;
                self.reporter.report(Reported::Released { address: lease.address });
                self.store.forget();
            }
            Action::Declined(address, holder) => {
                self.store.forget();
                self.warn(format!(
                    "{address} is used by {holder}; declined it and asking for another address"
                ));
            }
            Action::LinkLocal(address) => self.link_local(link, address).await?,
            Action::Searching(search) => self.searching(link, *before, search).await?,
            Action::GaveUp(search) => return Err(UplinkError::NoServer(search)),
            Action::Ignore(why) => debug!(%why, "ignored a message"),
        }
        Ok(())
    }

    fn warn(&self, message: String) {
        warn!("{message}");
        self.reporter.report(Reported::Warning { message });
    }

    /// A lease that ran out is worth asking for again; one that is somebody else's is not.
    fn forget(&self, reason: LostReason) {
        match reason {
            LostReason::Expired | LostReason::UplinkGone => {}
            LostReason::Nak | LostReason::Conflict => self.store.forget(),
        }
    }

    /// An answer is overdue. Where none has come at all, what else has come says why.
    async fn searching(&self, link: &Link, before: Seen, mut search: Search) -> Result<(), UplinkError> {
        if search.discovers >= BLACK_HOLE && search.offers == 0 {
            let now = self.links.seen(link).await?;
            search.seen = Some(Seen {
                frames: now.frames.saturating_sub(before.frames),
                multicast: now.multicast.saturating_sub(before.multicast),
            });
            if search.discovers == BLACK_HOLE
                && let Some(cause) = search.cause()
            {
                self.warn(format!("no DHCP server answers: {cause}"));
            }
        }
        self.reporter.report(Reported::Searching(search));
        Ok(())
    }

    async fn link_local(&self, link: &Link, address: Option<Ipv4Addr>) -> Result<(), UplinkError> {
        let Some(address) = address else {
            return Ok(self.links.deconfigure(link).await?);
        };
        let address = Ipv4Net::new_assert(address, LINK_LOCAL);
        let (routers, routes) = (Vec::new(), Vec::new());
        let configuration = Configuration { address, lifetime: None, mtu: None, routers, routes };
        self.links.configure(link, &configuration).await?;
        self.reporter.report(Reported::LinkLocal { address });
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
            self.warn(message);
        }
        Ok(())
    }
}

/// How a search went, in a few words.
fn told(search: &Search) -> String {
    let Search { discovers, offers, naks, conflicts, .. } = search;
    format!("DISCOVERs sent: {discovers}, offers: {offers}, refusals: {naks}, addresses in use: {conflicts}")
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
