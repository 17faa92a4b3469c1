//! Network address translation: forwards become one nftables table, replaced in one transaction.
//!
//! `ruleset`, `forwarding`, `access`, `outgoing` and `shared` decide, `nft` and `connections` act; `ports`, `terms` and `json` are the language between them.

mod access;
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

pub use connections::end_stale;
pub use nft::{NftError, apply, remove};
pub use ruleset::ruleset;
pub use shared::shared;
