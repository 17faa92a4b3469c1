//! Which packages of Debian, or of what is made from it, the files of this machine are of, as dpkg knows it.
//! Asks dpkg and os-release, and nothing else; refuses to know what the files are for.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::distribution::Distribution;
use crate::sbom::Package;

/// Whether dpkg is on this machine at all.
pub fn is_here() -> bool {
    Command::new("dpkg-query").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The distribution of this machine.
///
/// # Errors
/// When there is a file that says so, and it cannot be read.
pub fn distribution() -> Result<Distribution> {
    match fs::read_to_string("/etc/os-release") {
        Ok(release) => Ok(Distribution::of(&release)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Distribution::Other),
        Err(error) => Err(error).context("read /etc/os-release"),
    }
}

/// The packages of `files`, and which of them are of each; none is the package of those that dpkg knows not.
///
/// # Errors
/// When dpkg cannot be run, or a file is not there.
pub fn packages(files: impl IntoIterator<Item = PathBuf>) -> Result<BTreeMap<Option<Package>, Vec<PathBuf>>> {
    let mut packages = BTreeMap::<_, Vec<_>>::new();
    for file in files {
        packages.entry(package(&file)?).or_default().push(file);
    }
    Ok(packages)
}

/// The package of a file; none if dpkg knows it not.
///
/// # Errors
/// When dpkg cannot be run, or the file is not there.
pub fn package(file: &Path) -> Result<Option<Package>> {
    let real = file.canonicalize().with_context(|| format!("find {}", file.display()))?;
    for path in names(file, &real) {
        let found = dpkg_query(&["--search", &path.display().to_string()])?;
        if let Some(name) = found.as_deref().and_then(owner) {
            return describe(name).map(Some);
        }
    }
    Ok(None)
}

/// The paths that a file may be recorded under. Where `/lib` is a symbolic link to `/usr/lib`, a package may name either;
/// where it is not, they are different files, and the other is not asked for.
fn names(file: &Path, real: &Path) -> Vec<PathBuf> {
    let twin = |path: &Path| match path.strip_prefix("/usr") {
        Ok(rest) => Path::new("/").join(rest),
        Err(_) => Path::new("/usr").join(path.strip_prefix("/").unwrap_or(path)),
    };
    let names = [file.to_owned(), twin(file), real.to_owned(), twin(real)];
    names.into_iter().filter(|name| name.canonicalize().is_ok_and(|target| target == real)).collect()
}

/// The first package among what `dpkg-query --search` found. A diversion moves a file aside and owns none, and is listed first:
/// libc6 of Debian 13 has one for each path that it had before everything moved below `/usr`.
fn owner(found: &str) -> Option<&str> {
    let is_diversion =
        |line: &&str| line.starts_with("diversion by ") || line.starts_with("local diversion ");
    let (names, _) = found.lines().find(|line| !is_diversion(line))?.split_once(": ")?;
    names.split(", ").next()
}

fn describe(name: &str) -> Result<Package> {
    let format = "--showformat=${Package} ${Version} ${Architecture}";
    let shown =
        dpkg_query(&["--show", format, name])?.with_context(|| format!("dpkg knows no package {name}"))?;
    match shown.trim_end().split(' ').collect::<Vec<_>>()[..] {
        [name, version, architecture] => Ok(Package {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: architecture.to_owned(),
        }),
        _ => bail!("dpkg says of {name}: {shown}"),
    }
}

/// What dpkg says; none if it knows nothing.
fn dpkg_query(arguments: &[&str]) -> Result<Option<String>> {
    let output = Command::new("dpkg-query").args(arguments).output().context("run dpkg-query")?;
    if !output.status.success() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOADER: &str = "diversion by libc6 from: /lib64/ld-linux-x86-64.so.2\n\
        diversion by libc6 to: /lib64/ld-linux-x86-64.so.2.usr-is-merged\n";

    #[test]
    fn what_diverts_a_file_is_not_what_owns_it() {
        let found = format!("{LOADER}libc6:amd64: /lib64/ld-linux-x86-64.so.2\n");

        assert_eq!(owner(&found), Some("libc6:amd64"));
        assert_eq!(owner(LOADER), None);
    }

    #[test]
    fn of_several_packages_that_share_a_file_the_first_stands_for_it() {
        assert_eq!(owner("libc6:amd64, libc6:i386: /usr/share/doc/libc6/copyright\n"), Some("libc6:amd64"));
    }

    #[test]
    fn a_file_is_asked_for_by_every_name_that_leads_to_it_and_by_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, other] = ["file", "link", "other"].map(|name| folder.path().join(name));
        fs::write(&file, "").unwrap();
        fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();

        assert_eq!(names(&link, &file), [link.clone(), file.clone()]);
        assert_eq!(names(&other, &other), [other.clone(), other]);
    }
}
