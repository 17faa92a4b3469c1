//! `landfall up`: brings one target's network container to what was asked, from whatever there is.

use std::{fs, net::IpAddr};

use jiff::Timestamp;
use landfall_api::{Address, Forward, Spec};
use nix::{sys::signal::Signal, unistd::geteuid};
use tokio::signal::unix::{SignalKind, signal};
use tracing::debug;

use super::{attach::attach, down, undo::Undo};
use crate::{
    cli::UpArgs,
    conversation::{Conversation, Ending, has_ended},
    docker::{Container, Creation, Docker},
    error::{Error, printable},
    identity::{Identity, container_name, derive_hostname, derive_mac},
    image,
    lock::{self, Attempt, Lock},
    network_container::{self, examine, labels},
    others,
    path::{self, Other, Path, Way},
    patience::Patience,
    plan::{Existing, Plan, plan},
    ports::{self, Publish},
    progress::Progress,
    state::AgentState,
    target,
    uplink::{self, Parent, Uplink, UplinkError, companion},
    view::{Target, View},
};

/// The exit code of an agent that found no DHCP server in the time that its spec gives (`docs/report.md`).
const NO_SERVER: i64 = 4;

/// What is asked for, and what is needed to do it.
struct Up<'a> {
    args: &'a UpArgs,
    publish: Vec<Publish>,
    progress: &'a Progress,
    patience: Patience,
    parent: Parent,
    docker: Docker,
}

/// Exposes a target, or finds it exposed as asked.
///
/// # Errors
/// Why it is not; then nothing that this run made is left.
pub async fn up(args: &UpArgs, host: Option<&str>, progress: &Progress) -> Result<View, Error> {
    if !geteuid().is_root() {
        return Err(Error::NotRoot("expose a container"));
    }
    let patience = Patience::new(args.wait);
    let publish = args.publish()?;
    args.check()?;
    let parent = uplink::check(&args.interface).await?;
    if args.host_access {
        companion::check(&parent, args.family.wanted()).await?;
    }
    let silent = || Error::DockerSilent(patience.wait);
    let docker = patience.limit(Docker::connect(host)).await.ok_or_else(silent)??;
    let up = Up { args, publish, progress, patience, parent, docker };
    let mut undo = Undo::default();
    let result = tokio::select! {
        result = up.converge(&mut undo) => result,
        signal = interrupted() => Err(Error::Interrupted(signal?)),
    };
    if result.is_err() {
        undo.take_back(&up.docker, progress).await;
    }
    result
}

impl Up<'_> {
    async fn converge(&self, undo: &mut Undo) -> Result<View, Error> {
        let Self { args, docker, .. } = self;
        let target = target::wait_for(docker, &args.target, self.patience, self.progress).await?;
        self.lock_all(&target, undo).await?;
        // Whoever had the lock may have taken its time.
        let target = target::wait_for(docker, &target.name, self.patience, self.progress).await?;
        let (publish, others) = self.others(&target).await?;
        let way = Way::find(args.path, args.family.wanted(), &target, others).await?;
        let forward = self.forwards(&publish, &target, &way)?;
        let forward = way.mark(forward, &target).await;
        for warning in way.warnings(&target, &forward) {
            self.progress.note(&format!("warning: {warning}"));
        }
        let image = image::provide(docker, args.image.as_deref(), self.progress);
        let image = self.in_time("provide the agent image", image).await?;
        let identity = self.identity(&target, &way, image)?;
        let name = container_name(&target.name);
        let spec = spec(&identity, &name, forward)?;
        let looking = self.look(&name, &target, &way);
        let (existing, container) = self.in_time("look at what is there", looking).await?;
        let decided = plan(&existing, &identity, args.family, spec.forward());
        debug!(?decided, ?existing, "planned");
        let view = match (decided, existing, container) {
            (Plan::Refuse, ..) => return Err(Error::Stranger(name)),
            (Plan::Keep, Existing::Running(running), Some(container)) => {
                self.lay(&way, &container, &spec).await?;
                view(&container, &running.1)
            }
            (Plan::Update, Existing::Running(running), Some(container)) => {
                self.progress.step(&format!("telling {name} its new forwards"));
                self.lay(&way, &container, &spec).await?;
                let attached = docker.attach_again(&container).await?;
                let mut conversation = Conversation::new(attached, running.1);
                self.in_time("tell the agent", conversation.tell(&spec)).await?;
                self.await_answer(&container.id, conversation, &spec).await?
            }
            (_, _, old) => {
                if let Some(old) = old {
                    self.progress.step(&format!("removing what is left of {name}"));
                    let removing = async {
                        for other in network_container::others(&old) {
                            down::clear(docker, &name, &other).await?;
                        }
                        Ok(network_container::take_down(docker, &old).await?)
                    };
                    self.in_time("remove the old network container", removing).await?;
                }
                let creating = self.create((&target, &way), &identity, &spec, undo);
                let (id, conversation) = self.in_time("create the network container", creating).await?;
                self.await_answer(&id, conversation, &spec).await?
            }
        };
        way.check(&target)?;
        self.pass_on_ipv6(&view, &identity).await?;
        let allowed = self.set_host_access(&view, &identity, &way).await;
        if allowed.is_err() {
            companion::remove(&view.container).await?;
        }
        allowed.map(|()| view)
    }

    async fn others(&self, target: &Container) -> Result<(Vec<Publish>, Vec<Other>), Error> {
        let find =
            async |name: &str| target::wait_for(&self.docker, name, self.patience, self.progress).await;
        others::find(&self.publish, &self.args.replica, target, find).await
    }

    /// What is to be forwarded. Where the uplink is in the target there may be nothing: it has all ports.
    fn forwards(&self, publish: &[Publish], target: &Container, way: &Way) -> Result<Vec<Forward>, Error> {
        let access = self.args.access();
        match ports::forwards(&way.places, publish, &target.exposed, &access) {
            Err(Error::NoPorts(_)) if matches!(way.path, Path::Direct(_)) => Ok(Vec::new()),
            forwards => forwards,
        }
    }

    /// What is there under the name of the network container.
    async fn look(
        &self,
        name: &str,
        target: &Container,
        way: &Way,
    ) -> Result<(Existing, Option<Container>), Error> {
        let container = self.docker.container(name).await?;
        let existing = examine(&self.docker, &target.name, container.as_ref()).await?;
        match (&existing, &container, &way.path) {
            (Existing::Running(_), Some(left), Path::Direct(_)) if !path::leads(left, target).await => {
                // It is where its target was before it started again. The lease that it has is for the next one to find.
                self.progress.step(&format!("removing {name}, which its target has left behind"));
                self.docker.remove(&left.id).await?;
                Ok((Existing::Nothing, None))
            }
            _ => Ok((existing, container)),
        }
    }

    /// Makes the way to the target, and gives the uplink IPv6 if it is to have it.
    async fn lay(&self, way: &Way, container: &Container, spec: &Spec) -> Result<(), Error> {
        if spec.family.has_v6() {
            uplink::ipv6::enable(&container.namespace, spec.interface.as_str())?;
        }
        Ok(way.lay(container, &self.parent, spec.forward()).await?)
    }

    /// Opens the way for IPv6, last of all: by now there are rules for what comes. What is for the target itself needs none.
    async fn pass_on_ipv6(&self, view: &View, identity: &Identity) -> Result<(), Error> {
        if !identity.family.has_v6() || matches!(identity.path, Path::Direct(_)) {
            return Ok(());
        }
        match self.docker.container(&view.container).await? {
            Some(container) => {
                let uplink = identity.path.uplink(&container.name);
                Ok(uplink::ipv6::forward(&container.namespace, &uplink)?)
            }
            None => Ok(()),
        }
    }

    /// Lets the host reach the addresses, or no longer.
    async fn set_host_access(&self, view: &View, identity: &Identity, way: &Way) -> Result<(), Error> {
        let v4 = view.address.map(IpAddr::V4);
        let addresses: Vec<IpAddr> =
            v4.into_iter().chain(view.ipv6.iter().copied().map(IpAddr::V6)).collect();
        if !self.args.host_access {
            companion::remove(&view.container).await?;
            return Ok(way.leave_out(&companion::hosts(&self.parent).await?).await?);
        }
        way.leave_out(&[]).await?;
        let Some(container) = self.docker.container(&view.container).await? else { return Ok(()) };
        let place = (&*container.namespace, identity.path.namespace());
        for missed in companion::ensure(&container.name, &self.parent, place, &addresses).await? {
            let (family, name) = (if missed.is_ipv4() { "IPv4" } else { "IPv6" }, &self.parent.name);
            self.progress.note(&format!(
                "warning: this host has no {family} address on {name}, so it does not reach {missed}"
            ));
        }
        Ok(())
    }

    /// What `future` gives, unless Docker takes longer than the whole command may.
    async fn in_time<T>(
        &self,
        attempt: &'static str,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = || Error::OutOfTime { attempt, waited: self.patience.wait };
        self.patience.limit(future).await.unwrap_or_else(|| Err(late()))
    }

    /// Keeps other landfalls away from the target and from all others that are to be behind its address.
    async fn lock_all(&self, target: &Container, undo: &mut Undo) -> Result<(), Error> {
        let (_, wanted) = self.others(target).await?;
        let mut names = down::others(&self.docker, &container_name(&target.name)).await?;
        names.extend(wanted.into_iter().map(|other| other.container.name));
        names.push(target.name.clone());
        // Always in this order, so that no two wait for each other.
        names.sort_unstable();
        names.dedup();
        for name in names {
            undo.locks.push(self.exclude_others(&name).await?);
        }
        Ok(())
    }

    async fn exclude_others(&self, target: &str) -> Result<Lock, Error> {
        match lock::lock(target)? {
            Attempt::Locked(lock) => Ok(lock),
            Attempt::Busy(waiting) => {
                self.progress.step(&format!("another landfall is working on {target}; waiting for it"));
                let busy = || Error::Busy { target: target.to_owned(), waited: self.patience.wait };
                self.patience.limit(waiting.wait()).await.unwrap_or_else(|| Err(busy()))
            }
        }
    }

    fn identity(&self, target: &Container, way: &Way, image: String) -> Result<Identity, Error> {
        let machine_id = || {
            fs::read_to_string("/etc/machine-id").map_err(|error| Error::Io("read /etc/machine-id", error))
        };
        let mac = match self.args.mac {
            Some(mac) => mac,
            None => derive_mac(machine_id()?.trim(), &target.name),
        };
        let dhcp = self.args.dhcp.to_dhcp(derive_hostname(&target.name))?;
        let family = self.args.family.wanted();
        let mut others: Vec<String> = way.places[1..].iter().map(|place| place.name.clone()).collect();
        others.sort_unstable();
        let (interface, path) = (self.parent.name.to_string(), way.path.clone());
        let offload = self.args.offload;
        Ok(Identity { interface, mac, dhcp, family, offload, others, path, image })
    }

    /// Makes the network container and its uplink, and tells its agent what to do.
    async fn create(
        &self,
        (target, way): (&Container, &Way),
        identity: &Identity,
        spec: &Spec,
        undo: &mut Undo,
    ) -> Result<(String, Conversation), Error> {
        let name = container_name(&target.name);
        self.progress.step(&format!("creating {name}"));
        let creation = Creation {
            name: name.clone(),
            image: identity.image.clone(),
            network: identity.path.network().to_owned(),
            labels: labels(&target.name, identity, spec),
            volume: name.clone(),
        };
        undo.targets.extend(way.containers(target).map(|(container, _)| container.clone()));
        way.make_room().await?;
        let id = undo.create(&self.docker, creation).await?;
        let mut conversation = Conversation::new(self.docker.attach(&id).await?, AgentState::default());
        self.progress.step(&format!("starting {name}"));
        self.docker.start(&id).await?;
        // Said before the uplink is there: the agent makes its rules meanwhile.
        let told = conversation.tell(spec).await;
        let container = self.docker.container(&id).await?.filter(Container::is_running);
        if let (Ok(()), Some(container)) = (told, container) {
            let uplink = identity.path.uplink(&name);
            self.progress.step(&format!(
                "attaching {uplink} to {} with the MAC address {}",
                self.parent.name, identity.mac
            ));
            let attaching = async {
                let uplink = Uplink {
                    container: &name,
                    namespace: &container.namespace,
                    name: &uplink,
                    mac: identity.mac,
                };
                attach(&self.docker, &self.parent, uplink, self.patience).await?;
                self.lay(way, &container, spec).await
            };
            if let Err(error) = attaching.await {
                let is_in_use = matches!(error, Error::Uplink(UplinkError::MacInUse(_)));
                if is_in_use || !has_ended(&self.docker, &container).await? {
                    return Err(error);
                }
                debug!(%error, "the agent has ended meanwhile, and says itself why");
            }
        }
        self.progress.step("waiting for an address");
        Ok((id, conversation))
    }

    /// Listens until the target answers.
    async fn await_answer(
        &self,
        id: &str,
        mut conversation: Conversation,
        spec: &Spec,
    ) -> Result<View, Error> {
        let listening = conversation.listen((&self.docker, id), (spec, self.args.family), self.progress);
        let ending = self.patience.limit(listening).await.transpose()?;
        let container = self.docker.container(id).await?;
        let died = |code, container: Option<Container>| Error::AgentDied {
            container: container.map_or_else(|| id.to_owned(), |container| container.name),
            code,
            words: conversation.last_words(),
        };
        match (ending, container) {
            // The spec's own patience may end before this command's.
            (Some(Ending::Silence(Some(NO_SERVER))), Some(container)) if !container.is_running() => {
                Err(self.no_address(conversation))
            }
            (Some(Ending::Answers), Some(container)) => {
                if let Some(warning) = &conversation.state.warning {
                    self.progress.note(&format!("warning: {}", printable(warning)));
                }
                Ok(view(&container, &conversation.state))
            }
            (Some(Ending::Warned), _) => {
                Err(Error::AgentRefuses(conversation.state.warning.unwrap_or_default()))
            }
            (Some(Ending::Silence(code)), container) => Err(died(code, container)),
            (Some(Ending::Answers), None) => Err(died(None, None)),
            (None, _) => Err(self.no_address(conversation)),
        }
    }

    fn no_address(&self, conversation: Conversation) -> Error {
        Error::NoAddress {
            target: self.args.target.clone(),
            interface: self.args.interface.clone(),
            families: self.args.family,
            waited: self.patience.wait,
            noise: conversation.noise(),
            state: Box::new(conversation.state),
        }
    }
}

/// What the agent in the container `name` is to do.
fn spec(identity: &Identity, name: &str, forward: Vec<Forward>) -> Result<Spec, Error> {
    let dhcp = Address::Dhcp(identity.dhcp.clone());
    let interface = identity.path.uplink(name).parse().map_err(UplinkError::from)?;
    let spec = Spec::new(interface, dhcp, forward)
        .map_err(|pair| Error::Overlap { earlier: pair.1.to_string(), later: pair.0.to_string() })?;
    let spec = spec.with_family(identity.family).with_offload(identity.offload);
    Ok(if identity.path.namespace().is_own() { spec } else { spec.shared() })
}

#[expect(clippy::disallowed_methods, reason = "how long a lease lasts depends on the time of day")]
fn view(container: &Container, state: &AgentState) -> View {
    View::new(container, state, Target::Running, Timestamp::now())
}

/// Waits for the signals that end a command.
async fn interrupted() -> Result<Signal, Error> {
    let catch = |kind| signal(kind).map_err(|error| Error::Io("catch signals", error));
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => Signal::SIGINT,
        _ = terminate.recv() => Signal::SIGTERM,
    })
}
