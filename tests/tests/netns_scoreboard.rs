//! The scoreboard's cases, asked of the agent alone.

use landfall_tests::scoreboard::{
    cases,
    client::Client,
    run::{Outcome, all},
};

/// The agent mostly waits.
const AT_ONCE: usize = 16;

/// What has to happen may be late beside other tests; only a client that breaks a rule is waited for so long.
const PATIENCE: u32 = 4;

#[test]
fn z_04_the_agent_keeps_every_rule_of_the_scoreboard() {
    let cases = cases::all();
    let outcomes = all(&cases, &[Client::Landfall], AT_ONCE, PATIENCE, |_, _, _| {});
    let broken: Vec<_> = cases
        .iter()
        .zip(&outcomes)
        .filter_map(|(case, row)| match &row[0] {
            Outcome::Pass | Outcome::NotApplicable(_) => None,
            Outcome::Fail(why) => Some(format!("{} ({}): {why}", case.id, case.line)),
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
