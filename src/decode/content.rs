//! What is packed in a body: archives opened layer by layer, and made again, so that what is in them can be read and changed.
//! Pure.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::archive::{self, Archive};
use super::elements::Budget;
use super::{DecodeError, LAYERS_MAX};

/// A body, with what is in its archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// No archive.
    Plain(Vec<u8>),
    /// A gzip file.
    Gzip(Box<Content>),
    /// A zip file: its files by their names, in their order.
    Zip(Vec<(String, Content)>),
}

impl Content {
    /// What is in a body, where its archives hold no more than so many bytes. An archive that can't be opened is left as it is.
    #[must_use]
    pub fn of(body: &[u8], bytes_max: usize) -> Self {
        Self::opened(body, LAYERS_MAX, &mut Budget::new(bytes_max)).unwrap_or_else(|_| Self::Plain(body.to_vec()))
    }

    fn opened(body: &[u8], layers: usize, budget: &mut Budget) -> Result<Self, DecodeError> {
        let Some(archive) = Archive::of(body) else { return Ok(Self::Plain(body.to_vec())) };
        let layers = layers.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        match archive {
            Archive::Gzip => Ok(Self::Gzip(Box::new(Self::opened(&archive::gunzip(body, budget)?, layers, budget)?))),
            Archive::Zip => {
                let archive = archive::zip(body)?;
                let mut files = Vec::new();
                for file in archive::files(&archive)? {
                    let name = String::from_utf8_lossy(file.name).into_owned();
                    files.push((name, Self::opened(&file.open(budget)?, layers, budget)?));
                }
                Ok(Self::Zip(files))
            }
        }
    }

    /// The same with what is in its archives changed, and their files named anew. `change` gets the name of the file in a zip
    /// file, or nothing; `rename` its number, from 1 on, and its name.
    #[must_use]
    pub fn changed(
        self,
        change: &mut dyn FnMut(&str, Vec<u8>) -> Vec<u8>,
        rename: &dyn Fn(usize, &str) -> String,
    ) -> Self {
        self.changed_as("", change, rename)
    }

    fn changed_as(
        self,
        name: &str,
        change: &mut dyn FnMut(&str, Vec<u8>) -> Vec<u8>,
        rename: &dyn Fn(usize, &str) -> String,
    ) -> Self {
        match self {
            Self::Plain(bytes) => Self::Plain(change(name, bytes)),
            Self::Gzip(inner) => Self::Gzip(Box::new(inner.changed_as(name, change, rename))),
            Self::Zip(files) => {
                let files = files.into_iter().enumerate();
                let files =
                    files.map(|(at, (name, file))| (rename(at + 1, &name), file.changed_as(&name, change, rename)));
                Self::Zip(files.collect())
            }
        }
    }

    /// The body again: other bytes than once, with the same in them.
    ///
    /// # Errors
    /// Where a name can't stand in a zip file.
    pub fn packed(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(bytes) => Ok(bytes.clone()),
            Self::Gzip(inner) => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&inner.packed()?)?;
                encoder.finish()
            }
            Self::Zip(files) => zip(files).map_err(io::Error::other),
        }
    }
}

fn zip(files: &[(String, Content)]) -> Result<Vec<u8>, rawzip::Error> {
    let mut bytes = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut bytes);
    for (name, content) in files {
        let (mut entry, config) =
            archive.new_file(name.as_str()).compression_method(CompressionMethod::STORE).start()?;
        let mut writer = config.wrap(&mut entry);
        writer.write_all(&content.packed().map_err(rawzip::Error::from)?).map_err(rawzip::Error::from)?;
        let (_, descriptor) = writer.finish()?;
        entry.finish(descriptor)?;
    }
    archive.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Content {
        Content::Plain(text.as_bytes().to_vec())
    }

    #[test]
    fn what_is_opened_and_packed_again_holds_the_same() {
        let gzip = Content::Gzip(Box::new(plain("{\"a\":1}\n")));
        let zip =
            Content::Zip(vec![("a.csv".to_owned(), plain("x,y\n1,2\n")), ("b/c.json.gz".to_owned(), gzip.clone())]);
        for content in [plain("[]"), gzip, zip] {
            let body = content.packed().expect("it is packed");
            assert_eq!(Content::of(&body, 1024), content);
        }
    }

    #[test]
    fn what_can_not_be_opened_is_left_as_it_is() {
        let large = Content::Gzip(Box::new(plain(&" ".repeat(2000)))).packed().expect("it is packed");
        let cut = large[..large.len() / 2].to_vec();
        let deep = Content::Gzip(Box::new(Content::Gzip(Box::new(Content::Gzip(Box::new(plain("1")))))));
        let deep = deep.packed().expect("it is packed");
        for (body, bytes_max) in [(large, 1000), (cut, 10_000), (deep, 10_000)] {
            assert_eq!(Content::of(&body, bytes_max), Content::Plain(body));
        }
    }

    #[test]
    fn every_file_of_every_layer_is_changed_and_named_anew() {
        let zip = Content::Zip(vec![("alice.csv".to_owned(), Content::Gzip(Box::new(plain("a"))))]);
        let changed = zip.changed(&mut |_, bytes| [bytes, b"b".to_vec()].concat(), &|number, name| {
            format!("file-{number}{}", name.trim_start_matches("alice"))
        });
        assert_eq!(changed, Content::Zip(vec![("file-1.csv".to_owned(), Content::Gzip(Box::new(plain("ab"))))]));
    }
}
