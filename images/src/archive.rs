//! An image and its form as a file: what `docker load` reads. It is an OCI image layout with a `manifest.json` of Docker's beside
//! it, as `docker save` writes since Docker 25: each kind of image store then keeps the image by a digest that is known here.
//! Pure; the same image is the same bytes on every machine. Refuses to know what the image is for.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::layer::{self, File, Files};
use crate::oci::{self, Blobs, Compression as Layers};

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct Image {
    /// `name:tag`, by which it can be found once loaded.
    pub tag: String,
    /// The architecture of its programs, as Go and therefore Docker calls it.
    pub architecture: &'static str,
    /// What is in it.
    pub files: Files,
    /// The program and its arguments.
    pub entrypoint: Vec<String>,
    /// As in Docker's `EXPOSE`: `80/tcp`.
    pub expose: Vec<String>,
    /// The signal that `docker stop` sends first.
    pub stop_signal: &'static str,
    /// Labels by name.
    pub labels: BTreeMap<&'static str, String>,
}

/// An image, packed.
#[derive(Debug, PartialEq, Eq)]
pub struct Packed {
    /// What Docker's own image store and Podman's call the image: `sha256:` and the digest of its configuration.
    pub id: String,
    /// What containerd's image store calls it: the same of its manifest.
    pub manifest: String,
    /// Size of the layer, uncompressed, in bytes.
    pub size: usize,
    /// The archive, gzip.
    pub archive: Vec<u8>,
}

impl Image {
    /// Packs the image.
    ///
    /// # Errors
    /// When a path does not fit into an archive.
    pub fn pack(&self) -> io::Result<Packed> {
        let mut blobs = Blobs::default();
        let added = blobs.add_image(self, Layers::None)?;
        let docker = json!([{
            "Config": oci::path(&added.configuration),
            "RepoTags": [self.tag],
            "Layers": [oci::path(&added.layer)],
        }]);
        let mut manifest = added.manifest;
        manifest["annotations"] = json!({"io.containerd.image.name": full_name(&self.tag)});
        let mut files = blobs.files(&manifest);
        files.insert("manifest.json".to_owned(), docker.to_string().into_bytes());
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in files {
            layer::append(&mut tar, Path::new(&name), tar::EntryType::Regular, &File::data(content))?;
        }
        Ok(Packed {
            id: added.configuration,
            manifest: manifest["digest"].as_str().unwrap_or_default().to_owned(),
            size: added.size,
            archive: gzip(&tar.into_inner()?)?,
        })
    }

    /// The image configuration of the OCI image specification, the part that Docker reads too.
    pub fn configuration(&self, layer_digest: &str) -> Value {
        let expose: BTreeMap<_, _> = self.expose.iter().map(|port| (port, json!({}))).collect();
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": ["PATH=/usr/sbin", "LANDFALL_STATE=/var/lib/landfall"],
                "ExposedPorts": expose,
                "Labels": self.labels,
                "StopSignal": self.stop_signal,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "landfall-images"}],
        })
    }
}

/// A tag as containerd's image store keeps it: Docker's own short names are those of Docker's registry.
fn full_name(tag: &str) -> String {
    match tag.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => tag.to_owned(),
        Some(_) => format!("docker.io/{tag}"),
        None => format!("docker.io/library/{tag}"),
    }
}

/// The hexadecimal digits of a SHA-256 digest.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Compresses without the file name, the time and the operating system that a gzip header can carry.
///
/// # Errors
/// Never: it writes to memory.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn image() -> Image {
        Image {
            tag: "example:1".to_owned(),
            architecture: "amd64",
            files: Files::from([("/example".into(), File::executable(b"example".to_vec()))]),
            entrypoint: vec!["/example".to_owned(), "--flag".to_owned()],
            expose: vec!["80/tcp".to_owned(), "53/udp".to_owned()],
            stop_signal: "SIGTERM",
            labels: BTreeMap::from([("title", "example".to_owned())]),
        }
    }

    fn unpack(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut tar = tar::Archive::new(GzDecoder::new(archive));
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        entries.collect()
    }

    #[test]
    fn two_packs_of_one_image_are_the_same_bytes() {
        assert_eq!(image().pack().unwrap(), image().pack().unwrap());
    }

    #[test]
    fn the_gzip_header_names_no_time_and_no_file() {
        let archive = image().pack().unwrap().archive;

        let (flags, time) = (archive[3], &archive[4..8]);
        assert_eq!((flags, time), (0, [0; 4].as_slice()));
    }

    fn json(file: &[u8]) -> Value {
        serde_json::from_slice(file).unwrap()
    }

    #[test]
    fn dockers_manifest_leads_to_a_configuration_and_a_layer_that_match_their_digests() {
        let packed = image().pack().unwrap();

        let files = unpack(&packed.archive);
        let manifest = json(&files["manifest.json"]);
        let of = |value: &Value| files[value.as_str().unwrap()].clone();
        let (configuration, layer) = (of(&manifest[0]["Config"]), of(&manifest[0]["Layers"][0]));
        assert_eq!(manifest[0]["RepoTags"], json!(["example:1"]));
        assert_eq!(packed.id, format!("sha256:{}", digest(&configuration)));
        assert_eq!(packed.size, layer.len());
        let diff_ids = &json(&configuration)["rootfs"]["diff_ids"];
        assert_eq!(*diff_ids, json!([format!("sha256:{}", digest(&layer))]));
    }

    #[test]
    fn the_index_leads_to_the_same_configuration_and_layer() {
        let packed = image().pack().unwrap();

        let files = unpack(&packed.archive);
        let docker = json(&files["manifest.json"]);
        let entry = &json(&files["index.json"])["manifests"][0];
        assert_eq!(entry["digest"], *packed.manifest);
        assert_eq!(entry["annotations"]["io.containerd.image.name"], "docker.io/library/example:1");
        let manifest = &files[&oci::path(&packed.manifest)];
        assert_eq!(packed.manifest, format!("sha256:{}", digest(manifest)));
        let manifest = json(manifest);
        let path = |descriptor: &Value| json!(oci::path(descriptor["digest"].as_str().unwrap()));
        assert_eq!(path(&manifest["config"]), docker[0]["Config"]);
        assert_eq!(path(&manifest["layers"][0]), docker[0]["Layers"][0]);
        assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar");
    }

    #[test]
    fn a_short_name_is_one_of_dockers_registry() {
        for (tag, name) in [
            ("agent:1", "docker.io/library/agent:1"),
            ("team/agent:1", "docker.io/team/agent:1"),
            ("host.example/agent:1", "host.example/agent:1"),
            ("localhost/agent:1", "localhost/agent:1"),
            ("host:5000/agent:1", "host:5000/agent:1"),
        ] {
            assert_eq!(full_name(tag), name);
        }
    }

    #[test]
    fn what_was_asked_for_is_in_the_configuration() {
        let configuration = image().configuration("00");

        let config = &configuration["config"];
        assert_eq!(config["Entrypoint"], json!(["/example", "--flag"]));
        assert_eq!(config["ExposedPorts"], json!({"53/udp": {}, "80/tcp": {}}));
        assert_eq!(config["Labels"], json!({"title": "example"}));
    }
}
