//! The practice LAN, from nothing to a page and back to nothing.

use landfall_tests::{
    docker::Target,
    landfall::landfall,
    removal::Removal,
    run::{output, path, run, unique},
};

/// Takes a practice LAN down in the end.
fn lab_down(name: &str) -> Removal {
    Removal::by(&[path("LANDFALL").to_str().expect("a plain path"), "lab", "down", "--name", name])
}

#[test]
fn a_page_is_fetched_on_the_practice_lan() {
    // Given a practice LAN and a target
    let name = unique();
    let target = Target::web();
    let interface = format!("lf-{name}");
    let _lab = lab_down(&name);
    assert!(landfall(&["lab", "up", "--name", &name]).done().contains(&interface));
    // When it is exposed there
    let address = target.expose(&interface, &[]);
    let page = landfall(&[
        "lab",
        "exec",
        "--name",
        &name,
        "--",
        "curl",
        "-s",
        "-m",
        "5",
        &format!("http://{address}/"),
    ]);
    // Then a machine there sees its page
    assert!(page.done().contains("hello from"));
    // And once all is taken down, nothing is left
    target.down();
    landfall(&["lab", "down", "--name", &name]).done();
    assert!(!run(&["ip", "netns"]).contains(&format!("landfall-{name}")));
    assert!(!output(&["ip", "link", "show", &interface]).status.success());
    assert!(landfall(&["lab", "down", "--name", &name]).code == Some(0), "it is not safe to repeat");
}

#[test]
fn a_command_on_a_practice_lan_keeps_its_exit_code() {
    let name = unique();
    let _lab = lab_down(&name);
    landfall(&["lab", "up", "--name", &name]).done();
    let ran = landfall(&["lab", "exec", "--name", &name, "--", "sh", "-c", "exit 42"]);
    assert_eq!(ran.code, Some(42));
}
