//! `landfall ls`: what is exposed, and how it is.

use comfy_table::{ContentArrangement, presets};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tracing::{debug, warn};

use super::{inspect::reached, print, print_json};
use crate::{
    cli::Format,
    counters::{LIST, Table},
    docker::Docker,
    error::Error,
    network_container::{TARGET, state},
    view::View,
};

/// How many are asked at once.
const AT_ONCE: usize = 16;

const HEADER: [&str; 8] =
    ["TARGET", "CONTAINER", "INTERFACE", "PATH", "ADDRESS", "STATE", "LEASE", "FORWARDS"];

/// Lists all network containers.
///
/// # Errors
/// If Docker does not answer.
pub async fn ls(format: Format, host: Option<&str>) -> Result<(), Error> {
    let docker = Docker::connect(host).await?;
    let mut views = views(&docker).await?;
    match format {
        Format::Json => {
            count(&docker, &mut views).await;
            print_json(&views)
        }
        Format::Text if views.is_empty() => {
            print("no container has an address; give one to it: landfall up CONTAINER INTERFACE\n")
        }
        Format::Text => print(&table(HEADER, views.iter().map(row))),
    }
}

/// The views of all network containers.
pub(super) async fn views(docker: &Docker) -> Result<Vec<View>, Error> {
    let views = stream::iter(docker.labelled(TARGET).await?).map(|name| view(docker, name));
    let views: Vec<Option<View>> = views.buffered(AT_ONCE).try_collect().await?;
    Ok(views.into_iter().flatten().collect())
}

/// Finds out what has passed their forwards. It stays unknown of agents that have ended, or have no rules yet, and where packets
/// meet no rule on their way.
pub(super) async fn count(docker: &Docker, views: &mut [View]) {
    let of_those_there =
        views.iter_mut().filter(|view| view.addresses().next().is_some() && view.path != "direct");
    let counting = stream::iter(of_those_there).map(|view| async move {
        let error = match table_of(docker, &view.container).await {
            Ok(table) => return view.count(&table),
            Err(error) => error,
        };
        let now = docker.container(&view.container).await;
        if now.is_ok_and(|now| !now.is_some_and(|now| now.is_running())) {
            debug!(%error, container = view.container, "it has ended meanwhile");
        } else {
            warn!(%error, "not known what has passed the forwards of {}", printable(&view.target));
        }
    });
    counting.buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn table_of(docker: &Docker, container: &str) -> Result<Table, Error> {
    match docker.output(container, &LIST).await? {
        Some(listed) => Table::read(&listed).map_err(|error| Error::Io("read nft's list", error.into())),
        None => Ok(Table::default()),
    }
}

/// The view of one network container, if it is still there.
#[expect(clippy::disallowed_methods, reason = "how long a lease lasts depends on the time of day")]
async fn view(docker: &Docker, name: String) -> Result<Option<View>, Error> {
    let Some(container) = docker.container(&name).await? else { return Ok(None) };
    let agent = state(docker, &container).await?;
    let target = reached(docker, &container).await?;
    Ok(Some(View::new(&container, &agent, target, Timestamp::now())))
}

/// A table without lines, as wide as it has to be.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table.add_rows(rows);
    table.trim_fmt() + "\n"
}

fn row(view: &View) -> [String; 8] {
    let lease = view.lease.map(|lease| lease.remaining.map_or("for ever".to_owned(), remaining));
    let forwards: Vec<String> = view.forwards.iter().map(|view| view.forward.to_string()).collect();
    [
        printable(&view.target),
        printable(&view.container),
        printable(&view.interface),
        printable(&view.path),
        addresses(view),
        view.state.as_str().to_owned(),
        lease.unwrap_or("-".into()),
        forwards.join(", "),
    ]
}

/// All of them in one cell.
pub(super) fn addresses(view: &View) -> String {
    let addresses: Vec<String> = view.addresses().map(|address| address.to_string()).collect();
    if addresses.is_empty() { "-".to_owned() } else { addresses.join(", ") }
}

fn remaining(seconds: i64) -> String {
    format!("{:#}", SignedDuration::from_secs(seconds))
}

/// A label may hold anything.
pub(super) fn printable(text: &str) -> String {
    text.escape_debug().to_string()
}
