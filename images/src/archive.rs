//! An image and its form as a file: what `docker load` reads (manifest.json, one configuration, one layer).
//! Pure; the same image is the same bytes on every machine. Refuses to know what the image is for.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::layer::{self, File, Files};

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
    /// The image's identity to Docker: `sha256:` and the digest of its configuration.
    pub id: String,
    /// Size of the layer, uncompressed, in bytes.
    pub size: usize,
    /// The docker-archive, gzip.
    pub archive: Vec<u8>,
}

impl Image {
    /// Packs the image.
    ///
    /// # Errors
    /// When a path does not fit into an archive.
    pub fn pack(&self) -> io::Result<Packed> {
        let layer = layer::to_tar(&self.files)?;
        let layer_digest = digest(&layer);
        let configuration = self.configuration(&layer_digest).to_string().into_bytes();
        let id = digest(&configuration);
        let names = (format!("{id}.json"), format!("{layer_digest}.tar"));
        let manifest = json!([{"Config": names.0, "RepoTags": [self.tag], "Layers": [names.1]}]);
        let size = layer.len();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in [
            ("manifest.json", manifest.to_string().into_bytes()),
            (names.0.as_str(), configuration),
            (names.1.as_str(), layer),
        ] {
            layer::append(&mut tar, Path::new(name), tar::EntryType::Regular, &File::data(content))?;
        }
        Ok(Packed { id: format!("sha256:{id}"), size, archive: gzip(&tar.into_inner()?)? })
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

    #[test]
    fn the_manifest_leads_to_a_configuration_and_a_layer_that_match_their_digests() {
        let packed = image().pack().unwrap();

        let files = unpack(&packed.archive);
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let of = |value: &Value| files[value.as_str().unwrap()].clone();
        let (configuration, layer) = (of(&manifest[0]["Config"]), of(&manifest[0]["Layers"][0]));
        assert_eq!(manifest[0]["RepoTags"], json!(["example:1"]));
        assert_eq!(packed.id, format!("sha256:{}", digest(&configuration)));
        assert_eq!(packed.size, layer.len());
        let configuration: Value = serde_json::from_slice(&configuration).unwrap();
        assert_eq!(configuration["rootfs"]["diff_ids"], json!([format!("sha256:{}", digest(&layer))]));
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
