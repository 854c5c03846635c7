//! Links within the pages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{page, pages, root};

/// A text without its code blocks and code spans, where brackets mean nothing.
fn without_code(text: &str) -> String {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push(line);
        }
    }
    let text = lines.join("\n");
    // A span ends with as many backticks as it began with; here it is always one.
    text.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Where its links lead, images included.
fn targets(text: &str) -> Vec<String> {
    let text = without_code(text);
    let mut rest = text.as_str();
    let mut found = Vec::new();
    while let Some((_, from_target)) = rest.split_once("](") {
        let (target, behind) = from_target.split_once(')').expect("a link that ends");
        found.push(target.to_owned());
        rest = behind;
    }
    found
}

/// The anchors of a page: its headings as GitHub writes them, and the ones that it names itself.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if is_code {
            continue;
        }
        if let Some(named) = line.strip_prefix("<a id=\"").and_then(|rest| rest.split_once('"')) {
            assert!(found.insert(named.0.to_owned()), "`{}` is there twice", named.0);
        }
        if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
            found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    found
}

#[test]
fn every_link_within_the_pages_leads_somewhere() {
    let mut links = 0;
    for (path, text) in pages() {
        for target in targets(&text) {
            if target.starts_with("https://") || target.starts_with("http://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').map_or((target.as_str(), None), |(file, to)| (file, Some(to)));
            let to = if file.is_empty() { path.clone() } else { beside(&path, file) };
            assert!(root().join(&to).exists(), "{}: {target} is not there", path.display());
            let Some(anchor) = anchor else { continue };
            let there = std::fs::read_to_string(root().join(&to)).unwrap();
            assert!(anchors(&there).contains(anchor), "{}: {target} has no such heading", path.display());
        }
    }
    assert!(links >= 40, "{links}");
}

/// A path from the root, of what a page names relative to itself.
fn beside(page: &Path, file: &str) -> PathBuf {
    let mut path = page.parent().unwrap().to_owned();
    for part in file.split('/') {
        match part {
            "." => {}
            ".." => assert!(path.pop(), "{file} leads out of the repository"),
            part => path.push(part),
        }
    }
    path
}

#[test]
fn the_readme_leads_to_every_page() {
    let links = targets(&page("README.md"));
    for (path, _) in pages() {
        let name = path.to_str().unwrap();
        assert!(name == "README.md" || links.iter().any(|link| link == name), "README.md has no link to {name}");
    }
}

#[test]
fn links_and_anchors_are_found() {
    let text = "# A `b` c?\n<a id=\"x-y\"></a>\n[a](b.md#c) `[no](no)` ![i](i.png)\n```\n# no\n[no](no)\n```\n";
    assert_eq!(targets(text), ["b.md#c", "i.png"]);
    assert_eq!(anchors(text), ["a-b-c", "x-y"].map(str::to_owned).into());
}
