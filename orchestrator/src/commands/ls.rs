//! `landfall ls`: what is exposed, and how it is.

use comfy_table::{ContentArrangement, Table, presets};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::{inspect::reached, print, print_json};
use crate::{
    cli::Format,
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
    let docker = &docker;
    let views = stream::iter(docker.labelled(TARGET).await?).map(|name| view(docker, name));
    let views: Vec<Option<View>> = views.buffered(AT_ONCE).try_collect().await?;
    let views: Vec<View> = views.into_iter().flatten().collect();
    match format {
        Format::Json => print_json(&views),
        Format::Text if views.is_empty() => {
            print("no container has an address; give one to it: landfall up CONTAINER INTERFACE\n")
        }
        Format::Text => print(&table(&views)),
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

fn table(views: &[View]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(HEADER);
    for view in views {
        table.add_row(row(view));
    }
    table.trim_fmt() + "\n"
}

fn row(view: &View) -> [String; 8] {
    let lease = view.lease.map(|lease| lease.remaining.map_or("for ever".to_owned(), remaining));
    let forwards: Vec<String> = view.forwards.iter().map(ToString::to_string).collect();
    [
        printable(&view.target),
        printable(&view.container),
        printable(&view.interface),
        printable(&view.path),
        view.address.map_or("-".to_owned(), |address| address.to_string()),
        view.state.as_str().to_owned(),
        lease.unwrap_or("-".into()),
        forwards.join(", "),
    ]
}

fn remaining(seconds: i64) -> String {
    format!("{:#}", SignedDuration::from_secs(seconds))
}

/// A label may hold anything.
fn printable(text: &str) -> String {
    text.escape_debug().to_string()
}
