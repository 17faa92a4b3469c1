//! The agent image: what is in it, and that it is loaded.

use std::fs;

use landfall_tests::{
    docker::Target,
    lan::Lan,
    landfall::landfall,
    run::{output, path, run},
};

#[test]
fn the_image_is_loaded_where_it_is_not() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    landfall(&["up", "-q", &target.name, &interface]).done();
    let image = landfall_tests::docker::inspect(&target.network_container(), "{{.Image}}");
    // It is called by its configuration, or by its manifest
    let packed = path("LANDFALL_TEST_IMAGES").join("../image/landfall-agent");
    let ids = ["id", "manifest"]
        .map(|extension| fs::read_to_string(packed.with_extension(extension)).expect("make build"));
    assert!(ids.iter().any(|id| id.trim() == image), "{image} is not one of {ids:?}");
}

#[test]
fn the_image_is_loaded_only_once() {
    let mut lan = Lan::new();
    let (first, second, interface) = (Target::web(), Target::web(), lan.host_port());
    landfall(&["up", &first.name, &interface]).done();
    let up = landfall(&["up", &second.name, &interface]);
    assert!(!up.stderr.contains("loading the agent image"), "{}", up.stderr);
    up.done();
}

#[test]
fn there_is_no_shell_and_nft_runs_with_one_capability() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    landfall(&["up", "-q", &target.name, &interface]).done();
    let name = target.network_container();
    for shell in ["sh", "/bin/sh", "bash", "busybox"] {
        assert!(
            !output(&["docker", "exec", &name, shell, "-c", "true"]).status.success(),
            "there is a {shell}"
        );
    }
    assert!(run(&["docker", "exec", &name, "/usr/sbin/nft", "list", "tables"]).contains("inet landfall"));
}
