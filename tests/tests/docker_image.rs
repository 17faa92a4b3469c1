//! The agent image: what is in it, and that it can be made again.

use std::{fs, path::Path};

use landfall_tests::{
    docker::{Target, load},
    lan::Lan,
    landfall::landfall,
    run::{output, path, run},
};

/// Packs an image; gives its id.
fn pack(arguments: &[&str], archive: &Path) -> String {
    let out = archive.to_str().expect("a plain path");
    let program = path("LANDFALL_IMAGES");
    let program = program.to_str().expect("a plain path");
    run(&[&[program], &arguments[..1], &["--out", out], &arguments[1..]].concat());
    fs::read_to_string(archive.with_extension("").with_extension("id"))
        .expect("the packer writes it")
        .trim()
        .to_owned()
}

#[test]
fn two_packings_are_one_image_of_at_most_eight_mebibytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let (agent, nft) = (path("LANDFALL_AGENT"), path("LANDFALL_NFT"));
    let [agent, nft] = [&agent, &nft].map(|path| path.to_str().expect("a plain path"));
    let arguments = ["agent", "--agent", agent, "--nft", nft, "--version", "9.9.9"];
    let [first, second] = ["first.tar.gz", "second.tar.gz"].map(|name| directory.path().join(name));
    assert_eq!(pack(&arguments, &first), pack(&arguments, &second));
    assert_eq!(fs::read(&first).expect("a file"), fs::read(&second).expect("a file"));
    load(first.to_str().expect("a plain path"));
    let size: u64 = run(&["docker", "image", "inspect", "--format", "{{.Size}}", "landfall-agent:9.9.9"])
        .trim()
        .parse()
        .expect("a number");
    output(&["docker", "rmi", "landfall-agent:9.9.9"]);
    assert!(size <= 8 << 20, "{size} bytes");
}

#[test]
fn the_image_is_loaded_where_it_is_not() {
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    landfall(&["up", "-q", &target.name, &interface]).done();
    let image = landfall_tests::docker::inspect(&target.network_container(), "{{.Image}}");
    let id = fs::read_to_string(path("LANDFALL_TEST_IMAGES").join("../image/landfall-agent.id"))
        .expect("make build");
    assert_eq!(image, id.trim());
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
