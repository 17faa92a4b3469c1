//! The file that a lease is kept in from one agent to the next. Without it everything works, only slower.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use landfall_api::MacAddr;
use tracing::{debug, info};

use crate::{
    clock::Moment,
    dhcp::{Lease, saved},
};

/// Names the directory to keep it in.
const DIRECTORY: &str = "LANDFALL_STATE";

/// A saved lease is a few hundred octets; what is longer is something else.
const LONGEST: u64 = 1 << 16;

/// Where the lease is kept.
pub struct Store {
    directory: Option<PathBuf>,
}

impl Store {
    /// The directory that the environment names, if it does.
    pub fn from_env() -> Self {
        Self { directory: env::var_os(DIRECTORY).filter(|name| !name.is_empty()).map(PathBuf::from) }
    }

    /// The lease of an uplink with `mac`, if one is kept that can be believed.
    pub fn load(&self, mac: MacAddr) -> Option<Lease> {
        let file = self.directory.as_ref()?.join("lease.json");
        let text = match read(&file) {
            Ok(text) => text,
            Err(error) => {
                debug!(%error, file = %file.display(), "there is no saved lease");
                return None;
            }
        };
        match saved::from_text(&text, mac, &Moment::now()) {
            Ok(lease) => Some(lease),
            Err(why) => {
                info!(%why, file = %file.display(), "the saved lease is ignored");
                None
            }
        }
    }

    /// Keeps `lease`.
    pub fn save(&self, lease: &Lease, mac: MacAddr) {
        if let Some(directory) = &self.directory {
            let text = saved::to_text(lease, mac, &Moment::now());
            // A container without a volume has nowhere to keep it.
            if let Err(error) = replace(directory, &text) {
                debug!(%error, directory = %directory.display(), "the lease is not saved");
            }
        }
    }

    /// Keeps none any more.
    pub fn forget(&self) {
        if let Some(directory) = &self.directory
            && let Err(error) = fs::remove_file(directory.join("lease.json"))
        {
            debug!(%error, "there is no saved lease to forget");
        }
    }
}

fn read(file: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(file)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// A file is there as a whole or not at all, whenever the process is killed.
fn replace(directory: &Path, text: &str) -> io::Result<()> {
    let (new, file) = (directory.join("lease.json.new"), directory.join("lease.json"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    fs::rename(new, file)
}
