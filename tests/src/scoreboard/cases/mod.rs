//! The cases.

mod lies;
mod offers;
mod wire;

use super::case::Case;

/// All of them, in the order of the table.
pub fn all() -> Vec<Case> {
    [wire::cases(), offers::cases(), lies::cases()].into_iter().flatten().collect()
}
