//! The engines that people run, each one of its own, on every push: the main job, a restart, and a kill at a few steps. All of the
//! Docker tier on each of them is `make test-engines`.

use std::{path::Path, process::Command};

use landfall_tests::{landfall::Ran, run::path};

/// Files of the Docker tier, and which of their tests are run.
const SMOKE: &[(&str, &[&str])] = &[
    (
        "docker_up",
        &[
            "the_address_answers_on_the_lan_and_beyond_its_router",
            "up_twice_is_up_once",
            "a_broken_network_container_is_made_anew",
            "down_gives_the_lease_back_and_leaves_nothing",
        ],
    ),
    ("docker_kill", &["down_that_is_killed_after_any_step_is_repaired"]),
    ("docker_image", &["the_image_is_loaded_where_it_is_not"]),
];

/// What needs an engine that never saw anything.
const FRESH: &[(&str, &[&str])] =
    &[("engine_all", &[]), ("engine_found", &[]), ("engine_ipv6", &[]), ("engine_registry", &[])];

/// Runs tests of files, all of a file's where none is named, beside an engine of its own.
fn run_on(engine: &str, files: &[(&str, &[&str])]) {
    let tests = path("LANDFALL_TESTS");
    let line = |(file, names): &(&str, &[&str])| {
        let exact = if names.is_empty() { "" } else { "--exact" };
        format!("'{}' --test-threads 2 {exact} {}", tests.join(file).display(), names.join(" "))
    };
    let script = files.iter().map(line).collect::<Vec<_>>().join(" && ");
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("engine"));
    let ran: Ran = command.args([engine, "sh", "-c", &script]).output().expect("tests/engine runs").into();
    assert_eq!(ran.code, Some(0), "on {engine}:\n{}\n{}", ran.stdout, ran.stderr);
    // A name that nothing has would run nothing.
    let wanted: usize = files.iter().map(|(_, names)| names.len().max(1)).sum();
    let passed = ran.stdout.matches(" ... ok").count();
    assert!(passed >= wanted, "{passed} of {wanted} passed on {engine}:\n{}", ran.stdout);
}

#[test]
fn the_main_job_on_docker_28() {
    run_on("docker28", SMOKE);
}

#[test]
fn the_main_job_on_docker_28_whose_images_containerd_keeps() {
    run_on("docker28-containerd", SMOKE);
}

#[test]
fn the_main_job_on_this_machines_podman() {
    run_on("podman", SMOKE);
}

#[test]
fn the_main_job_on_podman_5() {
    run_on("podman5", SMOKE);
}

#[test]
fn an_engine_that_never_saw_anything() {
    run_on("docker", FRESH);
}
