//! The source files as text: their code without comments and literals, and what of it only tests see.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file with Rust code.
pub struct SourceFile {
    /// Relative to the repository's root, with `/`.
    pub path: String,
    pub text: String,
    /// The text with spaces in place of comments and of what literals hold; every byte stands where it stood.
    pub code: String,
}

impl SourceFile {
    /// The code without the items that only tests see.
    pub fn product_code(&self) -> String {
        let mut code = self.code.clone();
        for item in test_items(&self.code) {
            let blank = spaces(&self.code[item.clone()]);
            code.replace_range(item, &blank);
        }
        code
    }

    /// The files of the modules that this file declares for tests only.
    fn test_files(&self) -> Vec<String> {
        let directory = Path::new(&self.path).parent().unwrap();
        let of_item = |item: Range<usize>| {
            let (text, code) = (&self.text[item.clone()], &self.code[item]);
            let (_, name) = code.strip_suffix(';')?.rsplit_once("mod ")?;
            let named = text.split_once("#[path = \"").and_then(|(_, rest)| rest.split_once('"'));
            let name = named.map_or(format!("{name}.rs"), |(name, _)| name.to_owned());
            Some(directory.join(name).to_str().unwrap().to_owned())
        };
        test_items(&self.code).into_iter().filter_map(of_item).collect()
    }

    /// The line of a byte, from 1 on.
    pub fn line_of(&self, byte: usize) -> usize {
        1 + self.code[..byte].matches('\n').count()
    }
}

/// The files below a directory, in the order of their paths.
pub fn files_below(directory: &str) -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join(directory), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        SourceFile { path, code: code_of(&text), text }
    };
    paths.into_iter().map(read).collect()
}

/// Those of the files that the product is made of.
pub fn without_test_files(files: Vec<SourceFile>) -> Vec<SourceFile> {
    let of_tests: BTreeSet<String> = files.iter().flat_map(SourceFile::test_files).collect();
    files.into_iter().filter(|file| !of_tests.contains(&file.path)).collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// As many bytes, with nothing but spaces and the line ends.
fn spaces(text: &str) -> String {
    let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
    text.bytes().map(blank).collect()
}

/// Whether a character may be in a name.
pub fn is_of_name(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// A text of Rust with spaces in place of its comments and of what its literals hold.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_in_name = code.ends_with(is_of_name);
        let (kept, blank) = match first {
            '/' if rest.starts_with("//") => (0, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (0, comment_length(rest)),
            '"' => (1, string_length(&rest[1..])),
            'r' if !is_in_name || code.ends_with('b') => match raw_string_length(rest) {
                Some(length) => (0, length),
                None => (1, 0),
            },
            '\'' => (1, char_length(&rest[1..])),
            other => (other.len_utf8(), 0),
        };
        code.push_str(&rest[..kept]);
        code.push_str(&spaces(&rest[kept..kept + blank]));
        rest = &rest[kept + blank..];
    }
    code
}

/// How long a comment is, with the comments in it.
fn comment_length(text: &str) -> usize {
    let mut depth = 0;
    for (at, _) in text.char_indices() {
        if text[at..].starts_with("/*") {
            depth += 1;
        } else if text[..at].ends_with("*/") && at > 2 {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    text.len()
}

/// How long what follows an opening quote is, with the closing one.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How long a raw string is, if one begins here.
fn raw_string_length(text: &str) -> Option<usize> {
    let behind = text[1..].trim_start_matches('#');
    let hashes = text.len() - 1 - behind.len();
    let end = format!("\"{}", "#".repeat(hashes));
    let inner = behind.strip_prefix('"')?;
    Some(1 + hashes + 1 + inner.find(&end)? + end.len())
}

/// How long what follows a single quote is, with the closing one; 0 for a lifetime.
fn char_length(text: &str) -> usize {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some(escaped)) => {
            let from = 1 + escaped.len_utf8();
            text[from..].find('\'').map_or(0, |at| from + at + 1)
        }
        (Some(char), Some('\'')) => char.len_utf8() + 1,
        _ => 0,
    }
}

/// Where the items with `#[cfg(test)]` stand, attribute and all.
fn test_items(code: &str) -> Vec<Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    code.match_indices(MARK).map(|(at, _)| at..item_end(code, at + MARK.len())).collect()
}

/// Where an item ends: behind its closing brace, or behind its semicolon.
pub fn item_end(code: &str, from: usize) -> usize {
    let (mut braces, mut others) = (0, 0);
    for (at, char) in code[from..].char_indices() {
        match char {
            '(' | '[' => others += 1,
            ')' | ']' => others -= 1,
            '{' => braces += 1,
            '}' => braces -= 1,
            _ => {}
        }
        if (char == '}' && braces == 0) || (char == ';' && braces == 0 && others == 0) {
            return from + at + 1;
        }
    }
    code.len()
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, code) in [
        ("a // b \"c\nd", "a           \nd"),
        ("a /* b /* c */ d */ e", "a                     e"),
        (r#"f("a{\"}", b)"#, r#"f("      , b)"#),
        ("r#\"}\"# x", "         x"),
        ("br\"}\" x", "b     x"),
        ("for r in 'a' '\\'' '\\u{7d}' &'a x", "for r in '   '    '        &'a x"),
    ] {
        let words = |code: &str| code.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&code_of(text)), words(code), "{text}");
        assert_eq!(code_of(text).len(), text.len(), "every byte stands where it stood: {text}");
    }
}

#[test]
fn what_only_tests_see_is_no_code_of_the_product() {
    let text = "#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\n#[cfg(test)]\nmod c;\nfn a() {}\n#[cfg(test)]\nmod d { fn e() \
                {} }\nfn f() {}\n";
    let file = SourceFile { path: "src/x/mod.rs".to_owned(), text: text.to_owned(), code: code_of(text) };
    assert_eq!(file.product_code().split_whitespace().collect::<String>(), "fna(){}fnf(){}");
    assert_eq!(file.test_files(), ["src/x/b_tests.rs", "src/x/c.rs"]);
}
