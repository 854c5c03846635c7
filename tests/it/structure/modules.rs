//! Which module uses which, as the paths in the code say.
//!
//! A module and what is below it count as one where they use each other; what must have no circle are the modules that stand
//! beside each other, at the top and within each module.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{SourceFile, is_of_name};

/// The names from the crate's root to a module.
type ModulePath = Vec<String>;

/// The modules of the crate.
pub struct Modules<'a> {
    files: BTreeMap<ModulePath, (&'a SourceFile, String)>,
    /// What a module's own file takes from elsewhere by `use`: others may take it from there.
    imports: BTreeMap<ModulePath, BTreeMap<String, ModulePath>>,
}

/// Modules that stand beside each other and need each other.
pub struct Circle {
    /// `parent: a, b`
    pub name: String,
    /// Where each of them uses another of them.
    pub uses: BTreeSet<String>,
}

impl<'a> Modules<'a> {
    pub fn of(files: &'a [SourceFile]) -> Self {
        let named = files.iter().filter_map(|file| Some((module_path(&file.path)?, (file, file.product_code()))));
        let mut modules = Self { files: named.collect(), imports: BTreeMap::new() };
        for (module, (_, code)) in &modules.files {
            let paths = uses(code).into_iter().filter_map(|(_, path)| {
                let absolute = modules.absolute(module, &path.segments)?;
                Some((path.name()?, absolute))
            });
            modules.imports.insert(module.clone(), paths.collect());
        }
        modules
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// A path from the crate's root on, if it begins in this crate.
    fn absolute(&self, module: &[String], segments: &[String]) -> Option<ModulePath> {
        let ups = segments.iter().take_while(|segment| *segment == "super").count();
        let (base, rest) = match segments.first()?.as_str() {
            "crate" => (&module[..0], &segments[1..]),
            "self" => (module, &segments[1..]),
            "super" => (module.get(..module.len().checked_sub(ups)?)?, &segments[ups..]),
            child if self.files.contains_key(&[module, &[child.to_owned()]].concat()) => (module, segments),
            _ => return None,
        };
        Some([base, rest].concat())
    }

    /// The module that a path leads to. A name that a module has from elsewhere is followed to there, some times at most.
    fn module_of(&self, path: &[String], follow: usize) -> ModulePath {
        let mut module = Vec::new();
        for (at, segment) in path.iter().enumerate() {
            module.push(segment.clone());
            if self.files.contains_key(&module) {
                continue;
            }
            module.pop();
            let import = self.imports.get(&module).and_then(|imports| imports.get(segment));
            if let (Some(import), Some(follow)) = (import, follow.checked_sub(1)) {
                return self.module_of(&[import, &path[at + 1..]].concat(), follow);
            }
            break;
        }
        module
    }

    /// Which module uses which of its neighbours, and where; by the module that is above both.
    fn edges(&self) -> BTreeMap<ModulePath, BTreeMap<(String, String), BTreeSet<String>>> {
        const FOLLOWED_MAX: usize = 8;
        let mut edges: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for (module, (file, code)) in &self.files {
            for (at, path) in paths(code) {
                let Some(path) = self.absolute(module, &path.segments) else { continue };
                let target = self.module_of(&path, FOLLOWED_MAX);
                let shared = module.iter().zip(&target).take_while(|(one, other)| one == other).count();
                if let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) {
                    let place = format!("{from} → {to}: {}:{} uses {}", file.path, file.line_of(at), path.join("::"));
                    let beside = edges.entry(module[..shared].to_vec()).or_default();
                    beside.entry((from.clone(), to.clone())).or_default().insert(place);
                }
            }
        }
        edges
    }

    /// How often modules use their neighbours.
    pub fn edge_count(&self) -> usize {
        self.edges().values().map(BTreeMap::len).sum()
    }

    /// All circles.
    pub fn circles(&self) -> Vec<Circle> {
        let mut circles = Vec::new();
        for (parent, edges) in self.edges() {
            let names: BTreeSet<&String> = edges.keys().flat_map(|(from, to)| [from, to]).collect();
            let reached: BTreeMap<&String, BTreeSet<&String>> =
                names.iter().map(|name| (*name, reachable(name, &edges))).collect();
            let within = |name: &String| -> BTreeSet<&String> {
                reached[name].iter().copied().filter(|other| reached[other].contains(name)).collect()
            };
            for circle in
                names.iter().map(|name| within(name)).filter(|circle| !circle.is_empty()).collect::<BTreeSet<_>>()
            {
                let of_circle = |(from, to): &&(String, String)| circle.contains(from) && circle.contains(to);
                let uses = edges.keys().filter(of_circle).flat_map(|edge| edges[edge].clone()).collect();
                let names: Vec<&str> = circle.iter().map(|name| name.as_str()).collect();
                let parent = if parent.is_empty() { "the top".to_owned() } else { parent.join("::") };
                circles.push(Circle { name: format!("{parent}: {}", names.join(", ")), uses });
            }
        }
        circles
    }
}

/// What can be reached from a module in one step or more.
fn reachable<'a, T>(from: &String, edges: &'a BTreeMap<(String, String), T>) -> BTreeSet<&'a String> {
    let next = |name: &String| edges.keys().filter(move |(one, _)| one == name).map(|(_, to)| to).collect::<Vec<_>>();
    let (mut found, mut open) = (BTreeSet::new(), next(from));
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(next(name));
        }
    }
    found
}

/// `src/a/b.rs` is `a::b`, `src/a/mod.rs` is `a`; the roots of library and binary are above all.
fn module_path(file: &str) -> Option<ModulePath> {
    let within = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    let within = within.strip_suffix("/mod").unwrap_or(within);
    (!matches!(within, "lib" | "main")).then(|| within.split('/').map(str::to_owned).collect())
}

/// A path in the code.
struct CodePath {
    segments: Vec<String>,
    alias: Option<String>,
}

impl CodePath {
    /// What it is called where it is used.
    fn name(&self) -> Option<String> {
        self.alias.clone().or_else(|| self.segments.last().cloned())
    }
}

/// The paths that begin in this crate, or below this module, and where.
fn paths(code: &str) -> Vec<(usize, CodePath)> {
    let mut found = uses(code);
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start).filter(|(at, _)| !code[..*at].ends_with(|c| is_of_name(c) || c == ':'))
        {
            read_path(code, at, &[], at, &mut found);
        }
    }
    found
}

/// The paths of all `use` items, and where.
fn uses(code: &str) -> Vec<(usize, CodePath)> {
    let mut found = Vec::new();
    for (at, start) in code.match_indices("use ").filter(|(at, _)| !code[..*at].ends_with(is_of_name)) {
        read_path(code, at + start.len(), &[], at, &mut found);
    }
    found
}

/// Reads a path, or a tree of them, and returns where it ends.
fn read_path(code: &str, from: usize, before: &[String], place: usize, found: &mut Vec<(usize, CodePath)>) -> usize {
    let skip = |at: usize| at + (code[at..].len() - code[at..].trim_start().len());
    let word = |at: usize| code[at..].split(|c| !is_of_name(c)).next().unwrap_or_default();
    let (mut at, mut segments) = (skip(from), before.to_vec());
    loop {
        if code[at..].starts_with('{') {
            at += 1;
            while !code[skip(at)..].starts_with('}') && skip(at) < code.len() {
                at = skip(read_path(code, at, &segments, place, found));
                at += usize::from(code[at..].starts_with(','));
            }
            return skip(at) + 1;
        }
        let name = word(at);
        if name.is_empty() {
            // A star, or nothing that is a path; never stand still.
            found.push((place, CodePath { segments, alias: None }));
            return at + code[at..].chars().next().map_or(0, char::len_utf8);
        }
        at += name.len();
        // `self` at the end of a tree is the module itself.
        if name != "self" || segments.is_empty() {
            segments.push(name.to_owned());
        }
        if !code[at..].starts_with("::") {
            break;
        }
        at += 2;
    }
    let alias = code[skip(at)..].strip_prefix("as ").map(|_| word(skip(at) + 3).to_owned());
    let end = alias.as_ref().map_or(at, |alias| skip(at) + 3 + alias.len());
    found.push((place, CodePath { segments, alias }));
    end
}

#[test]
fn circles_are_seen_through_trees_of_uses_and_through_what_a_module_hands_on() {
    let file = |path: &str, text: &str| SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
        code: super::source::code_of(text),
    };
    let files = [
        file("src/lib.rs", "pub mod a; use crate::b;"),
        file("src/a/mod.rs", "mod x;\nmod y;\npub use y::{Z, Y as W};\n"),
        file("src/a/x.rs", "use super::{W, x};\nuse crate::{\n    b::{self, C},\n    c,\n};\n"),
        file(
            "src/a/y.rs",
            "fn f() -> super::x::X { \"crate::c\" } // crate::c\n#[cfg(test)]\nmod tests { use crate::c; }\n",
        ),
        file("src/b.rs", "use std::a::c;\nfn f() -> crate::c::D {}"),
        file("src/c.rs", "use crate::d;"),
        file("src/d.rs", "impl X for crate::b::C {}"),
    ];
    let circles = Modules::of(&files).circles();
    let names: Vec<&str> = circles.iter().map(|circle| circle.name.as_str()).collect();
    assert_eq!(names, ["the top: b, c, d", "a: x, y"]);
    let uses: Vec<&str> = circles[1].uses.iter().map(String::as_str).collect();
    assert_eq!(uses, ["x → y: src/a/x.rs:1 uses a::W", "y → x: src/a/y.rs:1 uses a::x::X"]);
}
