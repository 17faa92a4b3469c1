//! What `agent/fuzz` feeds the agent: the corpora that it found are replayed here, in every run of the tests (Z-01, Z-03).

#[expect(dead_code, reason = "the workbench is made for the tests of the client")]
#[path = "../dhcp/bench.rs"]
mod bench;
mod bodies;
mod events;
#[expect(dead_code, reason = "no agent is restarted here")]
#[path = "../dhcp/watch.rs"]
mod watch;

use std::{fs, path::Path, time::Duration};

use nix::time::ClockId;

/// More of the processor's time than any input may take; an optimised build is held to what Z-01 promises.
const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 1 });

/// How often an input may be slow before it is to blame, and not the machine.
const TRIES: usize = 5;

/// Replays a corpus.
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in fs::read_dir(&folder).expect("a corpus") {
        let file = file.expect("a file of the corpus").path();
        let input = fs::read(&file).expect("an input");
        let fastest = (0..TRIES).map(|_| time(body, &input)).find(|took| *took <= LONGEST);
        assert!(fastest.is_some(), "{} takes longer than {LONGEST:?}", file.display());
        count += 1;
    }
    assert!(count > 10, "only {count} inputs in {}", folder.display());
}

/// What the processor spends on it, whatever else it does meanwhile.
fn time(body: fn(&[u8]), input: &[u8]) -> Duration {
    let spent = || Duration::from(ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("Linux has that clock"));
    let begin = spent();
    body(input);
    spent().saturating_sub(begin)
}

#[test]
fn z_01_the_corpus_of_frames_is_read_in_time() {
    replay("frame", bodies::frame);
}

#[test]
fn z_03_the_corpus_of_events_keeps_the_invariants_in_time() {
    replay("events", events::events);
}

#[test]
fn z_01_the_corpus_of_specs_is_read_in_time() {
    replay("spec", bodies::spec);
}

#[test]
fn z_01_the_corpus_of_reports_is_read_in_time() {
    replay("report", bodies::report);
}
