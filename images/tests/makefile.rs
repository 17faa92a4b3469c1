//! What `make push` would run, as `make --dry-run` prints it: nothing is built, and nothing is sent.

use std::process::Command;

fn dry_run(variables: &[&str]) -> String {
    let mut make = Command::new("make");
    make.args(["--dry-run", "-C", concat!(env!("CARGO_MANIFEST_DIR"), "/.."), "push"]).args(variables);
    // This test is itself run by make.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let output = make.output().expect("make is there");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("the Makefile is UTF-8")
}

fn verifies_tls(registry: &str) -> bool {
    let printed = dry_run(&[&format!("REGISTRY={registry}")]);
    let (yes, no) = (printed.contains("--dest-tls-verify=true"), printed.contains("--dest-tls-verify=false"));
    assert_ne!(yes, no, "{printed}");
    yes
}

#[test]
fn a_registry_on_loopback_needs_no_tls() {
    for registry in ["localhost/a", "localhost:5000/a", "127.0.0.1:5000/a/b", "127.1.2.3/a", "[::1]:5000/a"] {
        assert!(!verifies_tls(registry), "{registry}");
    }
}

#[test]
fn a_registry_whose_name_only_begins_like_loopback_does() {
    for registry in [
        "localhost.example.org/a",
        "localhost.example.org:5000/a",
        "localhostile/a",
        "127.example.org/a",
        "127.0.0.1.example.org:443/a",
        "[::1].example.org/a",
        "registry.example/localhost/a",
    ] {
        assert!(verifies_tls(registry), "{registry}");
    }
}

#[test]
fn where_the_image_comes_from_is_one_word_for_the_shell_each() {
    let printed =
        dry_run(&["REGISTRY=localhost/a", "REVISION=of a hand", "SOURCE=https://example.org/it's a;b"]);

    assert!(
        printed.contains(r"--revision 'of a hand' --source 'https://example.org/it'\''s a;b'"),
        "{printed}"
    );
}
