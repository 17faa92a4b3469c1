//! An image as registries keep it: an OCI image layout whose index lists one manifest for each platform.
//! Pure; the same image is the same bytes on every machine. Refuses to know where registries are.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use crate::archive::{Image, digest, gzip};
use crate::layer;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Blobs by their digest (`sha256:...`), and which of them is the index.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The digest of the index: what is pushed can be pulled by it.
    pub digest: String,
    /// By which the index can be found in the layout.
    pub tag: String,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Layout {
    /// Lays images of one program out, one for each platform. Their labels are annotations of the index too.
    ///
    /// # Errors
    /// When a path does not fit into an archive.
    pub fn of(tag: &str, images: &[Image]) -> io::Result<Self> {
        let mut blobs = Blobs::default();
        let manifests = images.iter().map(|image| blobs.add_image(image)).collect::<io::Result<Vec<_>>>()?;
        let annotations = images.first().map(|image| &image.labels);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": manifests,
            "annotations": annotations,
        });
        let digest = blobs.add(index.to_string().into_bytes()).0;
        Ok(Self { digest, tag: tag.to_owned(), blobs: blobs.0 })
    }

    /// The files of the layout, by their path in it.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let blobs = self
            .blobs
            .iter()
            .map(|(digest, blob)| (format!("blobs/{}", digest.replace(':', "/")), blob.clone()));
        let entry = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": INDEX,
                "digest": self.digest,
                "size": self.blobs[&self.digest].len(),
                "annotations": {"org.opencontainers.image.ref.name": self.tag},
            }],
        });
        let marks = [
            ("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes()),
            ("index.json".to_owned(), entry.to_string().into_bytes()),
        ];
        blobs.chain(marks).collect()
    }
}

#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Adds a blob; gives its digest and its size.
    fn add(&mut self, blob: Vec<u8>) -> (String, usize) {
        let (digest, size) = (format!("sha256:{}", digest(&blob)), blob.len());
        self.0.insert(digest.clone(), blob);
        (digest, size)
    }

    /// Adds layer, configuration and manifest of an image; gives the descriptor of the manifest.
    fn add_image(&mut self, image: &Image) -> io::Result<Value> {
        let layer = layer::to_tar(&image.files)?;
        let configuration = self.add(image.configuration(&digest(&layer)).to_string().into_bytes());
        let layer = self.add(gzip(&layer)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIGURATION, &configuration),
            "layers": [descriptor(LAYER, &layer)],
            "annotations": image.labels,
        });
        let mut entry = descriptor(MANIFEST, &self.add(manifest.to_string().into_bytes()));
        entry["platform"] = json!({"architecture": image.architecture, "os": "linux"});
        Ok(entry)
    }
}

fn descriptor(media_type: &str, (digest, size): &(String, usize)) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{File, Files};

    fn image(architecture: &'static str) -> Image {
        Image {
            tag: "example:1".to_owned(),
            architecture,
            files: Files::from([("/example".into(), File::executable(architecture.as_bytes().to_vec()))]),
            entrypoint: vec!["/example".to_owned()],
            expose: Vec::new(),
            stop_signal: "SIGTERM",
            labels: BTreeMap::from([("org.opencontainers.image.version", "1".to_owned())]),
        }
    }

    fn blob(layout: &Layout, descriptor: &Value) -> Value {
        let files = layout.files();
        let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
        let blob = &files[&format!("blobs/{digest}")];
        assert_eq!(descriptor["size"], blob.len());
        serde_json::from_slice(blob).unwrap_or_default()
    }

    #[test]
    fn an_index_leads_to_the_image_of_each_platform() {
        let layout = Layout::of("1", &[image("amd64"), image("arm64")]).unwrap();

        let entry: Value = serde_json::from_slice(&layout.files()["index.json"]).unwrap();
        assert_eq!(entry["manifests"][0]["digest"], *layout.digest);
        let index = blob(&layout, &entry["manifests"][0]);
        assert_eq!(index["annotations"]["org.opencontainers.image.version"], "1");
        for (entry, architecture) in index["manifests"].as_array().unwrap().iter().zip(["amd64", "arm64"]) {
            assert_eq!(entry["platform"]["architecture"], architecture);
            let manifest = blob(&layout, entry);
            assert_eq!(blob(&layout, &manifest["config"])["architecture"], architecture);
            blob(&layout, &manifest["layers"][0]);
        }
    }

    #[test]
    fn every_blob_is_called_by_its_digest() {
        let layout = Layout::of("1", &[image("amd64")]).unwrap();

        assert_eq!(layout.blobs.len(), 4);
        for (name, blob) in &layout.blobs {
            assert_eq!(*name, format!("sha256:{}", digest(blob)));
        }
    }

    #[test]
    fn two_layouts_of_one_image_are_the_same() {
        assert_eq!(Layout::of("1", &[image("amd64")]).unwrap(), Layout::of("1", &[image("amd64")]).unwrap());
    }
}
