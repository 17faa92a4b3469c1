//! The ruleset as nft reads it.

use nftables::schema::Nftables;
use serde_json::{Value, json};

/// Writes the transaction, with a counter on every element of the sets of forwards: nft reads that from the set, where the schema
/// has no place for it, and a counter spelt out for each element takes nft four times as long.
pub(super) fn to_json(ruleset: &Nftables<'_>) -> Value {
    let mut value = json!(ruleset);
    let objects = value["nftables"].as_array_mut().into_iter().flatten();
    let sets = objects.filter_map(|object| object.pointer_mut("/add/set"));
    for set in sets.filter(|set| set["name"].as_str().is_some_and(|name| name.ends_with("_forward"))) {
        set["stmt"] = json!([{ "counter": null }]);
    }
    value
}
