//! Which files make which image, and what is refused.
//! Pure: files come in as bytes; refuses to know where they were found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::archive::{Image, Packed};
use crate::elf::{Linkage, Machine};
use crate::layer::{File, Files};

/// The largest size of the agent image that is shipped, uncompressed: 8 MiB.
pub const AGENT_IMAGE_LIMIT: usize = 8 * 1024 * 1024;

/// Where the agent is in its image.
const AGENT: &str = "/landfall-agent";

/// Where nft is in it.
pub const NFT: &str = "/usr/sbin/nft";

/// What the licences of the crates in the agent, and of Debian's packages of the files beside it, come to.
pub const AGENT_IMAGE_LICENSES: &str = "(Apache-2.0 OR MIT) AND GPL-2.0-only AND GPL-2.0-or-later \
    AND LGPL-2.1-or-later AND (LGPL-3.0-or-later OR GPL-2.0-or-later) AND MIT \
    AND BSD-3-Clause AND Unicode-3.0";

/// Why an image is not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not an executable of this kind of machine at all.
    #[error("not an ELF file")]
    NotElf(#[from] elf::ParseError),
    /// Images are made for few kinds of machine.
    #[error("for a machine that is neither x86-64 nor AArch64")]
    Machine,
    /// There is no loader and no library in the image that could serve the file.
    #[error("not static: needs {}; build it with -C target-feature=+crt-static", .0.join(", "))]
    NotStatic(Vec<String>),
    /// The image is heavier than it may be.
    #[error("the image has {size} bytes, {} more than the limit of {limit}", size - limit)]
    TooLarge {
        /// Size of the layer in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A path does not fit into the archive.
    #[error("cannot lay out the archive")]
    Archive(#[from] std::io::Error),
}

/// nft as the agent image carries it.
pub struct Nft {
    /// The program.
    pub executable: Vec<u8>,
    /// Its dynamic loader and libraries, by the path where the loader looks.
    pub libraries: BTreeMap<PathBuf, Vec<u8>>,
}

/// The image that landfall ships.
///
/// # Errors
/// When `agent` is not a static executable.
pub fn agent(agent: Vec<u8>, nft: Nft, version: &str) -> Result<Image, Error> {
    let machine = refuse_dynamic(&agent)?;
    // The loader among the libraries is itself run by the kernel; a library that can be run does no harm.
    let libraries = nft.libraries.into_iter().map(|(path, content)| (path, File::executable(content)));
    let programs = [(AGENT.into(), File::executable(agent)), (NFT.into(), File::executable(nft.executable))];
    Ok(Image {
        tag: format!("landfall-agent:{version}"),
        architecture: machine.image_name(),
        files: libraries.chain(programs).collect(),
        entrypoint: vec![AGENT.to_owned()],
        expose: Vec::new(),
        stop_signal: "SIGTERM",
        labels: BTreeMap::from([
            ("org.opencontainers.image.title", "landfall-agent".to_owned()),
            ("org.opencontainers.image.version", version.to_owned()),
            ("org.opencontainers.image.licenses", AGENT_IMAGE_LICENSES.to_owned()),
        ]),
    })
}

/// All that is in the agent image beside our own programs: the libraries, each where it was packed from.
pub fn libraries(image: &Image) -> impl Iterator<Item = PathBuf> {
    let own = [AGENT, NFT].map(Path::new);
    image.files.keys().filter(move |path| !own.contains(&path.as_path())).cloned()
}

/// Where the source of an image is, and which of its revisions it was made from.
pub struct Origin {
    /// A URL.
    pub source: Option<String>,
    /// A commit.
    pub revision: Option<String>,
}

/// The same image, labelled with where it comes from. Not part of the image that landfall carries, which would then be
/// another for every commit, whether or not the agent is.
pub fn with_origin(image: &Image, origin: &Origin) -> Image {
    let labels = [
        ("org.opencontainers.image.source", &origin.source),
        ("org.opencontainers.image.revision", &origin.revision),
    ];
    let mut image = image.clone();
    image.labels.extend(labels.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
    image
}

/// Packs the agent image.
///
/// # Errors
/// When it is larger than `limit` bytes.
pub fn pack_agent(image: &Image, limit: usize) -> Result<Packed, Error> {
    let packed = image.pack()?;
    if packed.size > limit {
        return Err(Error::TooLarge { size: packed.size, limit });
    }
    Ok(packed)
}

/// An image for tests: one static program, `arguments` for it, and the ports that it says it serves.
///
/// # Errors
/// When `program` is not a static executable.
pub fn test(program: Vec<u8>, name: &Path, request: TestImage) -> Result<Image, Error> {
    let machine = refuse_dynamic(&program)?;
    let path = Path::new("/").join(name);
    Ok(Image {
        entrypoint: [path.display().to_string()].into_iter().chain(request.arguments).collect(),
        files: Files::from([(path, File::executable(program))]),
        tag: request.tag,
        architecture: machine.image_name(),
        expose: request.expose,
        // PID 1 is not ended by a signal that it has no handler for, and std has no handlers.
        stop_signal: "SIGKILL",
        labels: BTreeMap::new(),
    })
}

/// What a test may choose of its image.
pub struct TestImage {
    /// `name:tag`.
    pub tag: String,
    /// As in `EXPOSE`.
    pub expose: Vec<String>,
    /// For the program.
    pub arguments: Vec<String>,
}

/// The machine that a static executable is for.
fn refuse_dynamic(executable: &[u8]) -> Result<Machine, Error> {
    let linkage = Linkage::of(executable)?;
    if linkage.is_static() {
        return Machine::of(executable)?.ok_or(Error::Machine);
    }
    Err(Error::NotStatic(linkage.interpreter.into_iter().chain(linkage.needed).collect()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::elf::fixtures::{dynamic_executable, static_executable};
    use crate::sbom::crates;

    fn nft(weight: usize) -> Nft {
        Nft {
            executable: b"nft".to_vec(),
            libraries: BTreeMap::from([("/lib64/ld.so".into(), vec![0; weight])]),
        }
    }

    fn web(arguments: &[&str]) -> TestImage {
        TestImage {
            tag: "web:1".to_owned(),
            expose: vec!["80/tcp".to_owned()],
            arguments: arguments.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_agent_image_holds_the_agent_and_nft_and_its_libraries_and_nothing_else() {
        let image = agent(static_executable(), nft(1), "1.2.3").unwrap();

        let paths: Vec<_> = image.files.keys().map(|path| path.display().to_string()).collect();
        assert_eq!(paths, ["/landfall-agent", "/lib64/ld.so", "/usr/sbin/nft"]);
        assert_eq!(image.tag, "landfall-agent:1.2.3");
        assert_eq!(image.entrypoint, ["/landfall-agent"]);
        assert_eq!(image.labels["org.opencontainers.image.version"], "1.2.3");
    }

    #[test]
    fn an_agent_that_needs_a_loader_is_refused() {
        let error = agent(dynamic_executable("/lib64/ld.so"), nft(1), "1").unwrap_err().to_string();

        assert!(error.starts_with("not static: needs /lib64/ld.so"), "{error}");
    }

    #[test]
    fn an_agent_that_is_no_executable_is_refused() {
        assert!(matches!(agent(b"#!/bin/sh".to_vec(), nft(1), "1"), Err(Error::NotElf(_))));
    }

    #[test]
    fn an_image_above_the_limit_is_refused() {
        let within = agent(static_executable(), nft(AGENT_IMAGE_LIMIT - 16 * 1024), "1").unwrap();
        let above = agent(static_executable(), nft(AGENT_IMAGE_LIMIT), "1").unwrap();

        assert!(pack_agent(&within, AGENT_IMAGE_LIMIT).is_ok());
        let refused = pack_agent(&above, AGENT_IMAGE_LIMIT);
        assert!(matches!(refused, Err(Error::TooLarge { size, .. }) if size > AGENT_IMAGE_LIMIT));
    }

    #[test]
    fn a_test_image_runs_its_program_with_the_arguments_asked_for() {
        let image = test(static_executable(), Path::new("web"), web(&["--tcp", "80"])).unwrap();

        assert_eq!(image.entrypoint, ["/web", "--tcp", "80"]);
        assert_eq!(image.expose, ["80/tcp"]);
    }

    /// The alternatives of each of a licence expression's parts. Brackets around more than alternatives are not understood, and
    /// make an expression ask for more than it does.
    fn parts(expression: &str) -> impl Iterator<Item = Vec<&str>> {
        expression.split(" AND ").map(|part| part.trim_matches(['(', ')']).split(" OR ").collect())
    }

    #[test]
    fn the_licences_of_the_image_are_met_by_each_crate_in_the_agent() {
        let mut tree = Command::new(env!("CARGO"));
        tree.args([
            "tree",
            "--quiet",
            "--locked",
            "--package",
            "landfall-agent",
            "--edges",
            "normal,no-proc-macro",
        ]);
        tree.args([
            "--target",
            "x86_64-unknown-linux-gnu",
            "--no-dedupe",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ]);
        let tree = tree.output().expect("cargo runs this test");
        let crates = crates(&String::from_utf8(tree.stdout).unwrap()).unwrap();
        assert!(crates.len() > 10, "{crates:?}");
        // A choice is one of alternatives, which no crate may be left with.
        let granted: Vec<_> = parts(AGENT_IMAGE_LICENSES).filter(|part| part.len() == 1).flatten().collect();

        for of_crate in &crates {
            let license = of_crate.license.as_deref().expect("a crate in the agent has a licence");
            for alternatives in parts(license) {
                assert!(
                    alternatives.iter().any(|one| granted.contains(one)),
                    "{of_crate:?}: {alternatives:?}"
                );
            }
        }
    }
}
