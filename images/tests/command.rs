//! The packer as the Makefile calls it: what it leaves on disk, and when it refuses.

use std::fs;
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

#[test]
fn two_packs_leave_the_same_archive_and_its_id_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    static_program(&program);
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name).join("image.tar.gz"));

    let output = pack(&program, &first);
    assert!(output.status.success() && pack(&program, &second).status.success(), "{output:?}");

    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    let id = fs::read_to_string(first.with_file_name("image.id")).unwrap();
    assert!(id.starts_with("sha256:"), "{id}");
    assert!(String::from_utf8(output.stdout).unwrap().contains(id.trim()));
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
