//! The disks that machines boot from, kept between runs by what they are made of.
//!
//! They lie in `$XDG_CACHE_HOME/landfall/vm`, or else in `~/.cache/landfall/vm`; removing that folder is always safe. They
//! are made in a folder of their own and then renamed, by one process at a time.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

use super::{
    recipe::{Archive, arguments},
    release::Release,
};
use crate::run::run;

/// A kernel and the disk that it boots from.
#[derive(Clone, Debug)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// A raw disk, an ext4 file system without partitions.
    pub root: PathBuf,
}

impl Image {
    /// The image of a release, which is made if it is not there: that takes a minute or two.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn of(release: Release) -> Result<Self> {
        let archive = Archive::parse(&run(&[
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(ORIGIN) $(LABEL)",
            "Created-By: Packages",
        ]));
        let recipe = arguments(release, &archive, "root");
        let digest = fingerprint(recipe.join("\n").as_bytes());
        let folder = cache()?.join(format!("{}-{}", release.codename(), &digest[..12]));
        let lock = File::create(folder.with_extension("lock")).context("make the cache's lock")?;
        let _lock =
            Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| io::Error::from(error))?;
        if !folder.exists() {
            make(&recipe, &folder).with_context(|| format!("make the disk of a {release:?} machine"))?;
        }
        Ok(Self { kernel: folder.join("vmlinuz"), root: folder.join("root.img") })
    }
}

/// 32 hexadecimal digits that nothing else has.
pub(super) fn fingerprint(octets: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(octets).into();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    format!("{:032x}", u128::from_be_bytes(first))
}

fn cache() -> Result<PathBuf> {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let folder = base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("landfall/vm");
    fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(folder)
}

fn make(recipe: &[String], folder: &Path) -> Result<()> {
    let work = folder.with_extension("making");
    // What an earlier run was killed over.
    drop(fs::remove_dir_all(&work));
    fs::create_dir(&work)?;
    let inside = |line: &[&str]| succeed(Command::new(line[0]).args(&line[1..]).current_dir(&work));
    succeed(Command::new("mmdebstrap").args(recipe).current_dir(&work))?;
    let finished = work.join("finished");
    fs::create_dir(&finished)?;
    // Only now is it known which kernel it is; unstable has it beside its modules.
    inside(&["sh", "-c", "mv $(ls root/boot/vmlinuz-* root/usr/lib/modules/*/vmlinuz) finished/vmlinuz"])?;
    inside(&["mke2fs", "-q", "-t", "ext4", "-d", "root", "finished/root.img", "4G"])?;
    fs::rename(finished, folder)?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// Runs a command whose complaints are worth reading.
pub(super) fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_os_string();
    let output =
        command.output().with_context(|| format!("run {}; `make deps` installs it", program.display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {complaint}", program.display());
    Ok(())
}
