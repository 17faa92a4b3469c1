//! The one layer of an image: files -> an uncompressed tar archive that depends on nothing but the files.
//! Pure; refuses to know what the files are.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// A regular file of the image, owned by root, dated 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Permission bits, as in `chmod`.
    pub mode: u32,
    /// What is in it.
    pub content: Vec<u8>,
}

impl File {
    /// A file that can be run.
    pub fn executable(content: Vec<u8>) -> Self {
        Self { mode: 0o755, content }
    }

    /// A file that can be read.
    pub fn data(content: Vec<u8>) -> Self {
        Self { mode: 0o644, content }
    }
}

/// Files by their absolute path in the image.
pub type Files = BTreeMap<PathBuf, File>;

/// Lays `files` out as a layer: every directory above them first, then they, each group sorted by path.
///
/// # Errors
/// When a path does not fit into a tar header.
pub fn to_tar(files: &Files) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for directory in directories(files) {
        append(&mut tar, directory, tar::EntryType::Directory, &File::executable(Vec::new()))?;
    }
    for (path, file) in files {
        append(&mut tar, path, tar::EntryType::Regular, file)?;
    }
    tar.into_inner()
}

/// Adds one entry to an archive, with root as its owner and the epoch as its time.
///
/// # Errors
/// When the path does not fit into a tar header.
pub fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &Path,
    kind: tar::EntryType,
    file: &File,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(file.mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(file.content.len() as u64);
    tar.append_data(&mut header, path.strip_prefix("/").unwrap_or(path), file.content.as_slice())
}

fn directories(files: &Files) -> BTreeSet<&Path> {
    files.keys().flat_map(|path| path.ancestors().skip(1)).filter(|path| path.parent().is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files::from([
            ("/usr/sbin/nft".into(), File::executable(b"nft".to_vec())),
            ("/agent".into(), File::executable(b"agent".to_vec())),
            ("/lib/libc.so.6".into(), File::data(b"libc".to_vec())),
        ])
    }

    fn listing(tar: &[u8]) -> Vec<(String, u32, u64)> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            (entry.path().unwrap().display().to_string(), header.mode().unwrap(), entry.size())
        });
        entries.collect()
    }

    #[test]
    fn directories_come_before_files_and_nothing_is_left_to_the_engine() {
        let tar = to_tar(&files()).unwrap();

        let expected = [
            ("lib", 0o755, 0),
            ("usr", 0o755, 0),
            ("usr/sbin", 0o755, 0),
            ("agent", 0o755, 5),
            ("lib/libc.so.6", 0o644, 4),
            ("usr/sbin/nft", 0o755, 3),
        ];
        assert_eq!(listing(&tar), expected.map(|(path, mode, size)| (path.to_owned(), mode, size)));
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        assert_eq!(to_tar(&files()).unwrap(), to_tar(&files()).unwrap());
    }
}
