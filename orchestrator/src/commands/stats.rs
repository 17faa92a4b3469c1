//! `landfall stats`: what has passed each forward, once or again and again.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use landfall_api::Forward;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    inspect::find,
    ls::{addresses, count, printable, table, views},
    print, print_json, print_on,
};
use crate::{
    cli::{Format, StatsArgs},
    counters::Counters,
    docker::{Container, Docker},
    error::Error,
    network_container,
    view::View,
};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);

/// What puts a terminal's cursor into the corner, and clears what is there.
const CLEAR: &str = "\x1b[H\x1b[J";

const HEADER: [&str; 6] = ["TARGET", "ADDRESS", "FORWARD", "CONNECTIONS", "PACKETS", "BYTES"];
const WATCHED: [&str; 9] =
    ["TARGET", "ADDRESS", "FORWARD", "CONNECTIONS", "PACKETS", "BYTES", "CONN/S", "PACKETS/S", "MBIT/S"];

/// Shows the counters of the targets that are asked for, or of all.
///
/// # Errors
/// If a target has no address, or Docker does not answer.
pub async fn stats(args: &StatsArgs, host: Option<&str>) -> Result<(), Error> {
    let docker = Docker::connect(host).await?;
    let names = names(&docker, &args.targets).await?;
    if !args.watch {
        let views = counted(&docker, &names).await?;
        return match args.format {
            Format::Json => print_json(&views),
            Format::Text => print(&table(HEADER, rows(&views).map(|row| row.cells()))),
        };
    }
    let mut pace = interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<(Instant, Vec<View>)> = None;
    loop {
        let at = pace.tick().await;
        let views = counted(&docker, &names).await?;
        let text = match args.format {
            Format::Json => {
                let json = serde_json::to_string(&views).map_err(io::Error::from);
                json.map_err(|error| Error::Io("write JSON", error))? + "\n"
            }
            Format::Text => {
                let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
                let then = before.as_ref().map(|(then, views)| (at.duration_since(*then), &**views));
                clear.to_owned() + &table(WATCHED, rows(&views).map(|row| row.watched(then)))
            }
        };
        if print_on(&text)?.is_break() {
            return Ok(());
        }
        before = Some((at, views));
    }
}

/// The names of the targets that were typed, each of which has an address, or will have one again.
async fn names(docker: &Docker, typed: &[String]) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for typed in typed {
        names.push(find(docker, typed).await.map(|container| target_of(&container))?);
    }
    Ok(names)
}

fn target_of(container: &Container) -> String {
    network_container::target(container).unwrap_or_default().to_owned()
}

/// The views of these targets, or of all, with their counters.
async fn counted(docker: &Docker, names: &[String]) -> Result<Vec<View>, Error> {
    let mut views = views(docker).await?;
    views.retain(|view| names.is_empty() || names.contains(&view.target));
    count(docker, &mut views).await;
    Ok(views)
}

/// One forward of one target.
struct Row<'a> {
    view: &'a View,
    forward: &'a Forward,
    counters: Option<Counters>,
}

fn rows(views: &[View]) -> impl Iterator<Item = Row<'_>> {
    views.iter().flat_map(|view| {
        view.forwards.iter().map(move |of| Row { view, forward: &of.forward, counters: of.counters })
    })
}

impl Row<'_> {
    /// What the table says in any case.
    fn cells(&self) -> [String; 6] {
        let number = |number: fn(&Counters) -> u64| {
            self.counters.as_ref().map_or_else(|| "-".to_owned(), |counters| number(counters).to_string())
        };
        [
            printable(&self.view.target),
            addresses(self.view),
            self.forward.to_string(),
            number(|counters| counters.connections),
            number(|counters| counters.packets),
            number(|counters| counters.bytes),
        ]
    }

    /// The same, and what has passed in a second since those were the views.
    fn watched(&self, before: Option<(Duration, &[View])>) -> [String; 9] {
        let [target, address, forward, connections, packets, bytes] = self.cells();
        let before = before.and_then(|(time, views)| Some((time, self.same_of(views)?)));
        let [begun, passed, mbits] = self.rates(before);
        [target, address, forward, connections, packets, bytes, begun, passed, mbits]
    }

    /// The same forward's counters among `views`.
    fn same_of(&self, views: &[View]) -> Option<Counters> {
        let view = views.iter().find(|view| view.target == self.view.target)?;
        view.forwards.iter().find(|of| of.forward == *self.forward)?.counters
    }

    /// What has passed in a second, since there were `before`. Counters that are less than they were began anew.
    fn rates(&self, before: Option<(Duration, Counters)>) -> [String; 3] {
        let (Some((time, before)), Some(now)) = (before, self.counters) else {
            return [(); 3].map(|()| "-".to_owned());
        };
        let per_second = |now: u64, before: u64, unit: f64| {
            let passed = now.checked_sub(before).unwrap_or(now);
            #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
            let rate = passed as f64 / time.as_secs_f64() / unit;
            format!("{rate:.1}")
        };
        [
            per_second(now.connections, before.connections, 1.0),
            per_second(now.packets, before.packets, 1.0),
            per_second(now.bytes, before.bytes, 125_000.0),
        ]
    }
}
