//! Mutants: bugs of other DHCP clients as edits of our sources, and the page that says which test fails with which.
//!
//! It decides what a source file is with a bug in it, and what the page says. It runs nothing and writes no file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// How many failed tests a row of the page names.
const MOST_NAMED: usize = 3;
const TABLE_HEAD: &str = "| mutant | bug of | caught by |\n|---|---|---|\n";

/// One bug: a file of `tests/mutants`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// The clients that have or had the bug, and the source of that claim.
    pub bug_of: String,
    /// Applied in this order.
    pub edits: Vec<Edit>,
}

/// One replacement in one file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The source file, relative to the root of the repository.
    pub file: PathBuf,
    /// Occurs exactly once in the file. Each run of whitespace equals each other one, so that a pattern survives
    /// another indentation and other line breaks.
    pub pattern: String,
    /// The text in place of the pattern.
    pub replacement: String,
}

impl Mutant {
    /// Parses a file of `tests/mutants`.
    ///
    /// # Errors
    /// If it is not YAML of this shape.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(serde_yaml::from_str(text)?)
    }

    /// Each file that the bug changes, with its new text. `read` gives the text of a file without the bug.
    ///
    /// # Errors
    /// If a file cannot be read, or if a pattern does not occur exactly once in it.
    pub fn apply(
        &self,
        read: impl Fn(&Path) -> io::Result<String>,
    ) -> anyhow::Result<BTreeMap<PathBuf, String>> {
        let mut changed = BTreeMap::new();
        for edit in &self.edits {
            let file = edit.file.display();
            let source = match changed.remove(&edit.file) {
                Some(source) => source,
                None => read(&edit.file).with_context(|| format!("read {file}"))?,
            };
            let edited = edit.apply(&source).with_context(|| format!("edit {file}"))?;
            changed.insert(edit.file.clone(), edited);
        }
        Ok(changed)
    }
}

impl Edit {
    fn apply(&self, source: &str) -> anyhow::Result<String> {
        let (text, offsets) = collapse(source);
        let (pattern, _) = collapse(self.pattern.trim());
        ensure!(!pattern.is_empty(), "the pattern is empty");
        let found: Vec<usize> = text.match_indices(&pattern).map(|(at, _)| at).collect();
        ensure!(found.len() == 1, "the pattern occurs {} times, not once: {pattern}", found.len());
        let (first, last) = (offsets[found[0]], offsets[found[0] + pattern.len() - 1]);
        Ok([&source[..first], self.replacement.trim(), &source[last + 1..]].concat())
    }
}

/// The text with one space for each run of whitespace, and the offset in `text` of each of its bytes.
fn collapse(text: &str) -> (String, Vec<usize>) {
    let mut collapsed = String::new();
    let mut offsets = Vec::new();
    for (at, character) in text.char_indices() {
        if !character.is_whitespace() {
            collapsed.push(character);
            offsets.extend(at..at + character.len_utf8());
        } else if !collapsed.ends_with(' ') {
            collapsed.push(' ');
            offsets.push(at);
        }
    }
    (collapsed, offsets)
}

/// The tests that failed or were killed by a limit, in order and without the names of their binaries, from the output
/// of `cargo nextest run --message-format libtest-json`.
pub fn failed_tests(output: &str) -> BTreeSet<String> {
    let events = output.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let failed = events.filter(|event| event["type"] == "test" && event["event"] == "failed");
    let names = failed.filter_map(|event| Some(event["name"].as_str()?.split_once('$')?.1.to_owned()));
    names.collect()
}

/// One row of the page.
pub fn row(name: &str, bug_of: &str, failed: &BTreeSet<String>) -> String {
    let named: Vec<String> = failed.iter().take(MOST_NAMED).map(|test| format!("`{test}`")).collect();
    let more = match failed.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("| {} | {bug_of} | {}{more} |", name.replace('-', " "), named.join(", "))
}

/// The page with `rows` in place of the old rows of the same mutants, and without the rows of mutants that are not among
/// `names`.
pub fn page(old: &str, names: &[String], rows: &[String]) -> String {
    let head: String = old.split_inclusive('\n').take_while(|line| !line.starts_with('|')).collect();
    let by_name: HashMap<String, &str> = old
        .lines()
        .chain(rows.iter().map(String::as_str))
        .filter_map(|row| Some((row.split('|').nth(1)?.trim().replace(' ', "-"), row)))
        .collect();
    let kept = names.iter().filter_map(|name| by_name.get(name)).map(|row| format!("{row}\n"));
    [head, TABLE_HEAD.to_owned(), kept.collect()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn f() {\n    if a {\n        b();\n    }\n    c();\n}\n";

    fn mutant(pattern: &str, replacement: &str) -> Mutant {
        let edit = Edit { file: "f.rs".into(), pattern: pattern.into(), replacement: replacement.into() };
        Mutant { bug_of: "x".into(), edits: vec![edit] }
    }

    fn applied(mutant: &Mutant) -> Result<String, String> {
        let changed = mutant.apply(|_| Ok(SOURCE.to_owned()));
        let mut changed = changed.map_err(|error| format!("{error:#}"))?;
        Ok(changed.remove(Path::new("f.rs")).expect("the file is changed"))
    }

    #[test]
    fn a_file_is_a_mutant() {
        let text = "bug_of: \"udhcpc: #1\"\nedits:\n  - file: a.rs\n    pattern: |\n      b\n    replacement: \"\"\n";

        let mutant = Mutant::parse(text).expect("a mutant");

        assert_eq!(mutant.bug_of, "udhcpc: #1");
        assert_eq!(mutant.edits[0].pattern, "b\n");
        assert!(Mutant::parse(&text.replace("bug_of", "bugs_of")).is_err());
    }

    #[test]
    fn a_pattern_matches_whatever_its_indentation_and_line_breaks() {
        for pattern in ["if a {\nb();\n}\n", "  if a {\n\n      b();\n  }", "if a { b(); }"] {
            assert_eq!(
                applied(&mutant(pattern, "b();\n")),
                Ok("fn f() {\n    b();\n    c();\n}\n".to_owned())
            );
        }
    }

    #[test]
    fn a_pattern_may_be_part_of_a_line_and_its_replacement_nothing() {
        assert_eq!(applied(&mutant("c()", "d()")), Ok(SOURCE.replace("c()", "d()")));
        assert_eq!(applied(&mutant("c();", "")), Ok(SOURCE.replace("c();", "")));
    }

    #[test]
    fn offsets_are_right_after_letters_of_several_bytes() {
        let edit = Edit { file: "f.rs".into(), pattern: "–  é".into(), replacement: "e".into() };

        assert_eq!(edit.apply("ü  – é  ß").expect("one place"), "ü  e  ß");
    }

    #[test]
    fn a_pattern_that_does_not_occur_exactly_once_is_an_error() {
        for (pattern, times) in [("d()", "0 times"), ("}", "2 times")] {
            let error = applied(&mutant(pattern, "")).expect_err("not once");
            assert!(error.starts_with("edit f.rs: ") && error.contains(times), "{error}");
        }
        assert!(applied(&mutant("\n", "d();")).is_err_and(|error| error.contains("empty")));
    }

    #[test]
    fn several_edits_of_a_file_are_applied_one_after_another() {
        let mut both = mutant("b();", "d();");
        both.edits.extend(mutant("d(); }", "d(); e(); }").edits);

        assert_eq!(applied(&both).map(|text| text.contains("d(); e(); }")), Ok(true));
    }

    #[test]
    fn failed_tests_are_named_without_their_binary() {
        let output = "\
            {\"type\":\"suite\",\"event\":\"failed\",\"passed\":1}\n\
            {\"type\":\"test\",\"event\":\"failed\",\"name\":\"p::dhcp$search::b\"}\n\
            {\"type\":\"test\",\"event\":\"ok\",\"name\":\"p::dhcp$search::c\"}\n\
            {\"type\":\"test\",\"event\":\"failed\",\"name\":\"p::dhcp$search::a\"}\n\
            not JSON\n\
            {\"type\":\"test\",\"event\":\"failed\",\"name\":\"p::p$tests::z\"}\n";

        let names = ["search::a", "search::b", "tests::z"].map(str::to_owned);
        assert_eq!(failed_tests(output), names.into());
    }

    #[test]
    fn a_row_names_three_tests_and_counts_the_others() {
        let row = |tests: &[&str]| {
            row("01-nak-obeyed", "x", &tests.iter().map(|test| (*test).to_owned()).collect())
        };

        assert_eq!(row(&["a"]), "| 01 nak obeyed | x | `a` |");
        assert_eq!(row(&["a", "b", "c", "d", "e"]), "| 01 nak obeyed | x | `a`, `b`, `c` and 2 more |");
    }

    #[test]
    fn a_page_keeps_the_rows_of_mutants_that_did_not_run() {
        let old =
            format!("# Bugs\n\n{TABLE_HEAD}| 01 a | x | `t` |\n| 02 b | x | `t` |\n| 03 gone | x | `t` |\n");
        let names = ["01-a", "02-b", "04-new"].map(str::to_owned);
        let rows = ["| 02 b | y | `u` |", "| 04 new | y | `u` |"].map(str::to_owned);

        let new = page(&old, &names, &rows);

        assert_eq!(
            new,
            format!("# Bugs\n\n{TABLE_HEAD}| 01 a | x | `t` |\n| 02 b | y | `u` |\n| 04 new | y | `u` |\n")
        );
    }
}
