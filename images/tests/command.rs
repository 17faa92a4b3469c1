//! The packer as the Makefile calls it: what it leaves on disk, and when it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// The smallest static executable: an ELF header, and no program header that would ask for a loader.
fn static_program(path: &Path) {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(64, 0);
    (header[16], header[18], header[20], header[52], header[54]) = (2, 62, 1, 64, 56);
    fs::write(path, header).expect("a temporary folder can be written to");
}

fn pack(program: &Path, out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_landfall-images"))
        .args(["test", "--tag", "example:1", "--expose", "53/udp", "--program"])
        .arg(program)
        .arg("--out")
        .arg(out)
        .args(["--", "--udp", "53"])
        .output()
        .expect("the packer was built for this test")
}

/// Packs an agent and an nft that need no library, where `dpkg-query` is this shell script, or is not there.
fn pack_agent(folder: &Path, dpkg_query: Option<&str>) -> Output {
    let [agent, nft, crates, bin] = ["agent", "nft", "crates", "bin"].map(|name| folder.join(name));
    static_program(&agent);
    static_program(&nft);
    fs::write(&crates, "mio v1.2.5|MIT\n").expect("a temporary folder can be written to");
    fs::create_dir_all(&bin).expect("a temporary folder can be written to");
    if let Some(script) = dpkg_query {
        fs::write(bin.join("dpkg-query"), format!("#!/bin/sh\n{script}\n")).expect("the folder is there");
        fs::set_permissions(bin.join("dpkg-query"), fs::Permissions::from_mode(0o755)).expect("a file");
    }
    Command::new(env!("CARGO_BIN_EXE_landfall-images"))
        .env("PATH", bin)
        .args(["agent", "--version", "1", "--agent"])
        .arg(agent)
        .arg("--nft")
        .arg(nft)
        .arg("--crates")
        .arg(&crates)
        .arg("--linked")
        .arg(crates)
        .arg("--out")
        .arg(folder.join("image.tar.gz"))
        .output()
        .expect("the packer was built for this test")
}

#[test]
fn two_packs_leave_the_same_archive_and_its_ids_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    static_program(&program);
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name).join("image.tar.gz"));

    let output = pack(&program, &first);
    assert!(output.status.success() && pack(&program, &second).status.success(), "{output:?}");

    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    let said = String::from_utf8(output.stdout).unwrap();
    for name in ["image.id", "image.manifest"] {
        let id = fs::read_to_string(first.with_file_name(name)).unwrap();
        assert!(id.starts_with("sha256:") && said.contains(id.trim()), "{id}: {said}");
    }
}

#[test]
fn an_unchanged_archive_keeps_its_modification_time() {
    let folder = tempfile::tempdir().unwrap();
    let (program, out) = (folder.path().join("program"), folder.path().join("image.tar.gz"));
    static_program(&program);
    let modified = || fs::metadata(&out).unwrap().modified().unwrap();
    assert!(pack(&program, &out).status.success());
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().write(true).open(&out).unwrap().set_modified(long_ago).unwrap();

    assert!(pack(&program, &out).status.success());

    assert_eq!(modified(), long_ago);
}

#[cfg(not(target_feature = "crt-static"))]
#[test]
fn a_program_that_is_not_static_is_refused_with_the_remedy_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("image.tar.gz");

    let output = pack(Path::new(env!("CARGO_BIN_EXE_landfall-web")), &out);

    assert!(!output.status.success() && !out.exists());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("target-feature=+crt-static"), "{message}");
}

#[test]
fn without_dpkg_there_is_an_image_but_no_bill_of_materials() {
    let folder = tempfile::tempdir().unwrap();
    let bill = folder.path().join("image.spdx.json");
    fs::write(&bill, "of an image before").unwrap();

    let output = pack_agent(folder.path(), None);

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && folder.path().join("image.tar.gz").exists(), "{said}");
    assert_eq!(said, "no bill of materials: there is no dpkg here to ask whose the files are\n");
    assert!(!bill.exists());
}

#[test]
fn nothing_is_asserted_of_what_dpkg_does_not_know() {
    let folder = tempfile::tempdir().unwrap();

    let output = pack_agent(folder.path(), Some("test \"$1\" = --version"));

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("no package of crates"), "{said}");
    let bill = fs::read_to_string(folder.path().join("image.spdx.json")).unwrap();
    assert!(bill.contains("SPDXRef-file-crates"), "{bill}");
}
