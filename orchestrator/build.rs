//! Puts the agent image where `include_bytes!` finds it: one file on a host is then enough.
//! Without an image (a plain `cargo check`) it is empty, and the program says so when it would need one.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Names another archive than the one that `make` packs for this profile; the image's ids are read from beside it.
const OVERRIDE: &str = "LANDFALL_AGENT_IMAGE";

fn main() -> io::Result<()> {
    let default = || default_archive(env::var("PROFILE").as_deref() == Ok("release"));
    let archive = env::var_os(OVERRIDE).map_or_else(default, PathBuf::from);
    let beside = |extension| archive.with_extension("").with_extension(extension);
    let ids =
        [("LANDFALL_AGENT_IMAGE_ID", beside("id")), ("LANDFALL_AGENT_IMAGE_MANIFEST", beside("manifest"))];
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    for input in [&archive, &ids[0].1, &ids[1].1] {
        println!("cargo::rerun-if-changed={}", watchable(input)?.display());
    }
    let mut is_whole = true;
    for (variable, file) in ids {
        let id = String::from_utf8(read_or_empty(&file)?).map_err(io::Error::other)?;
        is_whole &= !id.is_empty();
        println!("cargo::rustc-env={variable}={}", id.trim());
    }
    // What an older packer left could not be recognised once it is loaded.
    let archive = if is_whole { read_or_empty(&archive)? } else { Vec::new() };
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(out.join("agent-image.tar.gz"), archive)
}

/// Of `make build` for what ships, of `make programs` for what is tested.
fn default_archive(is_release: bool) -> PathBuf {
    let folder = if is_release { "image" } else { "test/image" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(folder).join("landfall-agent.tar.gz")
}

/// Cargo takes a file that is not there for one that changed, at every build; so its directory is watched instead.
fn watchable(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(directory) if !path.exists() => fs::create_dir_all(directory).map(|()| directory),
        _ => Ok(path),
    }
}

fn read_or_empty(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result,
    }
}
