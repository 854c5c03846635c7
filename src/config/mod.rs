//! From `config.yaml` to a [`Config`] of complete [`Plan`]s.
//!
//! Enters: the text of the file, the environment, the directory of the file. Leaves: a config that is valid as a whole, or
//! every error in it, each with path, line and hint. What always holds: behind this module nothing is optional that must
//! be there, and no named type is left. An unknown key is a warning, never a refusal.
//!
//! Its modules stand in layers; each uses those above it in this list, and none below:
//!
//! 1. Text, and no key: `diagnostic`, `document` (values and their lines), `plain` (what may be named), `expand` (`${…}`),
//!    `slips`, `span`.
//! 2. Reading: `reader` (notes errors, warnings and secrets), `value` (a value and where it stands).
//! 3. The table: `place` (lists, and where keys stand), `catalog` (types as data), `kinds` (how values are read), `keys` (one
//!    row a key), `reference` (what the table says).
//! 4. By the table: `state_place`, `section` (typed access by a key), `fill` (`${…}` in known keys), `secrets`, `cut`, `syntax`, `locate` (from
//!    notes to diagnostics), `merge`, `parameters`, `parts` (what entries and steps have
//!    alike), `schema`, `catalog_text`
//!    (the types in words).
//! 5. Compiling: `outputs`, `cluster`, `v2` (entries of `apis` in our own words), `api` and its parts (`request`, `carried`, `filters`, `paging`, `steps`, `marks`), and this module; `written` (an entry as it stands
//!    in the file).

mod api;
mod carried;
pub mod catalog;
pub mod catalog_text;
mod certificates;
mod cluster;
mod cut;
mod diagnostic;
mod document;
mod expand;
mod fill;
mod filters;
mod keys;
mod kinds;
mod locate;
mod login;
mod marks;
mod merge;
mod outputs;
mod paging;
mod parameters;
mod parts;
mod place;
mod plain;
mod reader;
pub mod reference;
mod request;
pub mod schema;
mod secrets;
mod section;
mod slips;
mod span;
mod state_place;
mod steps;
mod syntax;
mod v2;
mod value;
mod written;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_yaml::{Mapping, Value};

pub use diagnostic::{Diagnostic, Diagnostics};
pub use expand::Environment;
pub(crate) use secrets::carries_credentials;
pub use span::duration as parse_duration;
pub use state_place::{StatePlace, state_place};
pub use v2::converted;
pub use written::written_entry;

use crate::memory::BUDGET_BYTES_DEFAULT;
use crate::pace::Rate;
use crate::plan::{Config, Plan};
use crate::process::version;
use crate::record::Fingerprint;
use api::Entries;
use certificates::ConfigFiles;
use document::{Document, Spot};
use place::{List, Place};
use reader::Reader;
use section::Section;
use value::Found;

/// The largest config that is read: room for far more than 10,000 APIs.
pub const CONFIG_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The most APIs that one process takes on.
const APIS_MAX: usize = 100_000;

/// A config that was read, or not, and what was noticed.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The config, where it has no error, or only some in entries of `apis`, which are left out then.
    pub config: Option<Config>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
    /// The files that it names, which belong to it: certificates, and secrets (`${file:…}`).
    pub files: BTreeSet<PathBuf>,
}

/// What the process that a config is for can do.
#[derive(Clone, Copy)]
struct Abilities<'a> {
    /// Where relative names of files start from; `None` where none is opened.
    files: Option<&'a Path>,
    /// Whether it can be a member of a cluster.
    is_clustered: bool,
}

impl LoadedConfig {
    /// Of a text that can't be read at all.
    fn unreadable(error: Diagnostic) -> Self {
        let diagnostics = Diagnostics { errors: vec![error], warnings: Vec::new() };
        Self { config: None, diagnostics, files: BTreeSet::new() }
    }
}

/// Reads the config file, with the process's environment.
#[must_use]
pub fn load(path: &Path) -> LoadedConfig {
    compile_file(path, read_file(path).as_deref())
}

/// Compiles what was read of the config file, with the process's environment.
#[must_use]
pub fn compile_file(path: &Path, text: Result<&str, &String>) -> LoadedConfig {
    let directory = path.parent().unwrap_or(Path::new("."));
    let variable = |name: &str| std::env::var(name).ok();
    match text {
        Ok(text) => {
            let around = Environment { variable: &variable, directory };
            compile_with(text, &around, Abilities { files: Some(directory), is_clustered: version::HAS_CLUSTER })
        }
        Err(what) => {
            let hint = match () {
                () if what.contains("ermission denied") => {
                    "it must be readable for the owner of its directory, as whom the fetcher runs"
                }
                () if what.contains("can't be read") => {
                    "mount the directory that holds config.yaml at /app/src/shared, or name the file with --config"
                }
                () => "it should be a text file in YAML",
            };
            LoadedConfig::unreadable(Diagnostic::of_file(what.clone(), None, hint))
        }
    }
}

/// The text of the config file.
///
/// # Errors
/// Where it can't be read, is no text, or is larger than [`CONFIG_BYTES_MAX`]; in words.
pub fn read_file(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    if !about.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    if about.len() > CONFIG_BYTES_MAX {
        return Err(format!("{} is larger than {CONFIG_BYTES_MAX} bytes", path.display()));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", path.display()))
}

/// Compiles the text of a config, for a process that can all that a config may ask of it.
#[must_use]
pub fn compile(text: &str, around: &Environment<'_>) -> LoadedConfig {
    compile_with(text, around, Abilities { files: Some(around.directory), is_clustered: true })
}

/// Compiles the text of a config for a replay: no variable is set, and no file is opened. What a key file would sign has a
/// stand-in ([`crate::assertion::Assertion::stand_in`]).
#[must_use]
pub fn compile_without_files(text: &str) -> LoadedConfig {
    let around = Environment { variable: &|_| None, directory: Path::new("/nonexistent") };
    compile_with(text, &around, Abilities { files: None, is_clustered: true })
}

fn compile_with(text: &str, around: &Environment<'_>, abilities: Abilities<'_>) -> LoadedConfig {
    let mut document = match Document::parse(text.trim_start_matches('\u{feff}')) {
        Ok(document) => document,
        Err(error) => return LoadedConfig::unreadable(syntax::diagnostic(&error, text)),
    };
    let mut root = std::mem::take(&mut document.root);
    let reader = Reader::new(&document);
    for spot in &document.twice {
        reader.warn(spot, "this key is there twice: the last one counts", None);
    }
    reader.fill_in(&mut root, around);
    let config = read_config(&reader, &root, abilities);
    // An entry of `apis` doesn't stop the others, and neither does one of several outputs there.
    let config = config.filter(|config| {
        !reader.has_errors_beyond(faulty_may_be(&root)) && (!reader.has_errors() || !config.apis.is_empty())
    });
    let files = reader.files(around.directory);
    let mut diagnostics = locate::diagnostics(reader.into_notes());
    let faulty = diagnostics.errors.iter().map(ToString::to_string).collect();
    let config = config.map(|config| Config { faulty, ..config });
    diagnostics.warnings.extend(cut::cut_by_comment(text));
    diagnostics.warnings.sort_by_key(|warning| warning.line.unwrap_or(usize::MAX));
    LoadedConfig { config, diagnostics, files }
}

/// The names of the APIs in a text, for completions: none that would be filled in, as such a name may hold a secret, and none
/// that breaks lines. The rest of the config may be invalid.
#[must_use]
pub fn api_names(text: &str) -> Vec<String> {
    let Ok(document) = Document::parse(text.trim_start_matches('\u{feff}')) else { return Vec::new() };
    let lists = List::ALL.into_iter().filter_map(|list| document.root.get(list.key())?.as_sequence());
    let names = lists.flatten().filter_map(|entry| value::written(entry.get("name")?));
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty() && !name.contains("${") && !name.contains(char::is_control)).collect()
}

fn read_config(reader: &Reader<'_>, root: &Value, abilities: Abilities<'_>) -> Option<Config> {
    let Abilities { files: directory, is_clustered } = abilities;
    let empty = Mapping::new();
    let map = match root {
        Value::Mapping(map) => map,
        Value::Null => &empty,
        _ => {
            Found { reader, spot: Spot::default(), value: root }.refuse_as_no_mapping();
            &empty
        }
    };
    let top = Section::new(reader, map, Spot::default(), Place::Top);
    top.check_keys(None);
    let outputs = outputs::read_outputs(reader, &top);
    let extra_roots = match top.read(&keys::CA_FILE) {
        Some(file) => ConfigFiles { reader, directory }.roots(&file),
        None => Some(Vec::new()),
    };
    let memory_bytes = top.read(&keys::MEMORY).unwrap_or(BUDGET_BYTES_DEFAULT);
    let status_listen = top.read(&keys::STATUS_LISTEN);
    let cluster = cluster::read_cluster(reader, &top, directory, is_clustered);
    let apis = read_apis(reader, &top, directory);
    let (outputs, ReadApis { plans: mut apis, mut resting, names, called, of_original }) = (outputs?, apis);
    let (outputs, unfed) = outputs::connect(reader, outputs, &names, &called);
    for plan in &mut apis {
        // No API ever gets them; if one knows them all the same, they aren't shown either.
        plan.redactor = plan.redactor.and(outputs.iter().map(|output| output.token.clone()));
    }
    resting.extend(apis.extract_if(.., |plan| unfed.contains(&plan.name)).map(|plan| plan.name));
    share_rates(&mut apis);
    // Collected at once, they would stay in the memory of the plans, a hundred times as large.
    let mut shared = Vec::with_capacity(apis.len());
    shared.extend(apis.into_iter().map(Arc::new));
    Some(Config {
        outputs,
        extra_roots: extra_roots?,
        status_listen,
        memory_bytes,
        apis: shared,
        resting,
        of_original,
        faulty: Vec::new(),
        cluster: cluster?,
    })
}

/// One host with one login has one rate: the strictest that one of its entries names.
fn share_rates(apis: &mut [Plan]) {
    let mut rates: HashMap<Fingerprint, Rate> = HashMap::new();
    for (plan, rate) in apis.iter().filter_map(|plan| Some((plan, plan.rate?))) {
        rates.entry(plan.host_and_login()).and_modify(|known| *known = known.stricter(rate)).or_insert(rate);
    }
    if rates.is_empty() {
        return;
    }
    for plan in apis {
        plan.rate = rates.get(&plan.host_and_login()).copied();
    }
}

/// The lists in which an entry with an error doesn't stop the others.
fn faulty_may_be(root: &Value) -> &'static [&'static str] {
    const OF_ORIGINAL: &[&str] = &["apis", "logzio"];
    match root.get(List::Apis.key()) {
        Some(Value::Sequence(_)) => OF_ORIGINAL,
        _ => &[],
    }
}

/// The APIs of a config.
struct ReadApis {
    /// Those to ask.
    plans: Vec<Plan>,
    /// The names of those that rest.
    resting: Vec<String>,
    /// The names of all, and where each stands.
    names: HashMap<String, Spot>,
    /// What `inputs` may call those that stand under `apis`.
    called: v2::TakenNames,
    /// The names of those to ask that stand under `apis`.
    of_original: Vec<String>,
}

/// The APIs to ask, and those that rest.
fn read_apis(reader: &Reader<'_>, top: &Section<'_>, directory: Option<&Path>) -> ReadApis {
    let entries = Entries::new(reader, directory);
    let mut names: HashMap<String, Spot> = HashMap::new();
    let (mut plans, mut resting) = (Vec::new(), Vec::new());
    let mut count = 0_usize;
    for (key, list) in [(&keys::AUTH_APIS, List::AuthApis), (&keys::OAUTH_APIS, List::OauthApis)] {
        let items = top.read(key);
        // What is no list counts as an entry: it is an error of its own.
        count += items.as_ref().map_or(usize::from(top.has(key)), Vec::len);
        for found in items.into_iter().flatten() {
            note_name(reader, &mut names, &found);
            // One that rests is read all the same, so that it has no surprise when it is enabled.
            let plan = entries.read(&found, list);
            if plan.is_none() && !reader.has_errors() {
                reader.error(&found.spot, "it can't be used", None);
            }
            match plan {
                Some((plan, false)) => resting.push(plan.name),
                plan => plans.extend(plan.map(|(plan, _)| plan)),
            }
        }
    }
    let own_count = plans.len();
    let old = top.read(&keys::APIS);
    count += old.as_ref().map_or(usize::from(top.has(&keys::APIS)), Vec::len);
    let mut called = v2::TakenNames::with(names.keys().cloned());
    for found in old.into_iter().flatten() {
        let plan = entries.read_of_apis(&found, &mut called);
        let is_faulty = reader.has_errors_in(&found.spot);
        if plan.is_none() && !is_faulty {
            reader.error(&found.spot, "it can't be used", None);
        }
        let plan = plan.filter(|_| !is_faulty);
        names.extend(plan.iter().map(|(plan, _)| (plan.name.clone(), found.spot.clone())));
        match plan {
            Some((plan, false)) => resting.push(plan.name),
            plan => plans.extend(plan.map(|(plan, _)| plan)),
        }
    }
    if count == 0 {
        let hint = "add an entry to `auth_apis`, `oauth_apis` or `apis`".to_owned();
        reader.error(&Spot::default(), "no APIs configured", Some(hint));
    }
    if count > APIS_MAX {
        reader.error(&Spot::default(), format!("there are more than {APIS_MAX} APIs in it"), None);
    }
    let of_original = plans.iter().skip(own_count).map(|plan| plan.name.clone()).collect();
    ReadApis { plans, resting, names, called, of_original }
}

/// Two APIs of one name would share a checkpoint.
fn note_name(reader: &Reader<'_>, names: &mut HashMap<String, Spot>, item: &Found<'_>) {
    let Some(name) = item.value.get("name").and_then(value::written) else { return };
    let name = name.trim().to_owned();
    let spot = item.spot.key("name");
    if let (Some(first), false) = (names.get(&name), name.is_empty()) {
        let hint = Some("each API has its own checkpoint, by its name".to_owned());
        reader.error(&spot, format!("the name is taken already, by {}", locate::shown_path(first)), hint);
        return;
    }
    names.insert(name, spot);
}
