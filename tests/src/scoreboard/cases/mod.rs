//! The cases.

mod accepts;
mod answers;
mod conflicts;
mod leave;
mod lies;
mod offers;
mod renew;
mod routes;
mod times;
mod wire;

use super::case::Case;

/// All of them, in the order of the table.
pub fn all() -> Vec<Case> {
    let groups = [
        wire::cases(),
        offers::cases(),
        lies::cases(),
        accepts::cases(),
        answers::cases(),
        times::cases(),
        renew::cases(),
        conflicts::cases(),
        leave::cases(),
        routes::cases(),
    ];
    groups.into_iter().flatten().collect()
}
