//! Packs the images that landfall ships and tests with, without a Docker build: reads what the command line names,
//! writes an archive and, beside it, the image's id and what registries and auditors want of it. What goes into an image is decided in `recipe`.

mod archive;
mod debian;
mod distribution;
mod elf;
mod layer;
mod libraries;
mod oci;
mod recipe;
mod sbom;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};

use archive::{Image, Packed};
use elf::Machine;
use oci::Layout;
use recipe::{Nft, Origin, TestImage};
use sbom::Contents;

/// Pack container images, byte for byte reproducible.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    recipe: Recipe,
    /// Where to write the archive for `docker load` (FILE.tar.gz). Beside it are the image's id (FILE.id) and the id that it has in
    /// containerd's image store (FILE.manifest)
    #[arg(long, global = true, default_value = "image.tar.gz")]
    out: PathBuf,
    /// Print the files of the image with their sizes
    #[arg(long, global = true)]
    list: bool,
}

#[derive(Subcommand)]
enum Recipe {
    /// The agent image: the agent, nft, and the libraries of nft
    Agent(AgentArgs),
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

#[derive(Args)]
struct AgentArgs {
    /// The agent, a static executable
    #[arg(long)]
    agent: PathBuf,
    /// The version to tag and label it with
    #[arg(long)]
    version: String,
    /// The largest size of the image, uncompressed, in bytes; one with an agent that is not optimised is larger
    #[arg(long, value_name = "BYTES", default_value_t = recipe::AGENT_IMAGE_LIMIT)]
    limit: usize,
    /// nft, as `images/nft.c` makes it
    #[arg(long)]
    nft: PathBuf,
    /// Another platform of the same image, for registries: its agent, and the folder that its nft and libraries are below
    #[arg(long, num_args = 2, value_names = ["AGENT", "ROOT"])]
    platform: Vec<PathBuf>,
    /// The crates in the agent, as `cargo tree --format '{p}|{l}'` lists them: write a bill of materials (FILE.spdx.json)
    #[arg(long)]
    crates: Option<PathBuf>,
    /// The version of the compiler, for the bill of materials
    #[arg(long, default_value = "")]
    rust: String,
    /// A static library that is linked into the agent, for the bill of materials
    #[arg(long)]
    linked: Vec<PathBuf>,
    /// The commit that the agent was built from, for the image as registries keep it (FILE.oci)
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    revision: Option<String>,
    /// The URL of its source, for the same
    #[arg(long)]
    source: Option<String>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let (image, packed) = match cli.recipe {
        Recipe::Agent(args) => make_agent(&args, &cli.out)?,
        Recipe::Test { program, tag, expose, arguments } => {
            pack_test(&program, TestImage { tag, expose, arguments })?
        }
    };
    write(&cli.out, &packed)?;
    report(&image, &packed, cli.list.then_some(&image.files))
}

/// Packs the agent image, and writes what registries and auditors want of it.
fn make_agent(args: &AgentArgs, out: &Path) -> Result<(Image, Packed)> {
    let nft = args.nft.canonicalize().with_context(|| format!("find {}", args.nft.display()))?;
    let (image, packed) = pack_agent(args, &args.agent, Path::new("/"), &nft)?;
    let mut images = vec![image.clone()];
    for platform in args.platform.chunks(2) {
        let [agent, root] = platform else { bail!("--platform takes an agent and a root") };
        images.push(pack_agent(args, agent, root, Path::new(recipe::NFT))?.0);
    }
    let origin = Origin { source: args.source.clone(), revision: args.revision.clone() };
    let images: Vec<_> = images.iter().map(|image| recipe::with_origin(image, &origin)).collect();
    write_layout(out, &Layout::of(&args.version, &images)?)?;
    if let Some(crates) = &args.crates {
        let bill = beside(out, "spdx.json");
        if debian::is_here() {
            let contents = contents(args, crates, &packed, recipe::libraries(&image))?;
            write_file(&bill, serde_json::to_string_pretty(&sbom::document(&contents))?.as_bytes())?;
        } else {
            say("no bill of materials: there is no dpkg here to ask whose the files are")?;
            remove_old(&bill)?;
        }
    }
    Ok((image, packed))
}

/// Finds out what the bill of materials says of the image.
fn contents<'a>(
    args: &'a AgentArgs,
    crates: &Path,
    packed: &'a Packed,
    libraries: impl Iterator<Item = PathBuf>,
) -> Result<Contents<'a>> {
    let linked = args.linked.iter().map(|file| {
        let name = file.file_name().unwrap_or_default().display().to_string();
        Ok((name, debian::package(file)?))
    });
    let contents = Contents {
        version: &args.version,
        id: &packed.id,
        licenses: recipe::AGENT_IMAGE_LICENSES,
        rust: &args.rust,
        crates: sbom::crates(&String::from_utf8(read(crates)?)?)
            .with_context(|| format!("read {}", crates.display()))?,
        linked: linked.collect::<Result<_>>()?,
        packages: debian::packages(libraries)?,
        distribution: debian::distribution()?,
    };
    for name in contents.of_no_package() {
        say(&format!("bill of materials: dpkg knows no package of {name}, so nothing is asserted of it"))?;
    }
    Ok(contents)
}

/// Packs an agent with the nft at `nft` below `root`.
fn pack_agent(args: &AgentArgs, path: &Path, root: &Path, nft: &Path) -> Result<(Image, Packed)> {
    let executable = read(&libraries::below(root, nft))?;
    let machine = Machine::of(&executable)
        .with_context(|| format!("read {}", nft.display()))?
        .with_context(|| format!("{} is for a machine that no image is made for", nft.display()))?;
    let libraries = libraries::closure(root, nft, &libraries::loader_directories(machine))
        .with_context(|| format!("collect the libraries of {}", nft.display()))?;
    let image = recipe::agent(read(path)?, Nft { executable, libraries }, &args.version)
        .with_context(|| format!("put {} into an image", path.display()))?;
    ensure!(
        image.architecture == machine.image_name(),
        "{} is for {}, and {} for {}",
        path.display(),
        image.architecture,
        nft.display(),
        machine.image_name()
    );
    let packed = recipe::pack_agent(&image, args.limit).context("pack the agent image")?;
    Ok((image, packed))
}

/// Lays the image out in a folder of its own, anew.
fn write_layout(out: &Path, layout: &Layout) -> Result<()> {
    let folder = beside(out, "oci");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    for (name, content) in layout.files() {
        write_file(&folder.join(name), &content)?;
    }
    write_file(&beside(out, "digest"), format!("{}\n", layout.digest).as_bytes())
}

fn pack_test(path: &Path, request: TestImage) -> Result<(Image, Packed)> {
    let name = path.file_name().with_context(|| format!("name the program {}", path.display()))?;
    let image = recipe::test(read(path)?, Path::new(name), request)
        .with_context(|| format!("put {} into an image", path.display()))?;
    let packed = image.pack().context("pack the test image")?;
    Ok((image, packed))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn write(out: &Path, packed: &Packed) -> Result<()> {
    write_file(out, &packed.archive)?;
    write_file(&beside(out, "manifest"), format!("{}\n", packed.manifest).as_bytes())?;
    write_file(&beside(out, "id"), format!("{}\n", packed.id).as_bytes())
}

/// Both extensions of FILE.tar.gz give way to one.
fn beside(out: &Path, extension: &str) -> PathBuf {
    out.with_extension("").with_extension(extension)
}

/// What an earlier run wrote would speak of another image.
fn remove_old(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    write_if_different(path, content)
}

/// A new modification time would make cargo build again what carries the archive.
fn write_if_different(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{line}")
}

fn report(image: &Image, packed: &Packed, list: Option<&layer::Files>) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "image {}\nid    {}\nid    {} in containerd", image.tag, packed.id, packed.manifest)?;
    writeln!(out, "size  {} bytes, {} compressed", packed.size, packed.archive.len())?;
    for (path, file) in list.into_iter().flatten() {
        writeln!(out, "{:>9}  {}", file.content.len(), path.display())?;
    }
    Ok(())
}
