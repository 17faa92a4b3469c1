//! Hands rulesets to `nft`, each in one transaction.
//!
//! Starts the program itself, because `nftables::helper` leaves nft's words on our standard error.

use std::{
    io::{self, ErrorKind::NotFound},
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use nftables::schema::Nftables;
use thiserror::Error;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use super::{json::to_json, ruleset::removal};

/// Where the agent image and Debian have it; elsewhere it is searched for in PATH, which the image does not set.
const PROGRAM: &str = "/usr/sbin/nft";

/// Ten thousand forwards take a tenth of a second; longer than this is for ever.
const LIMIT: Duration = Duration::from_secs(30);

/// As much as is repeated of what nft says, in characters.
const WORDS: usize = 200;

/// Why rules could not be changed. Those that were in force still are.
#[derive(Debug, Error)]
pub enum NftError {
    /// The program is not there.
    #[error(
        "there is no nft, neither {PROGRAM} nor in PATH; install nftables, or use the agent image, which has it"
    )]
    Missing,
    /// It cannot be run.
    #[error("cannot run nft")]
    Run(#[source] io::Error),
    /// It, or the kernel, does not take the rules. Holds what it said.
    #[error("nft refuses the rules: {0}; it needs a kernel with nf_tables and NAT, and CAP_NET_ADMIN")]
    Refused(String),
    /// It does not come back.
    #[error("nft did not end within {LIMIT:?}")]
    Stuck,
}

/// Puts `ruleset` into force, all of it or nothing. Dropping the future ends nft, with either outcome.
///
/// # Errors
/// If nft is missing, refuses, or does not end.
pub async fn apply(ruleset: Nftables<'static>) -> Result<(), NftError> {
    let payload = to_json(&ruleset).to_string();
    drop(ruleset);
    let output = timeout(LIMIT, nft(payload)).await.map_err(|_| NftError::Stuck)??;
    if output.status.success() { Ok(()) } else { Err(NftError::Refused(words(&output))) }
}

/// Removes our table, if there is one.
///
/// # Errors
/// As for `apply`.
pub async fn remove() -> Result<(), NftError> {
    apply(removal().to_nftables()).await
}

async fn nft(payload: String) -> Result<Output, NftError> {
    let program = if Path::new(PROGRAM).exists() { PROGRAM } else { "nft" };
    let mut child = Command::new(program)
        .args(["-j", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| if error.kind() == NotFound { NftError::Missing } else { NftError::Run(error) })?;
    let mut stdin = child.stdin.take().expect("it was piped a line above");
    let write = async move { stdin.write_all(payload.as_bytes()).await };
    let (written, output) = tokio::join!(write, child.wait_with_output());
    let output = output.map_err(NftError::Run)?;
    // One that ends before it has read everything says itself why.
    if output.status.success() {
        written.map_err(NftError::Run)?;
    }
    Ok(output)
}

/// The first line of what nft said, without its place in a text that nobody sees.
fn words(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    match stderr.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => line.chars().filter(|c| !c.is_control()).take(WORDS).collect(),
        None => format!("it ended with {} and said nothing", output.status),
    }
}
