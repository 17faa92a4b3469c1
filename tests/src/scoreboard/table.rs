//! The outcomes, as a page.

use std::fmt::Write as _;

use super::{case::Case, client::Client, run::Outcome};

/// What stands above the tables.
const HEADER: &str = include_str!("header.md");

/// The page.
///
/// # Panics
/// Never: a string takes what is written to it.
pub fn page(cases: &[Case], clients: &[Client], versions: &[String], outcomes: &[Vec<Outcome>]) -> String {
    let mut page = HEADER.replace("{cases}", &cases.len().to_string());
    page.push_str("| client | pass | fail | not applicable |\n|---|---|---|---|\n");
    for (column, (client, version)) in clients.iter().zip(versions).enumerate() {
        let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|row| wanted(&row[column])).count();
        let pass = count(|outcome| *outcome == Outcome::Pass);
        let fail = count(|outcome| matches!(outcome, Outcome::Fail(_)));
        let rest = outcomes.len() - pass - fail;
        writeln!(page, "| {client} {version} | {pass} | {fail} | {rest} |").expect("a string grows");
    }
    page.push_str("\n## Cases\n| case | what a client is to do | rule |");
    for client in clients {
        write!(page, " {client} |").expect("a string grows");
    }
    writeln!(page, "\n|---|---|---|{}", "---|".repeat(clients.len())).expect("a string grows");
    for (case, row) in cases.iter().zip(outcomes) {
        write!(page, "| {} | {} | {} |", case.id, case.line, case.rule).expect("a string grows");
        for outcome in row {
            write!(page, " {} |", cell(outcome)).expect("a string grows");
        }
        page.push('\n');
    }
    page
}

fn cell(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Pass => "pass".into(),
        Outcome::Fail(why) => format!("**fail**: {why}"),
        Outcome::NotApplicable(why) => format!("n/a: {why}"),
    }
}
