//! Finds the shared libraries that an executable needs, as the dynamic loader would in an image without a cache.
//! Reads files and never runs them (`ldd` would run the loader on them); refuses to know what they are for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use crate::elf::{Linkage, Machine};

/// Why a set of libraries is not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is there but cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A file that the loader would load is not an ELF file.
    #[error("{path} is not a well-formed ELF file")]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: elf::ParseError,
    },
    /// A library is in none of the directories of the loader.
    #[error("{needed_by} needs {name}, which is not in {}", join(searched))]
    Missing {
        /// The soname.
        name: String,
        /// The first file that asked for it.
        needed_by: PathBuf,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// A file names directories of its own; an image lays libraries out by the loader's directories only.
    #[error(
        "{path} searches {run_paths:?} for its libraries, which is not supported: use a distribution's build"
    )]
    RunPath {
        /// The file.
        path: PathBuf,
        /// Its `DT_RPATH` and `DT_RUNPATH`.
        run_paths: Vec<String>,
    },
}

/// The directories that the loader of a machine searches with no cache and no configuration, in its order.
pub fn loader_directories(machine: Machine) -> Vec<PathBuf> {
    let triplet = machine.triplet();
    [format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")]
        .into_iter()
        .chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned))
        .map(PathBuf::from)
        .collect()
}

/// The dynamic loader and all libraries, direct and indirect, of `executable`, a path below `root` like those of the libraries:
/// path as the loader asks for it -> content. The executable itself is not among them. Symbolic links, be it of a soname or of a merged `/lib`, are followed, so
/// that each path can be a regular file.
///
/// # Errors
/// When a file is missing, unreadable or not what it should be.
pub fn closure(
    root: &Path,
    executable: &Path,
    directories: &[PathBuf],
) -> Result<BTreeMap<PathBuf, Vec<u8>>, Error> {
    let mut found = BTreeMap::new();
    let read = |path: &Path| read(&below(root, path));
    let top = linkage(executable, &read(executable)?)?;
    let loader = top.interpreter.as_ref().map(PathBuf::from);
    if let Some(loader) = &loader {
        found.insert(loader.clone(), read(loader)?);
    }
    let mut unread = vec![(executable.to_owned(), top)];
    while let Some((path, Linkage { needed, .. })) = unread.pop() {
        // libc names the loader too, which by then runs already: a second copy would be dead weight.
        for name in needed.iter().filter(|name| !is_named(loader.as_deref(), name)) {
            let library = locate(root, name, &path, directories)?;
            if let Entry::Vacant(vacant) = found.entry(library) {
                let (path, content) = (vacant.key().clone(), read(vacant.key())?);
                unread.push((path.clone(), linkage(&path, &content)?));
                vacant.insert(content);
            }
        }
    }
    Ok(found)
}

fn is_named(path: Option<&Path>, name: &str) -> bool {
    path.and_then(Path::file_name).is_some_and(|file| file == name)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn linkage(path: &Path, content: &[u8]) -> Result<Linkage, Error> {
    let linkage = Linkage::of(content).map_err(|source| Error::NotElf { path: path.to_owned(), source })?;
    if linkage.run_paths.is_empty() {
        Ok(linkage)
    } else {
        Err(Error::RunPath { path: path.to_owned(), run_paths: linkage.run_paths })
    }
}

/// Where a path of the image is on this machine.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn locate(root: &Path, name: &str, needed_by: &Path, directories: &[PathBuf]) -> Result<PathBuf, Error> {
    let mut paths = directories.iter().map(|directory| directory.join(name));
    paths.find(|path| below(root, path).exists()).ok_or_else(|| Error::Missing {
        name: name.to_owned(),
        needed_by: needed_by.to_owned(),
        searched: directories.to_vec(),
    })
}

fn join(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(all(test, not(target_feature = "crt-static")))]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_the_c_library_of_this_test_are_found() {
        let this_test = std::env::current_exe().unwrap();

        let machine = Machine::of(&fs::read(&this_test).unwrap()).unwrap().unwrap();
        let found = closure(Path::new("/"), &this_test, &loader_directories(machine)).unwrap();

        let has = |prefix: &str| {
            found.keys().any(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        };
        assert!(has("ld-linux") && has("libc.so") && !has("landfall"), "{:?}", found.keys());
    }

    #[test]
    fn a_library_that_is_nowhere_is_named_with_who_needs_it() {
        let this_test = std::env::current_exe().unwrap();

        let error = closure(Path::new("/"), &this_test, &["/proc/self".into()]).unwrap_err().to_string();

        assert!(error.contains("which is not in /proc/self"), "{error}");
        assert!(error.starts_with(&this_test.display().to_string()), "{error}");
    }

    #[test]
    fn what_is_not_elf_is_refused() {
        let error = closure(Path::new("/"), Path::new("/proc/self/comm"), &[]).unwrap_err();

        assert!(matches!(error, Error::NotElf { .. }), "{error}");
    }
}
