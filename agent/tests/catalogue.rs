//! The table of cases in `docs/dhcp.md` and the tests that there are say the same.

use std::{collections::BTreeSet, fs, path::Path};

/// How many cases of each kind there are.
const CASES: [(char, usize); 5] = [('C', 32), ('F', 25), ('H', 15), ('N', 10), ('Z', 4)];

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(entry).expect("text"));
        }
    }
}

/// The names of the tests that are named after a case.
fn tests() -> BTreeSet<String> {
    let mut texts = Vec::new();
    for directory in ["src", "tests", "../tests/tests"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut texts);
    }
    let names = texts.iter().flat_map(|text| text.split("#[test]\n").skip(1)).filter_map(|rest| {
        let name = rest.split("fn ").nth(1)?.split('(').next()?;
        is_of_case(name).then(|| name.to_owned())
    });
    names.collect()
}

/// Whether it begins like `c_07_`.
fn is_of_case(name: &str) -> bool {
    let [kind, b'_', tens, ones, b'_', ..] = name.as_bytes() else { return false };
    b"cfhnz".contains(kind) && tens.is_ascii_digit() && ones.is_ascii_digit()
}

#[test]
fn every_case_has_a_test_and_every_test_its_case() {
    let documentation = include_str!("../../docs/dhcp.md");
    let rows: Vec<&str> = documentation.lines().filter(|line| line.starts_with("| ")).collect();
    let mut shown = BTreeSet::new();
    for (kind, count) in CASES {
        for number in 1..=count {
            let begin = format!("| {kind}-{number:02} |");
            let row = rows.iter().find(|row| row.starts_with(&begin));
            let row = row.unwrap_or_else(|| panic!("docs/dhcp.md has no row for {kind}-{number:02}"));
            let named: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
            assert!(!named.is_empty() || row.contains("scoreboard.md"), "no test in the row: {row}");
            shown.extend(named.into_iter().map(str::to_owned));
        }
    }
    let tests = tests();
    let missing: Vec<_> = tests.difference(&shown).collect();
    assert!(missing.is_empty(), "tests without a row in docs/dhcp.md: {missing:#?}");
    let gone: Vec<_> = shown.difference(&tests).collect();
    assert!(gone.is_empty(), "docs/dhcp.md names tests that are not there: {gone:#?}");
}
