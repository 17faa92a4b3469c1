//! The bill of materials of the agent image, as SPDX 2.3: every crate in the agent, every package of the distribution that a file is of.
//! Pure; the same contents are the same bytes. Refuses to know how the contents were found out.

use std::collections::BTreeMap;
use std::iter;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::distribution::Distribution;

/// Where to find what is no file of its own.
const LINKED: &str = "linked into /landfall-agent";

/// What is in the image.
pub struct Contents<'a> {
    /// The image's version.
    pub version: &'a str,
    /// The image's id: `sha256:` and the digest of its configuration.
    pub id: &'a str,
    /// What all of it is licensed under.
    pub licenses: &'a str,
    /// The compiler's version, whose standard library is linked into the agent.
    pub rust: &'a str,
    /// The crates that are linked into it.
    pub crates: Vec<Crate>,
    /// The libraries that are linked into it, by their file names, and the packages that they are of, if any.
    pub linked: Vec<(String, Option<Package>)>,
    /// The packages that the other files were taken from; none for those of no package.
    pub packages: BTreeMap<Option<Package>, Vec<PathBuf>>,
    /// Whose packages those are.
    pub distribution: Distribution,
}

impl Contents<'_> {
    /// The libraries and files that are of no package.
    pub fn of_no_package(&self) -> impl Iterator<Item = String> {
        let linked =
            self.linked.iter().filter(|(_, package)| package.is_none()).map(|(name, _)| name.clone());
        let files = self.packages.get(&None).into_iter().flatten().map(|file| file.display().to_string());
        linked.chain(files)
    }
}

/// A crate, as `cargo tree --format '{p}|{l}'` shows it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    name: String,
    version: String,
    /// An SPDX expression.
    pub license: Option<String>,
    is_of_registry: bool,
}

/// A package that dpkg installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name, without the architecture.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, as Debian calls it.
    pub architecture: String,
}

/// Why a line of `cargo tree` is not understood.
#[derive(Debug, thiserror::Error)]
#[error("not a crate as `cargo tree --prefix none --format '{{p}}|{{l}}'` shows it: {0:?}")]
pub struct NoCrate(String);

impl std::str::FromStr for Crate {
    type Err = NoCrate;

    fn from_str(line: &str) -> Result<Self, NoCrate> {
        let (package, license) = line.split_once('|').ok_or_else(|| NoCrate(line.to_owned()))?;
        let mut words = package.split(' ');
        let (Some(name), Some(version)) =
            (words.next(), words.next().and_then(|word| word.strip_prefix('v')))
        else {
            return Err(NoCrate(line.to_owned()));
        };
        // Old crates separate alternatives with a slash, which SPDX does not know.
        let license = Some(license.replace('/', " OR ")).filter(|license| !license.is_empty());
        // A crate of this workspace is followed by where it is.
        let is_of_registry = words.next().is_none_or(|word| !word.starts_with("(/"));
        Ok(Self { name: name.to_owned(), version: version.to_owned(), license, is_of_registry })
    }
}

/// Reads what `cargo tree` printed: each crate once, in order.
///
/// # Errors
/// The first line that is no crate.
pub fn crates(tree: &str) -> Result<Vec<Crate>, NoCrate> {
    let mut crates =
        tree.lines().filter(|line| !line.is_empty()).map(str::parse).collect::<Result<Vec<_>, _>>()?;
    crates.sort();
    crates.dedup();
    Ok(crates)
}

/// The document.
pub fn document(contents: &Contents<'_>) -> Value {
    let image = json!({
        "SPDXID": "SPDXRef-image",
        "name": "landfall-agent",
        "versionInfo": contents.version,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseDeclared": contents.licenses,
        "supplier": "NOASSERTION",
    });
    let std = Crate {
        name: "std".to_owned(),
        version: contents.rust.to_owned(),
        license: Some("MIT OR Apache-2.0".to_owned()),
        is_of_registry: false,
    };
    let crates = contents.crates.iter().chain([&std]).map(of_crate);
    let nft = json!({
        "SPDXID": "SPDXRef-nft",
        "name": "nft",
        "versionInfo": contents.version,
        "primaryPackagePurpose": "APPLICATION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseDeclared": "(MIT OR Apache-2.0) AND GPL-2.0-only",
        "supplier": "NOASSERTION",
        "sourceInfo": "landfall's own, of images/nft.c; runs libnftables",
    });
    let linked = contents.linked.iter().map(|(name, package)| match package {
        Some(package) => of_package(package, contents.distribution, LINKED),
        None => of_file(name, LINKED),
    });
    let packages = contents.packages.iter().flat_map(|(package, files)| match package {
        Some(package) => vec![of_package(package, contents.distribution, &join(files))],
        None => files.iter().map(|file| of_file(&file.display().to_string(), "of no package")).collect(),
    });
    let parts: Vec<Value> = crates.chain([nft]).chain(linked).chain(packages).collect();
    let relationships = parts.iter().map(|part| relationship("SPDXRef-image", "CONTAINS", &part["SPDXID"]));
    let described = relationship("SPDXRef-DOCUMENT", "DESCRIBES", &image["SPDXID"]);
    let relationships: Vec<Value> = iter::once(described).chain(relationships).collect();
    let packages: Vec<Value> = iter::once(image).chain(parts.iter().cloned()).collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "dataLicense": "CC0-1.0",
        "name": format!("landfall-agent-{}", contents.version),
        "documentNamespace": format!("https://spdx.org/spdxdocs/landfall-agent-{}", contents.id.replace(':', "-")),
        "creationInfo": {
            // Of no use, and required; the time would make each build another.
            "created": "1970-01-01T00:00:00Z",
            "creators": [format!("Tool: landfall-images-{}", env!("CARGO_PKG_VERSION"))],
        },
        "relationships": relationships,
        "packages": packages,
    })
}

fn of_crate(part: &Crate) -> Value {
    let locator = format!("pkg:cargo/{}@{}", part.name, part.version);
    let origin = format!("https://crates.io/crates/{}/{}", part.name, part.version);
    json!({
        "SPDXID": format!("SPDXRef-crate-{}-{}", identifier(&part.name), identifier(&part.version)),
        "name": part.name,
        "versionInfo": part.version,
        "primaryPackagePurpose": "LIBRARY",
        "downloadLocation": if part.is_of_registry { &origin } else { "NOASSERTION" },
        "filesAnalyzed": false,
        "licenseDeclared": part.license.as_deref().unwrap_or("NOASSERTION"),
        "supplier": "NOASSERTION",
        "sourceInfo": LINKED,
        "externalRefs": if part.is_of_registry { vec![purl(&locator)] } else { Vec::new() },
    })
}

fn join(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ")
}

fn of_package(package: &Package, distribution: Distribution, source: &str) -> Value {
    let Package { name, version, architecture } = package;
    // A purl writes these characters of a Debian version in hexadecimal.
    let encoded = version.replace('%', "%25").replace('+', "%2B").replace(':', "%3A").replace('~', "%7E");
    let encoded_name = name.replace('+', "%2B");
    let locator = distribution
        .namespace()
        .map(|namespace| purl(&format!("pkg:deb/{namespace}/{encoded_name}@{encoded}?arch={architecture}")));
    json!({
        "SPDXID": format!("SPDXRef-deb-{}-{}", identifier(name), identifier(version)),
        "name": name,
        "versionInfo": version,
        "primaryPackagePurpose": "LIBRARY",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseDeclared": "NOASSERTION",
        "supplier": distribution.supplier(),
        "sourceInfo": source,
        "externalRefs": locator.into_iter().collect::<Vec<_>>(),
    })
}

/// What is of no package is named, and nothing is said of it.
fn of_file(name: &str, source: &str) -> Value {
    json!({
        "SPDXID": format!("SPDXRef-file-{}", identifier(name)),
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseDeclared": "NOASSERTION",
        "supplier": "NOASSERTION",
        "sourceInfo": source,
    })
}

fn purl(locator: &str) -> Value {
    json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator})
}

fn relationship(from: &str, kind: &str, to: &Value) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// Letters, digits, dots and dashes are all that an SPDX identifier may have.
fn identifier(text: &str) -> String {
    text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "landfall-agent v0.1.0 (/src/agent)|MIT\nmio v1.2.5|MIT\nbytes v1.0.0|MIT/Apache-2.0\nmio v1.2.5|MIT\n";

    fn contents() -> Contents<'static> {
        let libc =
            Package { name: "libc6".into(), version: "2.36-9+deb12u14".into(), architecture: "amd64".into() };
        Contents {
            version: "1",
            id: "sha256:00",
            licenses: "MIT",
            rust: "1.95.0",
            crates: crates(TREE).unwrap(),
            linked: Vec::new(),
            packages: BTreeMap::from([(Some(libc), vec!["/lib/libc.so.6".into()])]),
            distribution: Distribution::Debian,
        }
    }

    #[test]
    fn each_crate_is_listed_once_with_a_license_that_spdx_knows() {
        let crates = crates(TREE).unwrap();

        let listed: Vec<_> =
            crates.iter().map(|c| (&*c.name, c.license.as_deref().unwrap(), c.is_of_registry)).collect();
        assert_eq!(
            listed,
            [("bytes", "MIT OR Apache-2.0", true), ("landfall-agent", "MIT", false), ("mio", "MIT", true)]
        );
    }

    #[test]
    fn a_line_that_is_no_crate_is_named() {
        let error = crates("mio 1.2.5|MIT").unwrap_err().to_string();

        assert!(error.contains("mio 1.2.5|MIT"), "{error}");
    }

    #[test]
    fn the_image_contains_all_its_parts() {
        let document = document(&contents());

        let packages = document["packages"].as_array().unwrap();
        let relationships = document["relationships"].as_array().unwrap();
        assert_eq!((packages.len(), relationships.len()), (7, 7));
        let libc = &packages[6];
        assert_eq!(libc["SPDXID"], "SPDXRef-deb-libc6-2.36-9-deb12u14");
        assert_eq!(libc["sourceInfo"], "/lib/libc.so.6");
        let locator = &libc["externalRefs"][0]["referenceLocator"];
        assert_eq!(locator, "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64");
    }

    #[test]
    fn what_is_of_no_package_is_named_and_nothing_is_said_of_it() {
        let packages =
            BTreeMap::from([(None, vec!["/lib/libjansson.so.4".into(), "/lib/libmnl.so.0".into()])]);
        let linked = vec![("libc.a".to_owned(), None)];

        let document = document(&Contents { linked, packages, ..contents() });

        let parts = &document["packages"].as_array().unwrap()[6..];
        let names: Vec<_> = parts.iter().map(|part| (&part["name"], &part["SPDXID"])).collect();
        assert_eq!(
            names,
            [
                (&json!("libc.a"), &json!("SPDXRef-file-libc.a")),
                (&json!("/lib/libjansson.so.4"), &json!("SPDXRef-file--lib-libjansson.so.4")),
                (&json!("/lib/libmnl.so.0"), &json!("SPDXRef-file--lib-libmnl.so.0")),
            ]
        );
        assert!(parts.iter().all(|part| part["licenseDeclared"] == "NOASSERTION"), "{parts:?}");
    }
}
