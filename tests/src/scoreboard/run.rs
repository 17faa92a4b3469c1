//! Runs a client through a case, in two namespaces of its own.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    case::{Act, Case},
    client::{Client, Running, UPLINK},
    judge::{Address, Route, Run, Sample, Verdict},
    server::{Server, WIRE, Wire, lock},
};
use crate::{
    netns::Netns,
    removal::Folder,
    run::{now, output, run},
};

/// How often the kernel is asked.
const PAUSE: Duration = Duration::from_millis(150);

/// After so long with an address a client has done all that it does about it.
const SETTLED: Duration = Duration::from_secs(1);

/// What came of a client and a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It keeps the rule.
    Pass,
    /// It breaks it, in this way.
    Fail(String),
    /// It does not offer the function, for this reason.
    NotApplicable(&'static str),
}

/// Runs each client through each case, so many at once; the outcomes are in the order of cases, then of clients. What a case waits
/// for may take `patience` times its limit: more than once where the machine has other work.
///
/// # Panics
/// If a run does.
pub fn all(
    cases: &[Case],
    clients: &[Client],
    at_once: usize,
    patience: u32,
    progress: impl Fn(&Case, Client, &Outcome) + Sync,
) -> Vec<Vec<Outcome>> {
    let mut order: Vec<_> =
        (0..cases.len()).flat_map(|case| (0..clients.len()).map(move |client| (case, client))).collect();
    // The longest begin first, so that the end is not spent waiting for one of them.
    order.sort_by_key(|(case, _)| std::cmp::Reverse(cases[*case].limit));
    let (queue, outcomes) = (
        Mutex::new(VecDeque::from(order)),
        Mutex::new(vec![vec![Outcome::Pass; clients.len()]; cases.len()]),
    );
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((case, client)) = next(&queue) {
                    let outcome = one(&cases[case], clients[client], patience);
                    progress(&cases[case], clients[client], &outcome);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner)[case][client] = outcome;
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn next(queue: &Mutex<VecDeque<(usize, usize)>>) -> Option<(usize, usize)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Runs one client through one case.
///
/// # Panics
/// If there are no namespaces to be had.
pub fn one(case: &Case, client: Client, patience: u32) -> Outcome {
    if let Some((_, why)) = case.not_for.iter().find(|(other, _)| *other == client) {
        return Outcome::NotApplicable(why);
    }
    let (lan, home) = (Netns::new(), Netns::new());
    connect(&lan, &home);
    let (wire, is_over, started) = (Mutex::new(Wire::default()), AtomicBool::new(false), now());
    let server = Server::new(case, &lan, started);
    let state = Folder::new();
    let verdict = thread::scope(|scope| {
        scope.spawn(|| server.serve(&wire, &is_over));
        let _end = End(&is_over);
        Watch { case, client, home: &home, wire: &wire, started, patience }.watch(state.path())
    });
    match verdict {
        Verdict::Pass | Verdict::PassIfOver => Outcome::Pass,
        Verdict::Fail(why) | Verdict::FailIfOver(why) if client == Client::Landfall => {
            Outcome::Fail(format!("{why}; its log ends with:\n{}", end_of_log(state.path())))
        }
        Verdict::Fail(why) | Verdict::FailIfOver(why) => Outcome::Fail(why),
    }
}

/// The last words of a client on its standard error.
fn end_of_log(state: &Path) -> String {
    let log = fs::read(state.join("stderr")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A wire from one to the other, whose checksums are filled in.
fn connect(lan: &Netns, home: &Netns) {
    let (name, peer) = (&*lan.name, &*home.name);
    run(&["ip", "link", "add", WIRE, "netns", name, "type", "veth", "peer", "name", UPLINK, "netns", peer]);
    for (namespace, link) in [(lan, WIRE), (home, UPLINK)] {
        namespace.sysctl(&format!("net.ipv6.conf.{link}.disable_ipv6=1"));
        namespace.run(&["ethtool", "-K", link, "tx", "off"]);
        namespace.ip(&format!("link set {link} up"));
    }
}

/// Ends the server, after a panic too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Watch<'a> {
    case: &'a Case,
    client: Client,
    home: &'a Netns,
    wire: &'a Mutex<Wire>,
    started: Instant,
    patience: u32,
}

impl Watch<'_> {
    fn watch(&self, state: &Path) -> Verdict {
        let mut running = self.client.start(self.case.settings, self.home, state);
        let (mut samples, mut leased, mut acted) = (Vec::new(), None, None);
        loop {
            samples.push(self.sample());
            let sample = samples.last().expect("it was just taken");
            let at = sample.at;
            leased = leased.or(Some(at).filter(|_| !sample.addresses.is_empty()));
            let verdict = (self.case.judge)(&Run { wire: &lock(self.wire), samples: &samples, acted });
            let limit = match verdict {
                Verdict::Pass | Verdict::Fail(_) => return verdict,
                Verdict::PassIfOver => self.case.limit,
                Verdict::FailIfOver(_) => self.case.limit * self.patience,
            };
            if at > limit {
                return verdict;
            }
            let is_settled = leased.is_some_and(|leased| at > leased + SETTLED);
            if is_settled && acted.is_none() && self.case.act != Act::Nothing {
                acted = Some(now().duration_since(self.started));
                self.act(&mut running, state);
            }
            thread::park_timeout(PAUSE);
        }
    }

    fn act(&self, running: &mut Running<'_>, state: &Path) {
        match self.case.act {
            Act::Nothing => {}
            Act::Release => running.release(state),
            Act::Kill => running.kill(),
            Act::Restart => {
                running.kill();
                self.home.ip(&format!("addr flush dev {UPLINK}"));
                running.restart(self.case.settings, state);
            }
        }
    }

    fn sample(&self) -> Sample {
        let asked = now().duration_since(self.started);
        let addresses = self.shown(&["addr", "show", "dev", UPLINK]);
        let at = now().duration_since(self.started);
        let addresses = addresses.iter().flat_map(|link| link["addr_info"].as_array().into_iter().flatten());
        let routes = self.shown(&["route", "show", "dev", UPLINK]);
        Sample {
            asked,
            at,
            addresses: addresses.filter_map(address).collect(),
            routes: routes.iter().filter_map(route).collect(),
        }
    }

    fn shown(&self, what: &[&str]) -> Vec<Value> {
        let shown = output(&[&["ip", "-n", &self.home.name, "-4", "-j"], what].concat());
        serde_json::from_slice(&shown.stdout).unwrap_or_default()
    }
}

fn address(shown: &Value) -> Option<Address> {
    let address = shown["local"].as_str()?.parse().ok()?;
    Some(Address { address, prefix: shown["prefixlen"].as_u64()?, valid: shown["valid_life_time"].as_u64()? })
}

fn route(shown: &Value) -> Option<Route> {
    Some((shown["dst"].as_str()?.to_owned(), shown["gateway"].as_str().map(str::to_owned)))
}
