//! Packs the images that landfall ships and tests with, without a Docker build: reads what the command line names,
//! writes an archive and, beside it, the image's id. What goes into an image is decided in `recipe`.

mod archive;
mod elf;
mod layer;
mod libraries;
mod recipe;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use archive::{Image, Packed};
use recipe::{Nft, TestImage};

/// Pack container images, byte for byte reproducible.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    recipe: Recipe,
    /// Where to write the docker-archive (FILE.tar.gz); the image's id is written beside it (FILE.id)
    #[arg(long, global = true, default_value = "image.tar.gz")]
    out: PathBuf,
    /// Print the files of the image with their sizes
    #[arg(long, global = true)]
    list: bool,
}

#[derive(Subcommand)]
enum Recipe {
    /// The agent image: the agent, nft, and the libraries of nft
    Agent {
        /// The agent, a static executable
        #[arg(long)]
        agent: PathBuf,
        /// The version to tag and label it with
        #[arg(long)]
        version: String,
        /// nft; found by itself when not given
        #[arg(long)]
        nft: Option<PathBuf>,
    },
    /// An image for tests: one static program
    Test {
        /// The program
        #[arg(long)]
        program: PathBuf,
        /// name:tag
        #[arg(long)]
        tag: String,
        /// A port as in EXPOSE (80/tcp)
        #[arg(long)]
        expose: Vec<String>,
        /// Arguments of the program
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let (image, packed) = match cli.recipe {
        Recipe::Agent { agent, version, nft } => pack_agent(&agent, &version, nft)?,
        Recipe::Test { program, tag, expose, arguments } => {
            pack_test(&program, TestImage { tag, expose, arguments })?
        }
    };
    write(&cli.out, &packed)?;
    report(&image, &packed, cli.list.then_some(&image.files))
}

fn pack_agent(path: &Path, version: &str, nft: Option<PathBuf>) -> Result<(Image, Packed)> {
    let nft = nft.or_else(find_nft).context("find nft in PATH, /usr/sbin or /sbin: install nftables")?;
    let libraries = libraries::closure(&nft, &libraries::loader_directories())
        .with_context(|| format!("collect the libraries of {}", nft.display()))?;
    let nft = Nft { executable: read(&nft)?, libraries };
    let image = recipe::agent(read(path)?, nft, version)
        .with_context(|| format!("put {} into an image", path.display()))?;
    let packed = recipe::pack_agent(&image).context("pack the agent image")?;
    Ok((image, packed))
}

fn pack_test(path: &Path, request: TestImage) -> Result<(Image, Packed)> {
    let name = path.file_name().with_context(|| format!("name the program {}", path.display()))?;
    let image = recipe::test(read(path)?, Path::new(name), request)
        .with_context(|| format!("put {} into an image", path.display()))?;
    let packed = image.pack().context("pack the test image")?;
    Ok((image, packed))
}

/// A user's PATH often lacks the directories that administration programs are in.
fn find_nft() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join("nft"))
        .find(|file| file.is_file())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn write(out: &Path, packed: &Packed) -> Result<()> {
    // Both extensions of FILE.tar.gz give way to one.
    let id = out.with_extension("").with_extension("id");
    if let Some(directory) = out.parent() {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    write_if_different(out, &packed.archive)?;
    write_if_different(&id, format!("{}\n", packed.id).as_bytes())
}

/// A new modification time would make cargo build again what carries the archive.
fn write_if_different(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}

fn report(image: &Image, packed: &Packed, list: Option<&layer::Files>) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "image {}\nid    {}", image.tag, packed.id)?;
    writeln!(out, "size  {} bytes, {} compressed", packed.size, packed.archive.len())?;
    for (path, file) in list.into_iter().flatten() {
        writeln!(out, "{:>9}  {}", file.content.len(), path.display())?;
    }
    Ok(())
}
