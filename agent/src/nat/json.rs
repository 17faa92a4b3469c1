//! The ruleset as nft reads it.

use nftables::schema::Nftables;
use serde_json::{Value, json};

/// Writes the transaction, with counters where the schema has no place for them: on every element of the sets of forwards, which nft
/// reads from the set, since one spelt out for each element takes it four times as long; and on what a rule puts into a set.
pub(super) fn to_json(ruleset: &Nftables<'_>) -> Value {
    let mut value = json!(ruleset);
    let counter = || json!([{ "counter": null }]);
    for object in value["nftables"].as_array_mut().into_iter().flatten() {
        if let Some(set) = object.pointer_mut("/add/set") {
            if set["name"].as_str().is_some_and(|name| name.ends_with("_forward")) {
                set["stmt"] = counter();
            }
        } else if let Some(Value::Array(statements)) = object.pointer_mut("/add/rule/expr") {
            for statement in statements.iter_mut().filter_map(|statement| statement.get_mut("set")) {
                statement["stmt"] = counter();
            }
        }
    }
    value
}
