//! Network address translation: forwards become one nftables table, changed in one transaction.
//!
//! `ruleset`, `forwarding`, `access`, `outgoing`, `shared` and `change` decide, `nft` and `connections` act; `ports`, `terms` and `json` are the language between them.

mod access;
mod change;
mod connections;
mod forwarding;
mod json;
mod nft;
mod outgoing;
mod ports;
mod ruleset;
mod shared;
mod terms;
#[cfg(test)]
mod tests;

pub use change::InForce;
pub use connections::end_stale;
pub use nft::{NftError, apply, remove};
pub use ruleset::ruleset;
pub use shared::shared;
