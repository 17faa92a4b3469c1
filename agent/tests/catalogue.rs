//! The table of cases in `docs/dhcp.md` names the tests that there are: its first two columns are written by hand, and this
//! test compares, or writes, the third.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use snapbox::{Assert, IntoData as _, assert::DEFAULT_ACTION_ENV};

/// The lines around the table.
const BEGIN: &str = "<!-- cases -->\n| case | what | tests |\n|---|---|---|\n";
const END: &str = "<!-- end of cases -->\n";

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(entry).expect("text"));
        }
    }
}

/// The tests that are named after a case, by the case: `c_07_an_example` belongs to C-07.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut texts = Vec::new();
    for directory in ["src", "tests", "../tests/tests"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut texts);
    }
    let mut tests = BTreeMap::new();
    for rest in texts.iter().flat_map(|text| text.split("#[test]\n").skip(1)) {
        let name = rest.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).expect("a function");
        if let Some(case) = case_of(name) {
            tests.entry(case).or_insert_with(BTreeSet::new).insert(format!("`{name}`"));
        }
    }
    tests
}

fn case_of(test: &str) -> Option<String> {
    let [kind @ (b'c' | b'f' | b'h' | b'n' | b'z'), b'_', b'0'..=b'9', b'0'..=b'9', b'_', ..] =
        test.as_bytes()
    else {
        return None;
    };
    Some(format!("{}-{}", char::from(kind.to_ascii_uppercase()), &test[2..4]))
}

#[test]
fn every_case_has_a_test_and_every_test_its_case() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/dhcp.md")).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("the beginning of the table");
    let (table, tail) = rest.split_once(END).expect("the end of the table");
    let mut tests = tests();
    let mut rows = String::new();
    for row in table.lines() {
        let [_, case, what, ..] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("docs/dhcp.md has a row without two columns: {row}");
        };
        let names = tests.remove(case).unwrap_or_else(|| panic!("no test is named after {case} ({what})"));
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        writeln!(rows, "| {case} | {what} | {names} |").expect("a string grows");
    }
    assert!(tests.is_empty(), "tests of cases that have no row in docs/dhcp.md: {tests:#?}");
    let written = Assert::new().action_env(DEFAULT_ACTION_ENV).try_eq(
        None,
        [head, BEGIN, &rows, END, tail].concat().into_data(),
        snapbox::file!["../../docs/dhcp.md"].raw(),
    );
    if let Err(error) = written {
        panic!("{error}\nSNAPSHOTS=overwrite cargo test -p landfall-agent --test catalogue");
    }
}
