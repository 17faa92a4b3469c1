//! The only loop: waits for whatever comes first, and does what follows from it.

use std::{future::pending, io, process::ExitCode};

use futures_util::FutureExt as _;
use landfall_api::{Event, Spec};
use thiserror::Error;
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::{info, warn};

use crate::{
    clock::Instant,
    input::{Input, InputError},
    link::LinkError,
    nat::NftError,
    replicas::Replicas,
    reporter::Reporter,
    rules::{Applied, Rules},
    uplink::{Uplink, UplinkError},
    uplink6::{Happening, Ipv6Error, Uplink6},
};

/// Why the agent ends before it is asked to.
#[derive(Debug, Error)]
pub enum Error {
    /// The runtime needs epoll and an event descriptor.
    #[error("cannot start: the kernel gives no event queue")]
    Runtime(#[source] io::Error),
    /// Signals could not be caught.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
    /// Nothing says what to do.
    #[error("standard input ended without a spec; write one YAML document to it (docs/spec.md)")]
    NoSpec,
    /// The first spec is none.
    #[error("the spec is refused")]
    Spec(#[source] InputError),
    /// The first rules could not be made.
    #[error("cannot install the forwards")]
    Rules(#[source] NftError),
    /// The uplink could not be used.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// The kernel does not tell what leads to the targets.
    #[error(transparent)]
    Inside(#[from] LinkError),
    /// The kernel tells nothing of IPv6.
    #[error(transparent)]
    Ipv6(#[from] Ipv6Error),
}

impl Error {
    /// The documented exit code (`docs/report.md`).
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Runtime(_) | Self::Signals(_) => 1,
            Self::NoSpec | Self::Spec(_) => 2,
            Self::Uplink(UplinkError::NoServer(_)) => 4,
            Self::Rules(_) | Self::Inside(_) | Self::Uplink(_) | Self::Ipv6(_) => 3,
        })
    }
}

/// Does the agent's work until a signal asks it to stop. `started` is when the process did.
///
/// # Errors
/// If the first spec is none, or the kernel refuses what the work needs.
pub async fn run(started: Instant, reporter: &Reporter) -> Result<(), Error> {
    reporter.report(Event::Started { version: env!("CARGO_PKG_VERSION").to_owned() });
    let mut stop = Stop::new().map_err(Error::Signals)?;
    let mut input = Input::new();
    let spec = select! {
        () = stop.asked() => return Ok(()),
        spec = input.next() => spec.ok_or(Error::NoSpec)?.map_err(Error::Spec)?,
    };
    let mut rules = Rules::new(&spec);
    let mut replicas = Replicas::watch(&spec).await?;
    let mut uplink = Uplink::watch(&spec, started, reporter).await?;
    let mut uplink6 = if spec.family.has_v6() {
        let watching = Uplink6::watch(&spec, started, reporter).await;
        do_without(watching, &spec, reporter)?
    } else {
        None
    };
    // An uplink that is there asks its server first, and nft works while the answer is on its way.
    if let Some(happening) = uplink.next().now_or_never() {
        uplink.handle(happening?).await?;
    }
    shorten(&mut rules, &replicas, &uplink);
    loop {
        select! {
            () = stop.asked() => break,
            replacement = input.replacement() => replace(&mut rules, &spec, replacement, reporter),
            applied = rules.applied() => {
                if rules.are_in_force() {
                    uplink.open().await?;
                }
                report(applied, &mut rules, reporter)?;
                follow(&mut replicas, &mut rules, reporter);
            }
            changed = replicas.next() => {
                changed?;
                replicas.look().await?;
                shorten(&mut rules, &replicas, &uplink);
                follow(&mut replicas, &mut rules, reporter);
            }
            happening = uplink.next() => {
                uplink.handle(happening?).await?;
                shorten(&mut rules, &replicas, &uplink);
            }
            happening = next(&mut uplink6) => {
                match (do_without(happening, &spec, reporter)?, &mut uplink6) {
                    (Some(happening), Some(uplink6)) => uplink6.handle(happening).await,
                    _ => uplink6 = None,
                }
            }
        }
    }
    if let Some(uplink6) = &mut uplink6 {
        uplink6.stop().await;
    }
    uplink.stop().await?;
    rules.remove().await;
    Ok(())
}

/// Says between which interfaces packets take a short cut. The uplink is one of them before it has an address, so that the rules are
/// not to be changed for it when that is known and somebody has begun to use it.
fn shorten(rules: &mut Rules, replicas: &Replicas, uplink: &Uplink<'_>) {
    rules.shorten(replicas.interfaces().chain(uplink.interface()));
}

/// Goes on without IPv6 where there is to be IPv4.
fn do_without<T>(result: Result<T, Ipv6Error>, spec: &Spec, reporter: &Reporter) -> Result<Option<T>, Error> {
    match result {
        Err(error) if spec.family.has_v4() => {
            let message = format!("there is no IPv6 from now on: {error}");
            warn!("{message}");
            reporter.report(Event::Warning { message });
            Ok(None)
        }
        result => Ok(Some(result?)),
    }
}

/// Waits for what happens to IPv6, for ever where there is to be none. Cancel-safe.
async fn next(uplink6: &mut Option<Uplink6<'_>>) -> Result<Happening, Ipv6Error> {
    match uplink6 {
        Some(uplink6) => uplink6.next().await,
        None => pending().await,
    }
}

/// Takes the forwards of a new spec, if nothing else in it differs.
fn replace(rules: &mut Rules, spec: &Spec, replacement: Result<Spec, InputError>, reporter: &Reporter) {
    let message = match replacement {
        Ok(new) if is_of_the_same_kind(&new, spec) => return rules.want(new.forward().to_vec()),
        Ok(_) => {
            "interface, namespace, family, offload and address cannot change while the agent runs; start another one"
                .to_owned()
        }
        Err(error) => error.to_string(),
    };
    let message = format!("the new spec is refused, the old one stays: {message}");
    warn!("{message}");
    reporter.report(Event::Warning { message });
}

/// Whether only the forwards differ.
fn is_of_the_same_kind(new: &Spec, old: &Spec) -> bool {
    let kind = |spec: &Spec| {
        (spec.interface.clone(), spec.namespace, spec.family, spec.offload, spec.address.clone())
    };
    kind(new) == kind(old)
}

/// Leads nothing to places that are gone, and says which those are.
fn follow(replicas: &mut Replicas, rules: &mut Rules, reporter: &Reporter) {
    for (address, is_there) in replicas.learn(rules.forward()) {
        if is_there {
            info!(%address, "a replica is back");
        } else {
            warn!(%address, "a replica is gone: nothing is led there while there are others");
        }
        reporter.report(Event::Replica { address, is_there });
    }
    rules.leave_out(replicas.out());
}

/// Says which rules are in force. The first ones must be; later ones may be refused, then the old ones stay.
fn report(applied: Applied, rules: &mut Rules, reporter: &Reporter) -> Result<(), Error> {
    if let Some(message) = rules.take_warning() {
        warn!("{message}");
        reporter.report(Event::Warning { message });
    }
    match applied {
        Ok(forward) => {
            info!(forwards = forward.len(), "forwarding");
            reporter.report(Event::Forwarding { forward });
        }
        Err(error) if rules.are_in_force() => {
            let message = format!("the new forwards are refused, the old ones stay: {error}");
            warn!("{message}");
            reporter.report(Event::Warning { message });
        }
        Err(error) => return Err(Error::Rules(error)),
    }
    Ok(())
}

/// The signals that ask to stop.
struct Stop {
    term: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        select! {
            _ = self.term.recv() => {},
            _ = self.interrupt.recv() => {},
        }
    }
}
