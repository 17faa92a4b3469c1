//! The Docker tier, unchanged, on a stock machine: on its Docker, and on its Podman.

use std::{fs, time::Duration};

use landfall_tests::{
    run::{now, path},
    vm::{host::Host, machine::Machine},
};

/// Longer than one file of the tier takes on an emulated machine.
const FILE: Duration = Duration::from_mins(30);

/// What no machine of a user can do: it builds the project in order to push it.
const BUILDS: &[&str] = &["--skip", "a_registry_takes_the_image_and_gives_it_back"];

/// The tier's executables, by name.
fn files() -> Vec<String> {
    let folder = path("LANDFALL_VM_TESTS");
    let entries = fs::read_dir(&folder).expect("the Makefile made it");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("it can be read").file_name().display().to_string()
    };
    let mut files: Vec<String> = entries.map(name).collect();
    files.sort();
    files
}

/// Runs a file of the tier on an engine; gives how many of its tests passed.
#[expect(clippy::print_stdout, reason = "how long each file took, for who asks with --nocapture")]
fn passed(machine: &mut Machine, socket: &str, file: &str) -> Result<u32, String> {
    let (program, engine) = (format!("/built/tests/{file}"), format!("DOCKER_HOST=unix://{socket}"));
    let since = now();
    let ran = machine.output_within(FILE, &[&["env", &engine, &*program], BUILDS].concat());
    let result =
        ran.stdout.rsplit("test result: ok. ").next().and_then(|rest| rest.split(' ').next()?.parse().ok());
    println!("{file}: {result:?} passed in {:?}", now().duration_since(since));
    match (ran.code, result) {
        (Some(0), Some(passed)) => Ok(passed),
        _ => Err(format!("{file} failed on {}:\n{}\n{}", machine.name, ran.stdout, ran.stderr)),
    }
}

/// Runs those files of the tier on an engine whose names begin like that.
fn expect_passed(machine: &mut Machine, socket: &str, begin: &str) {
    let files: Vec<String> = files().into_iter().filter(|file| file.starts_with(begin)).collect();
    let results: Vec<_> = files.iter().map(|file| passed(machine, socket, file)).collect();
    let failures: Vec<&str> =
        results.iter().filter_map(|result| result.as_ref().err().map(String::as_str)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let have_all = results.iter().flatten().all(|&passed| passed > 0);
    assert!(!results.is_empty() && have_all, "{files:?}: {results:?}");
}

#[test]
fn the_docker_tier_passes() {
    let host = &mut Host::boot();
    expect_passed(&mut host.machine, "/run/docker.sock", "");
}

#[test]
fn the_docker_tier_passes_on_podman() {
    let host = &mut Host::boot();
    // Docker drops what it does not forward itself, also what Podman publishes: who has the one has not the other.
    let only_podman =
        "systemctl stop docker.socket docker && nft flush ruleset && systemctl start podman.socket";
    host.machine.run(&["sh", "-c", only_podman]);
    expect_passed(&mut host.machine, "/run/podman/podman.sock", "docker_");
}
