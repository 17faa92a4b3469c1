//! Hands rulesets to `nft`, each in one transaction.

use std::time::Duration;

use nftables::{
    helper::{NftablesError, apply_ruleset_raw_async},
    schema::Nftables,
};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;

use super::ruleset::removal;

/// Where the agent image and Debian have it; other systems find it by its name.
const IN_IMAGE: &str = "/usr/sbin/nft";

/// Ten thousand forwards take a tenth of a second; longer than this is for ever.
const LIMIT: Duration = Duration::from_secs(30);

/// Why rules could not be changed. The ones that were there before are there still.
#[derive(Debug, Error)]
pub enum NftError {
    /// The program is not there, or cannot be run.
    #[error("cannot run nft; install nftables, or use the agent image, which has it")]
    Run(#[source] Box<NftablesError>),
    /// The kernel or nft does not take the rules.
    #[error("nft refuses the rules: {0}; the kernel needs nf_tables with NAT, and the agent NET_ADMIN")]
    Refused(String),
    /// It does not come back.
    #[error("nft did not answer within {LIMIT:?}")]
    Stuck,
}

/// Puts `ruleset` into force, all of it or nothing.
///
/// # Errors
/// If nft is missing, refuses, or does not end.
pub async fn apply(ruleset: Nftables<'static>) -> Result<(), NftError> {
    nft(&with_counters(&ruleset)).await
}

/// Removes our table.
///
/// # Errors
/// As for `apply`, and if there is no such table.
pub async fn remove() -> Result<(), NftError> {
    nft(&json!(removal())).await
}

/// A counter on every element of every set: nft reads it from the set, but the schema has no place for it there, and
/// a counter spelt out for each element takes nft four times as long.
fn with_counters(ruleset: &Nftables<'_>) -> Value {
    let mut value = json!(ruleset);
    let objects = value["nftables"].as_array_mut().into_iter().flatten();
    for set in objects.filter_map(|object| object.pointer_mut("/add/set")) {
        set["stmt"] = json!([{ "counter": null }]);
    }
    value
}

async fn nft(payload: &Value) -> Result<(), NftError> {
    let program = if std::path::Path::new(IN_IMAGE).exists() {
        IN_IMAGE
    } else {
        "nft"
    };
    let payload = payload.to_string();
    let transaction = apply_ruleset_raw_async(&payload, Some(program), [] as [&str; 0]);
    match timeout(LIMIT, transaction).await {
        Err(_) => Err(NftError::Stuck),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(NftablesError::NftFailed { stderr, .. })) => Err(NftError::Refused(first_line(&stderr))),
        Ok(Err(error)) => Err(NftError::Run(Box::new(error))),
    }
}

fn first_line(stderr: &str) -> String {
    stderr
        .lines()
        .next()
        .unwrap_or("it does not say why")
        .chars()
        .take(200)
        .collect()
}
