//! Agents that are none: whatever comes over the pipe is named, counted, bounded, and taken back.

use landfall_tests::{
    docker::{Target, load},
    lan::Lan,
    removal::{Folder, Removal},
    run::{path, run, unique},
};

/// An image whose only program does one thing wrong.
struct Misbehaving {
    tag: String,
    _removal: Removal,
}

impl Misbehaving {
    fn new(behaviour: &str) -> Self {
        let directory = Folder::new();
        let file = |name: &str| directory.path().join(name).display().to_string();
        let (archive, tag) = (file("image.tar.gz"), format!("lft-{}:1", unique()));
        let (packer, program) = (path("LANDFALL_IMAGES"), path("LANDFALL_MISBEHAVE"));
        let [packer, program] = [&packer, &program].map(|path| path.to_str().expect("a plain path"));
        run(&[packer, "test", "--program", program, "--tag", &tag, "--out", &archive, "--", behaviour]);
        let removal = Removal::by(&["docker", "rmi", "--force", &tag]);
        load(&archive);
        Self { tag, _removal: removal }
    }
}

/// Exposes a target with an agent that misbehaves, of which landfall is to say these words.
fn expect(behaviour: &str, code: i32, words: &[&str]) {
    let image = Misbehaving::new(behaviour);
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    target.up_in_vain(&interface, &["--image", &image.tag], code, words);
    assert!(!target.is_exposed(), "a network container is left");
}

#[test]
fn one_that_ends_at_once_has_last_words() {
    expect("exit", 1, &["ended with exit code 7", "  | out of cheese\\u{1b}[2J"]);
}

#[test]
fn garbage_is_counted() {
    expect("garbage", 3, &["2000 lines that are no reports"]);
}

#[test]
fn half_a_line_says_nothing() {
    expect("half", 3, &["the agent has said nothing"]);
}

#[test]
fn megabytes_without_an_end_of_line_say_nothing() {
    expect("megabytes", 3, &["the agent has said nothing"]);
}

#[test]
fn one_that_is_silent_is_not_waited_for_for_ever() {
    expect("silence", 3, &["the agent has said nothing"]);
}
