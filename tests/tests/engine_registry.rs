//! The agent image in a registry, and on an engine that never saw it.

use std::{fs, process::Command};

use landfall_tests::{
    client::fetch,
    docker::{Target, forget_agent_image, inspect},
    lan::Lan,
    lock::Lock,
    registry::Registry,
    removal::Removal,
    run::{path, run, unique, wait_until},
};
use serde_json::Value;

const SOURCE: &str = "https://example.org/landfall";

/// Pushes the image as a user does; gives what is printed.
fn push(name: &str) -> String {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut make = Command::new("make");
    let arguments = [format!("REGISTRY={name}"), format!("SOURCE={SOURCE}")];
    make.args(["--no-print-directory", "-C", repository, "push"]).args(arguments);
    let pushed = make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").output().expect("make is there");
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    String::from_utf8_lossy(&pushed.stdout).into_owned()
}

#[test]
fn what_is_pushed_is_pulled_by_its_digest_where_it_never_was() {
    let _engine = Lock::of("engine");
    let registry = Registry::start();
    let name = format!("{}/lft-{}/agent", registry.address, unique());
    forget_agent_image();
    assert!(!run(&["docker", "images", "--all"]).contains("agent"), "this engine has seen the image");
    // When it is pushed
    let said = push(&name);
    let digest = fs::read_to_string(path("LANDFALL_RELEASE").join("../image/landfall-agent.digest"));
    let reference = format!("{name}@{}", digest.expect("make push writes it").trim());
    assert!(said.ends_with(&format!("pushed {reference}\n")), "{said}");
    // Then it is an index of platforms
    let raw = run(&["skopeo", "inspect", "--raw", "--tls-verify=false", &format!("docker://{reference}")]);
    let index: Value = serde_json::from_str(&raw).expect("JSON");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(index["manifests"][0]["platform"]["os"], "linux");
    assert_eq!(index["annotations"]["org.opencontainers.image.source"], SOURCE);
    // And a landfall that is told its digest pulls it, and uses it
    let _image = Removal::by(&["docker", "rmi", &reference]);
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let up = target.up(&interface, &["--image", &reference]);
    assert!(up.stderr.contains(&format!("pulling {reference}")), "{}", up.stderr);
    let address = up.address();
    let client = lan.client();
    wait_until("its page comes", || {
        fetch(&client, (address, 80)).is_ok_and(|page| page.contains("hello from"))
    });
    // And it says what it is
    let labels = inspect(&reference, "{{json .Config.Labels}}");
    let labels: Value = serde_json::from_str(&labels).expect("JSON");
    let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default();
    // Root may test a checkout of somebody else's.
    let git = ["git", "-c", "safe.directory=*", "-C", env!("CARGO_MANIFEST_DIR")];
    let head = run(&[git.as_slice(), &["rev-parse", "HEAD"]].concat());
    assert!(label("revision").starts_with(head.trim()), "{labels}");
    assert_eq!(label("source"), SOURCE);
    assert!(label("licenses").contains("Apache-2.0 OR MIT") && !label("version").is_empty(), "{labels}");
    target.down();
}

#[test]
fn an_image_that_its_registry_has_not_is_said_to_be_missing() {
    let registry = Registry::start();
    let name = format!("{}/lft-{}:1", registry.address, unique());
    let mut lan = Lan::new();
    let (target, interface) = (Target::web(), lan.host_port());
    let said = target.up(&interface, &["--image", &name]).failed(1);
    assert!(said.contains("cannot pull the image") && said.contains("says: "), "{said}");
    assert!(!target.is_exposed());
}
