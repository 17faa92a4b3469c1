//! Runs every client through every case and writes docs/scoreboard.md. Words select cases and clients by name; then the
//! outcomes are only printed.
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

use std::{env, fs, path::Path};

use landfall_tests::scoreboard::{
    cases,
    client::{ALL, Client},
    run::{Outcome, all},
    table::page,
};

/// Runs mostly wait.
const AT_ONCE: usize = 12;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let wanted = |name: &str| words.iter().any(|word| word == name);
    let mut clients: Vec<Client> = ALL.into_iter().filter(|client| wanted(&client.to_string())).collect();
    if clients.is_empty() {
        clients = ALL.to_vec();
    }
    let mut cases = cases::all();
    if cases.iter().any(|case| wanted(case.id)) {
        cases.retain(|case| wanted(case.id));
    }
    let outcomes = all(&cases, &clients, AT_ONCE, 1, |case, client, outcome| match outcome {
        Outcome::Pass => println!("pass  {client:14} {}", case.id),
        Outcome::Fail(why) => println!("FAIL  {client:14} {}: {why}", case.id),
        Outcome::NotApplicable(why) => println!("n/a   {client:14} {}: {why}", case.id),
    });
    let versions: Vec<String> = clients.iter().map(|client| client.version()).collect();
    let page = page(&cases, &clients, &versions, &outcomes);
    if words.is_empty() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scoreboard.md");
        fs::write(file, page).expect("docs can be written");
    } else {
        println!("{page}");
    }
}
