//! Bodies as they stand in the file: text where they are text, and what is in them where they are archives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::decode::Content;

/// A body, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileContent {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) body: String,
    /// A body that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body_base64: Option<String>,
    /// It is a gzip file of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gzip: Option<Box<FileContent>>,
    /// It is a zip file of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) zip: Option<Vec<ZippedContent>>,
}

/// A file in a zip file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ZippedContent {
    name: String,
    content: FileContent,
}

impl FileContent {
    pub(super) fn of(content: Content) -> Self {
        let empty = Self::default();
        match content {
            Content::Plain(bytes) => match String::from_utf8(bytes) {
                Ok(body) => Self { body, ..empty },
                Err(error) => Self { body_base64: Some(STANDARD.encode(error.as_bytes())), ..empty },
            },
            Content::Gzip(inner) => Self { gzip: Some(Box::new(Self::of(*inner))), ..empty },
            Content::Zip(files) => {
                let files = files.into_iter().map(|(name, file)| ZippedContent { name, content: Self::of(file) });
                Self { zip: Some(files.collect()), ..empty }
            }
        }
    }

    pub(super) fn content(&self) -> Result<Content, String> {
        let Self { body, body_base64, gzip, zip } = self;
        Ok(match (body.as_str(), body_base64, gzip, zip) {
            (body, None, None, None) => Content::Plain(body.as_bytes().to_vec()),
            ("", Some(encoded), None, None) => {
                Content::Plain(STANDARD.decode(encoded).map_err(|_| "its body is not base64".to_owned())?)
            }
            ("", None, Some(inner), None) => Content::Gzip(Box::new(inner.content()?)),
            ("", None, None, Some(files)) => {
                let files = files.iter().map(|file| Ok((file.name.clone(), file.content.content()?)));
                Content::Zip(files.collect::<Result<_, String>>()?)
            }
            _ => return Err("it has more than one of `body`, `body_base64`, `gzip` and `zip`".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_written_so_that_people_read_what_is_in_it_and_read_again() {
        let plain = |text: &str| Content::Plain(text.as_bytes().to_vec());
        let files = vec![
            ("a.ndjson".to_owned(), plain("{\"a\":1}\n")),
            ("b.gz".to_owned(), Content::Gzip(Box::new(plain("{\"b\":2}")))),
        ];
        for content in [plain(""), plain("x"), Content::Plain(vec![0xff, 0]), Content::Zip(files)] {
            let written = serde_yaml::to_string(&FileContent::of(content.clone())).expect("YAML");
            let read: FileContent = serde_yaml::from_str(&written).expect("YAML");
            assert_eq!(read.content(), Ok(content), "{written}");
        }
        let written = serde_yaml::to_string(&FileContent::of(Content::Gzip(Box::new(plain("[1]"))))).expect("YAML");
        assert_eq!(written, "gzip:\n  body: '[1]'\n");
    }

    #[test]
    fn what_says_two_things_at_once_is_refused() {
        for text in ["{body: x, body_base64: eA==}", "{gzip: {body: x}, zip: []}", "{body_base64: '*'}"] {
            let read: FileContent = serde_yaml::from_str(text).expect("YAML");
            assert!(read.content().is_err(), "{text}");
        }
    }
}
