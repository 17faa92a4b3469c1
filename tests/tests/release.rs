//! What holds for the release build only: its agent and the image of it are small. `LANDFALL_RELEASE` names the folder that has it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use landfall_tests::{
    agent::{Agent, forward, spec},
    lan::Lan,
    netns::Netns,
    removal::Folder,
    run::{path, run},
};

fn agent() -> PathBuf {
    path("LANDFALL_RELEASE").join("landfall-agent")
}

#[test]
fn the_agent_is_static() {
    let kind = run(&["readelf", "-l", agent().to_str().expect("a plain path")]);
    assert!(!kind.contains("INTERP"), "the agent needs a dynamic loader");
}

#[test]
fn an_idle_agent_is_small() {
    let lan = Lan::new();
    let namespace = Netns::new();
    lan.plug(&namespace, "lan0");
    let mut agent = Agent::of_program(&agent(), namespace);
    agent.tell(&spec(&forward("tcp", "80", "172.30.0.2")));
    agent.ready();
    let memory = fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("it runs");
    let resident = memory
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    assert!(resident.is_some_and(|kilobytes| kilobytes < 5 * 1024), "{memory}");
}

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
    let directory = Folder::new();
    let (agent, nft) = (agent(), path("LANDFALL_NFT"));
    let [agent, nft] = [&agent, &nft].map(|path| path.to_str().expect("a plain path"));
    let arguments = ["agent", "--agent", agent, "--nft", nft, "--version", "9.9.9"];
    let [first, second] = ["first.tar.gz", "second.tar.gz"].map(|name| directory.path().join(name));
    assert_eq!(pack(&arguments, &first), pack(&arguments, &second));
    assert_eq!(fs::read(&first).expect("a file"), fs::read(&second).expect("a file"));
    let unpacked = run(&["sh", "-c", "gzip -dc \"$1\" | wc -c", "sh", first.to_str().expect("a plain path")]);
    let size: u64 = unpacked.trim().parse().expect("a number");
    assert!(size <= 8 << 20, "{size} bytes");
}
