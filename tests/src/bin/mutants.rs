//! Puts bugs of other DHCP clients (`tests/mutants`) into a copy of our sources, one at a time, and runs the agent's
//! tests: prints which fail, and writes them into docs/mutants.md. It fails if a bug goes unnoticed, if one of its
//! patterns does not apply, or if it does not compile.
//!
//! Arguments select mutants by the beginning of their names; the other rows of the page then stay as they are. With
//! `--check` it only applies the patterns.
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use landfall_tests::{
    mutant::{Mutant, failed_tests, page, row},
    removal::Folder,
};

/// The exit code of `cargo nextest run` if tests failed.
const FAILED: i32 = 100;

/// The processor time of each test, and of the compiler. A bug may be a loop without end, and unlike time on the wall this
/// is the same on a busy machine.
const LIMIT: &str = "--cpu=60";

fn main() -> anyhow::Result<()> {
    let (flags, words): (Vec<String>, _) = env::args().skip(1).partition(|word| word.starts_with('-'));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let all = mutants(&root)?;
    let names: Vec<String> = all.keys().cloned().collect();
    let mutants = selected(all, &words)?;
    report(mutants.iter().filter_map(|(name, mutant)| {
        let applied = mutant.apply(|file| fs::read_to_string(root.join(file)));
        applied.err().map(|error| format!("{name}: {error:#}"))
    }))?;
    match flags.as_slice() {
        [] => run(&root, &mutants, &names),
        [flag] if flag == "--check" => {
            println!("{} mutants apply", mutants.len());
            Ok(())
        }
        [..] => bail!("the only option is --check, not {flags:?}"),
    }
}

/// The mutants by name, in order.
fn mutants(root: &Path) -> anyhow::Result<BTreeMap<String, Mutant>> {
    let mut mutants = BTreeMap::new();
    for entry in fs::read_dir(root.join("tests/mutants"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path)?;
            let mutant = Mutant::parse(&text).with_context(|| format!("parse {}", path.display()))?;
            mutants.insert(stem(&path), mutant);
        }
    }
    Ok(mutants)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn selected(all: BTreeMap<String, Mutant>, words: &[String]) -> anyhow::Result<BTreeMap<String, Mutant>> {
    let words: Vec<String> = words.iter().map(|word| stem(Path::new(word))).collect();
    if let Some(word) = words.iter().find(|word| !all.keys().any(|name| name.starts_with(word.as_str()))) {
        bail!("no mutant has a name that begins with {word:?}");
    }
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.starts_with(word));
    Ok(all.into_iter().filter(|(name, _)| is_wanted(name)).collect())
}

/// Fails with all the problems, if there are any.
fn report(problems: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let problems: Vec<String> = problems.collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

fn run(root: &Path, mutants: &BTreeMap<String, Mutant>, names: &[String]) -> anyhow::Result<()> {
    let tree = Tree::copy(root)?;
    let verdict = tree.test()?;
    ensure!(matches!(verdict, Verdict::Unnoticed), "the tests fail without any bug: {verdict:?}");
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (name, mutant) in mutants {
        match tree.test_with(mutant)? {
            Verdict::Noticed(tests) => {
                let row = row(name, &mutant.bug_of, &tests);
                println!("{row}");
                rows.push(row);
            }
            Verdict::Unnoticed => problems.push(format!("{name}: no test notices it")),
            Verdict::Broken(output) => problems.push(format!("{name}: no result\n{output}")),
        }
    }
    report(problems.into_iter())?;
    let file = root.join("docs/mutants.md");
    fs::write(&file, page(&fs::read_to_string(&file)?, names, &rows)).context("write docs/mutants.md")
}

/// What the tests say of a bug.
#[derive(Debug)]
enum Verdict {
    /// These failed or came to no end.
    Noticed(BTreeSet<String>),
    /// All passed.
    Unnoticed,
    /// They do not compile, or did not run: what cargo printed.
    Broken(String),
}

/// A copy of the sources, and the folder that cargo builds them in.
struct Tree {
    sources: Folder,
    target: PathBuf,
}

impl Tree {
    /// Copies everything but what git ignores. The copies are new, so that cargo builds from them whatever it built before.
    fn copy(root: &Path) -> anyhow::Result<Self> {
        let sources = Folder::new();
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("run git")?;
        ensure!(listed.status.success(), "list the sources: {}", String::from_utf8_lossy(&listed.stderr));
        for file in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let (from, to) = (root.join(file), sources.path().join(file));
            // git lists files that were deleted since the last commit, too.
            if from.is_file() {
                fs::create_dir_all(to.parent().expect("a file is in a folder"))?;
                fs::copy(&from, &to).with_context(|| format!("copy {file}"))?;
            }
        }
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { sources, target: target.join("mutants") })
    }

    /// Tests the sources with a bug, which is taken out again.
    fn test_with(&self, mutant: &Mutant) -> anyhow::Result<Verdict> {
        let read = |file: &Path| fs::read_to_string(self.sources.path().join(file));
        let changed = mutant.apply(read)?;
        let originals: Vec<_> =
            changed.keys().map(|file| Ok((file, read(file)?))).collect::<anyhow::Result<_>>()?;
        for (file, text) in &changed {
            fs::write(self.sources.path().join(file), text)?;
        }
        let verdict = self.test();
        for (file, text) in originals {
            fs::write(self.sources.path().join(file), text)?;
        }
        verdict
    }

    /// Builds and runs the tests. One world of the simulation is enough: what only many of them notice lacks a test of
    /// its own.
    fn test(&self) -> anyhow::Result<Verdict> {
        let output = Command::new("prlimit")
            .args([LIMIT, "cargo", "nextest", "run", "--locked"])
            .args(["--config-file", "tests/mutants/nextest.toml", "--message-format", "libtest-json"])
            .args(["-p", "landfall-agent", "--lib", "--test", "dhcp"])
            .env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1")
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("LANDFALL_WORLDS", "1")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .current_dir(self.sources.path())
            .output()
            .context("run cargo nextest")?;
        let failed = failed_tests(&String::from_utf8_lossy(&output.stdout));
        Ok(match output.status.code() {
            Some(0) => Verdict::Unnoticed,
            Some(FAILED) if !failed.is_empty() => Verdict::Noticed(failed),
            _ => Verdict::Broken(String::from_utf8_lossy(&output.stderr).into_owned()),
        })
    }
}
