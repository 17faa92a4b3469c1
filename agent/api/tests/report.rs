//! The reports as another program sees them: the golden lines of `docs/report.md`.

use landfall_api::{Event, Report};

/// One line for each event; a change here is a change of the contract.
const GOLDEN: &str = include_str!("reports.jsonl");

#[test]
fn each_golden_line_is_read_and_written_the_same() {
    for line in GOLDEN.lines() {
        let report = Report::from_line(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(report.to_line(), line);
    }
}

#[test]
fn an_event_of_a_later_version_is_unknown_and_not_an_error() {
    let line = r#"{"time":"2026-11-23T12:00:00Z","event":"teleported","to":"mars"}"#;
    assert_eq!(Report::from_line(line).expect("a report").event, Event::Unknown);
}

#[test]
fn what_is_no_report_is_refused() {
    for line in
        ["", "{", "null", "[]", r#"{"event":"started"}"#, r#"{"time":"now","event":"started","version":"1"}"#]
    {
        assert!(Report::from_line(line).is_err(), "{line:?} was accepted");
    }
}
