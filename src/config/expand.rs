//! `${ENV_VAR}` and `${file:/path}` in values, and placeholders that were left in.

use std::path::Path;

/// What a file's name stands behind.
const FILE_MARK: &str = "${file:";
/// A secret file is small; more is somebody's mistake.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where variables and files come from.
pub struct Surroundings<'a> {
    /// Looks an environment variable up.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative file names start from: the config's own.
    pub folder: &'a Path,
}

/// Why a value can't be filled in. It names the variable or file, never its content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpandError {
    #[error("environment variable `{0}` is not set or empty")]
    Variable(String),
    #[error("file `{name}` {cause}")]
    File { name: String, cause: String },
    #[error("`${{` is not closed")]
    NotClosed,
}

impl ExpandError {
    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => "put the value into that file, readable for the owner of the config's directory",
            Self::Variable(_) | Self::NotClosed => "set it, or write $${ for a literal ${",
        }
    }
}

/// Fills `${…}` in; `$${` stays as a literal `${`.
pub(super) fn expand(text: &str, around: &Surroundings<'_>) -> Result<String, ExpandError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from_mark) = rest.split_at(at);
        let inner = from_mark.get(2..).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = inner;
            continue;
        }
        let (name, after) = inner.split_once('}').ok_or(ExpandError::NotClosed)?;
        out.push_str(before);
        out.push_str(&lookup(name, around)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The names of the files in a text's `${file:…}`.
pub(super) fn files(text: &str) -> impl Iterator<Item = &str> {
    let named = text.split(FILE_MARK).skip(1);
    named.filter_map(|rest| rest.split_once('}')).map(|(file, _)| file.trim())
}

fn lookup(name: &str, around: &Surroundings<'_>) -> Result<String, ExpandError> {
    let Some(file) = name.strip_prefix("file:") else {
        let value = (around.variable)(name).filter(|value| !value.is_empty());
        return value.ok_or_else(|| ExpandError::Variable(name.to_owned()));
    };
    let wrong = |cause: String| ExpandError::File { name: file.to_owned(), cause };
    let path = around.folder.join(file.trim());
    let about = std::fs::metadata(&path).map_err(|error| wrong(format!("can't be read: {error}")))?;
    if !about.is_file() {
        return Err(wrong("is no regular file".to_owned()));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(wrong(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(format!("can't be read: {error}")))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(wrong("is empty".to_owned())) } else { Ok(text.to_owned()) }
}

/// The first `<<PLACEHOLDER>>` in a value.
pub(super) fn placeholder(text: &str) -> Option<&str> {
    let start = text.find("<<")?;
    let from = text.get(start..)?;
    let end = from.find(">>")? + 2;
    let inner = from.get(2..end - 2)?;
    let is_name = !inner.is_empty() && inner.chars().all(|c| c.is_ascii_alphanumeric() || "_- .".contains(c));
    if is_name { from.get(..end) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_variables_and_files_in() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), "from file\n").expect("a file");
        std::fs::write(folder.path().join("empty"), "\n").expect("a file");
        let variable = |name: &str| match name {
            "A" => Some("from env".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let around = Surroundings { variable: &variable, folder: folder.path() };
        let absolute = format!("${{file:{}}}", folder.path().join("key").display());
        for (text, expected) in [
            ("plain $ {A}", "plain $ {A}"),
            ("x ${A} y${A}", "x from env yfrom env"),
            ("$${A} ${A}", "${A} from env"),
            ("${file:key}!", "from file!"),
            (&absolute, "from file"),
        ] {
            assert_eq!(expand(text, &around).as_deref(), Ok(expected));
        }
        for (text, named) in
            [("${B}", "`B`"), ("${EMPTY}", "`EMPTY`"), ("${file:none}", "`none`"), ("${file:empty}", "`empty`")]
        {
            let error = expand(text, &around).expect_err(text).to_string();
            assert!(error.contains(named), "{error}");
        }
        assert_eq!(expand("${A", &around), Err(ExpandError::NotClosed));
    }

    #[test]
    fn sees_placeholders() {
        assert_eq!(placeholder("https://<<LISTENER-HOST>>:8071"), Some("<<LISTENER-HOST>>"));
        assert_eq!(placeholder("a << b"), None);
        assert_eq!(placeholder("<<>>"), None);
    }
}
