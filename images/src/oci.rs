//! An OCI image layout: blobs that are called by their digests, and an index. As registries keep an image, the index lists one
//! manifest for each platform.
//! Pure; the same image is the same bytes on every machine. Refuses to know where registries are.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use crate::archive::{Image, digest, gzip};
use crate::layer;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Blobs, and which of them is the index.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The digest of the index: what is pushed can be pulled by it.
    pub digest: String,
    /// By which the index can be found in the layout.
    pub tag: String,
    blobs: Blobs,
}

impl Layout {
    /// Lays images of one program out, one for each platform. Their labels are annotations of the index too.
    ///
    /// # Errors
    /// When a path does not fit into an archive.
    pub fn of(tag: &str, images: &[Image]) -> io::Result<Self> {
        let mut blobs = Blobs::default();
        let add = |image| blobs.add_image(image, Compression::Gzip).map(|added| added.manifest);
        let manifests = images.iter().map(add).collect::<io::Result<Vec<_>>>()?;
        let annotations = images.first().map(|image| &image.labels);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": manifests,
            "annotations": annotations,
        });
        let digest = blobs.add(index.to_string().into_bytes()).0;
        Ok(Self { digest, tag: tag.to_owned(), blobs })
    }

    /// The files of the layout, by their path in it.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut index = descriptor(INDEX, &(self.digest.clone(), self.blobs.0[&self.digest].len()));
        index["annotations"] = json!({"org.opencontainers.image.ref.name": self.tag});
        self.blobs.files(&index)
    }
}

/// How a layer is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// As registries want it.
    Gzip,
}

/// An image among blobs.
pub struct Added {
    /// The descriptor of the manifest.
    pub manifest: Value,
    /// The digest of the configuration.
    pub configuration: String,
    /// The digest of the layer.
    pub layer: String,
    /// Size of the layer, uncompressed, in bytes.
    pub size: usize,
}

/// Blobs by their digest (`sha256:...`).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Adds a blob; gives its digest and its size.
    fn add(&mut self, blob: Vec<u8>) -> (String, usize) {
        let (digest, size) = (format!("sha256:{}", digest(&blob)), blob.len());
        self.0.insert(digest.clone(), blob);
        (digest, size)
    }

    /// Adds layer, configuration and manifest of an image.
    ///
    /// # Errors
    /// When a path does not fit into an archive.
    pub fn add_image(&mut self, image: &Image, compression: Compression) -> io::Result<Added> {
        let tar = layer::to_tar(&image.files)?;
        let size = tar.len();
        let configuration = self.add(image.configuration(&digest(&tar)).to_string().into_bytes());
        let (media_type, blob) = match compression {
            Compression::None => (LAYER.to_owned(), tar),
            Compression::Gzip => (format!("{LAYER}+gzip"), gzip(&tar)?),
        };
        let layer = self.add(blob);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIGURATION, &configuration),
            "layers": [descriptor(&media_type, &layer)],
            "annotations": image.labels,
        });
        let mut entry = descriptor(MANIFEST, &self.add(manifest.to_string().into_bytes()));
        entry["platform"] = json!({"architecture": image.architecture, "os": "linux"});
        Ok(Added { manifest: entry, configuration: configuration.0, layer: layer.0, size })
    }

    /// The files of a layout whose index has one entry, by their path in it.
    pub fn files(&self, entry: &Value) -> BTreeMap<String, Vec<u8>> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        let marks = [("oci-layout", json!({"imageLayoutVersion": "1.0.0"})), ("index.json", index)];
        let marks = marks.map(|(name, content)| (name.to_owned(), content.to_string().into_bytes()));
        self.0.iter().map(|(digest, blob)| (path(digest), blob.clone())).chain(marks).collect()
    }
}

/// Where in a layout the blob with that digest is.
pub fn path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
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
        let blob = &files[&path(descriptor["digest"].as_str().unwrap())];
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

        assert_eq!(layout.blobs.0.len(), 4);
        for (name, blob) in &layout.blobs.0 {
            assert_eq!(*name, format!("sha256:{}", digest(blob)));
        }
    }

    #[test]
    fn two_layouts_of_one_image_are_the_same() {
        assert_eq!(Layout::of("1", &[image("amd64")]).unwrap(), Layout::of("1", &[image("amd64")]).unwrap());
    }
}
