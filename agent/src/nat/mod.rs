//! Network address translation: forwards become one nftables table.

mod nft;
mod ruleset;
mod terms;

pub use nft::{NftError, apply, remove};
pub use ruleset::ruleset;
