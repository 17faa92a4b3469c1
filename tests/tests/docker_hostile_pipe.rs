//! Agents that are none: whatever comes over the pipe is named, counted, bounded, and taken back.

use landfall_tests::{
    docker::{Target, load},
    lan::Lan,
    landfall::{Ran, in_vain},
    run::{output, path, run, unique},
};

/// An image whose only program does one thing wrong.
struct Misbehaving {
    tag: String,
}

impl Misbehaving {
    fn new(behaviour: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| directory.path().join(name).display().to_string();
        let (archive, tag) = (file("image.tar.gz"), format!("lft-{}:1", unique()));
        let (packer, program) = (path("LANDFALL_IMAGES"), path("LANDFALL_MISBEHAVE"));
        let [packer, program] = [&packer, &program].map(|path| path.to_str().expect("a plain path"));
        run(&[packer, "test", "--program", program, "--tag", &tag, "--out", &archive, "--", behaviour]);
        load(&archive);
        Self { tag }
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        output(&["docker", "rmi", "--force", &self.tag]);
    }
}

/// Exposes a target with an agent that misbehaves; gives what landfall says.
fn said(behaviour: &str, code: i32) -> String {
    let image = Misbehaving::new(behaviour);
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let ran: Ran = target.up(&interface, &["--image", &image.tag, "--wait", &in_vain()]);
    assert!(!target.is_exposed(), "a network container is left");
    ran.failed(code)
}

#[test]
fn one_that_ends_at_once_has_last_words() {
    let said = said("exit", 1);
    assert!(said.contains("ended with exit code 7"), "{said}");
    assert!(said.contains("  | out of cheese\\u{1b}[2J"), "{said}");
}

#[test]
fn garbage_is_counted() {
    let said = said("garbage", 3);
    assert!(said.contains("2000 lines that are no reports"), "{said}");
}

#[test]
fn half_a_line_says_nothing() {
    assert!(said("half", 3).contains("the agent has said nothing"));
}

#[test]
fn megabytes_without_an_end_of_line_say_nothing() {
    assert!(said("megabytes", 3).contains("the agent has said nothing"));
}

#[test]
fn one_that_is_silent_is_not_waited_for_for_ever() {
    assert!(said("silence", 3).contains("the agent has said nothing"));
}
