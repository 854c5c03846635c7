//! `${ENV_VAR}` and `${file:/path}` in values, and placeholders that were left in.

use std::io::Read;
use std::path::Path;

use super::plain::is_plain;

/// What a file's name stands behind.
const FILE_MARK: &str = "${file:";
/// A secret file is small; more is somebody's mistake.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where variables and files come from.
pub struct Environment<'a> {
    /// Looks an environment variable up.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The directory that relative file names start from: the config's own.
    pub directory: &'a Path,
}

/// Why a value can't be filled in. It names the variable or file, never its content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpandError {
    #[error("environment variable `{0}` is not set or empty")]
    Variable(String),
    /// Its name may be a value, by a slip, and isn't shown.
    #[error("an environment variable is not set or empty")]
    Unnamed,
    #[error("what stands in `${{…}}` is not the name of an environment variable")]
    NoName,
    #[error("{name} {cause}")]
    File { name: String, cause: String },
    #[error("`${{` is not closed")]
    NotClosed,
}

impl ExpandError {
    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => "put the value into that file, readable for the owner of the config's directory",
            Self::NoName => {
                "write ${NAME} or ${file:/path}; defaults like ${NAME:-value} do not exist; $${ is a literal ${"
            }
            Self::Variable(_) | Self::Unnamed | Self::NotClosed => "set it, or write $${ for a literal ${",
        }
    }
}

/// A text whose `${…}` were filled in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// The same with `***` in the place of what was filled in.
    pub(super) masked: String,
    /// What was filled in.
    pub(super) filled: Vec<String>,
}

/// Fills `${…}` in; `$${` stays as a literal `${`.
pub(super) fn expand(text: &str, around: &Environment<'_>) -> Result<Expanded, ExpandError> {
    let mut out = Expanded::default();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from_mark) = rest.split_at(at);
        let inner = from_mark.get(2..).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            out.add(before);
            out.add("${");
            rest = inner;
            continue;
        }
        let (name, after) = inner.split_once('}').ok_or(ExpandError::NotClosed)?;
        out.add(before);
        out.fill(lookup(name, around)?);
        rest = after;
    }
    out.add(rest);
    Ok(out)
}

impl Expanded {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.masked.push_str(text);
    }

    fn fill(&mut self, value: String) {
        self.text.push_str(&value);
        self.masked.push_str("***");
        self.filled.push(value);
    }
}

/// The names of the files in a text's `${file:…}`.
pub(super) fn files(text: &str) -> impl Iterator<Item = &str> {
    let named = text.split(FILE_MARK).skip(1);
    named.filter_map(|rest| rest.split_once('}')).map(|(file, _)| file.trim())
}

fn lookup(name: &str, around: &Environment<'_>) -> Result<String, ExpandError> {
    let Some(file) = name.strip_prefix("file:") else {
        if !is_variable_name(name) {
            return Err(ExpandError::NoName);
        }
        let value = (around.variable)(name).map(|value| without_line_end(&value).to_owned());
        return value.filter(|value| !value.is_empty()).ok_or_else(|| match is_plain(name) {
            true => ExpandError::Variable(name.to_owned()),
            false => ExpandError::Unnamed,
        });
    };
    // What isn't a path may be the value itself, by a slip.
    let shown = if file.contains('/') || is_plain(file) { format!("file `{file}`") } else { "the file".to_owned() };
    let wrong = |cause: String| ExpandError::File { name: shown.clone(), cause };
    let bytes = read_small(&around.directory.join(file.trim())).map_err(wrong)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".to_owned()))?;
    // Editors of Windows and PowerShell put a mark before the text.
    let text = without_line_end(text.trim_start_matches('\u{feff}'));
    if text.is_empty() { Err(wrong("is empty".to_owned())) } else { Ok(text.to_owned()) }
}

/// The bytes of a file that is named in the config; only of a regular one, as others may never end, or never begin.
///
/// # Errors
/// In words, as they follow the file's name.
pub(super) fn read_small(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("can't be read: {error}");
    // Asked before it is opened: to open a pipe waits for whoever writes into it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

/// A value without the line break that `echo` and editors put at its end.
pub(super) fn without_line_end(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// A name as POSIX has it, in either case.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The first `<<PLACEHOLDER>>` in a value, in words. What isn't like a name may be the value itself, with the marks left.
pub(super) fn placeholder(text: &str) -> Option<String> {
    let (inner, _) = text.split_once("<<")?.1.split_once(">>")?;
    let is_name = !inner.is_empty() && inner.chars().all(|c| c.is_ascii_alphanumeric() || "_- .".contains(c));
    let is_shown = is_plain(&inner.replace(' ', "-"));
    is_name.then(|| if is_shown { format!("the placeholder <<{inner}>>") } else { "a placeholder, <<…>>,".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_variables_and_files_in() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("key"), "from file\n").expect("a file");
        std::fs::write(directory.path().join("empty"), "\n").expect("a file");
        let variable = |name: &str| match name {
            "A" => Some("from env".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let around = Environment { variable: &variable, directory: directory.path() };
        let absolute = format!("${{file:{}}}", directory.path().join("key").display());
        for (text, expected) in [
            ("plain $ {A}", "plain $ {A}"),
            ("x ${A} y${A}", "x from env yfrom env"),
            ("$${A} ${A}", "${A} from env"),
            ("${file:key}!", "from file!"),
            (&absolute, "from file"),
        ] {
            assert_eq!(expand(text, &around).map(|expanded| expanded.text), Ok(expected.to_owned()));
        }
        let mixed = expand("x ${A}/$${A}", &around).expect("it fills in");
        assert_eq!((mixed.masked.as_str(), mixed.filled.len()), ("x ***/${A}", 1));
        for (text, named) in
            [("${B}", "`B`"), ("${EMPTY}", "`EMPTY`"), ("${file:none}", "`none`"), ("${file:empty}", "`empty`")]
        {
            let error = expand(text, &around).expect_err(text).to_string();
            assert!(error.contains(named), "{error}");
        }
        assert_eq!(expand("${A", &around), Err(ExpandError::NotClosed));
    }

    #[test]
    fn shows_nothing_that_may_be_a_value_in_the_place_of_a_name() {
        let around = Environment { variable: &|_| None, directory: Path::new("/nowhere") };
        for text in
            ["${KEY:-hunter2}", "${hunter2-Prod}", "${8f14e45f}", "${a8f14e45fceea167a}", "${file:hunter2-Prod}", "${}"]
        {
            let error = expand(text, &around).expect_err(text);
            let shown = format!("{error} {}", error.hint());
            assert!(!shown.contains("hunter2") && !shown.contains("8f14e"), "{shown}");
        }
        let error = expand("${file:secrets/api.key}", &around).expect_err("no file").to_string();
        assert!(error.starts_with("file `secrets/api.key` can't be read"), "{error}");
    }

    #[test]
    fn cuts_the_line_break_of_a_variable_as_that_of_a_file_and_the_mark_before_a_text() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("key"), b"\xef\xbb\xbfs3cret\r\n").expect("a file");
        let around = Environment { variable: &|_| Some("s3cret\n".to_owned()), directory: directory.path() };
        for text in ["${K}", "${file:key}"] {
            assert_eq!(expand(text, &around).map(|expanded| expanded.text), Ok("s3cret".to_owned()), "{text}");
        }
    }

    #[test]
    fn reads_regular_files_of_a_bounded_size_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let (pipe, large) = (directory.path().join("pipe"), directory.path().join("large"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "a pipe is made");
        std::fs::write(&large, vec![b'x'; FILE_BYTES_MAX as usize + 1]).expect("a file");
        for path in [Path::new("/dev/zero"), &pipe, directory.path()] {
            assert_eq!(read_small(path), Err("is not a regular file".to_owned()), "{}", path.display());
        }
        assert!(read_small(&large).is_err_and(|error| error.contains("larger")));
    }

    #[test]
    fn sees_placeholders() {
        assert_eq!(placeholder("https://<<LISTENER-HOST>>:8071"), Some("the placeholder <<LISTENER-HOST>>".to_owned()));
        assert_eq!(placeholder("<<8f14e45f>>"), Some("a placeholder, <<…>>,".to_owned()));
        assert_eq!(placeholder("a << b"), None);
        assert_eq!(placeholder("<<>>"), None);
    }
}
