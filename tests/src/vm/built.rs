//! What this run built, as a read-only disk that machines mount at `/built`.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use super::image::succeed;
use crate::{removal::Folder, run::path};

/// Where machines find it.
pub const MOUNT: &str = "/built";

/// The environment that the Docker tier wants, as files in here.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("LANDFALL", "/built/dist/landfall"),
    ("LANDFALL_AGENT", "/built/dist/landfall-agent"),
    ("LANDFALL_IMAGES", "/built/dist/landfall-images"),
    ("LANDFALL_NFT", "/built/image/nft"),
    ("LANDFALL_WEB", "/built/dist/landfall-web"),
    ("LANDFALL_TEST_IMAGES", "/built/test-images"),
    ("LANDFALL_MISBEHAVE", "/built/dist/landfall-misbehave"),
];

/// The disk.
#[derive(Debug)]
pub struct Built {
    /// An ext4 file system called `built`.
    pub disk: PathBuf,
    _folder: Folder,
}

impl Built {
    /// Copies everything that the Makefile names.
    ///
    /// # Errors
    /// If something is not there.
    pub fn new() -> Result<Self> {
        let folder = Folder::new();
        let to = |name: &str| folder.path().join("disk").join(name);
        for name in ["dist", "image", "test-images", "tests"] {
            fs::create_dir_all(to(name))?;
        }
        let copy = |from: PathBuf, name: &str| {
            fs::copy(&from, to(name)).with_context(|| format!("copy {}", from.display()))
        };
        let (release, images) = (path("LANDFALL_RELEASE"), path("LANDFALL_TEST_IMAGES"));
        for (variable, place) in ENVIRONMENT {
            let Some(name) = place.strip_prefix("/built/dist/") else { continue };
            // An emulated processor would be slow with what is not optimised.
            let shipped = release.join(name);
            copy(if shipped.exists() { shipped } else { path(variable) }, &format!("dist/{name}"))?;
        }
        let mut folders = vec![(images, "test-images"), (release.join("../image"), "image")];
        // Only the suite in a machine needs them.
        folders.extend(env::var_os("LANDFALL_VM_TESTS").map(|tests| (tests.into(), "tests")));
        for (source, name) in folders {
            for entry in fs::read_dir(&source).with_context(|| format!("read {}", source.display()))? {
                let entry = entry?;
                // The layout for registries is a folder; no test in a machine pushes.
                if !entry.file_type()?.is_file() {
                    continue;
                }
                copy(entry.path(), &format!("{name}/{}", entry.file_name().display()))?;
            }
        }
        let disk = folder.path().join("built.img");
        let mut mke2fs = Command::new("mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-L", "built", "-d"]);
        succeed(mke2fs.arg(to("")).arg(&disk).arg("512M"))?;
        Ok(Self { disk, _folder: folder })
    }
}
