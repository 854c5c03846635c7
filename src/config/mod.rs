//! From `config.yaml` to a [`Config`] of complete [`Plan`]s.
//!
//! Enters: the text of the file, the environment, the directory of the file. Leaves: a config that is valid as a whole, or
//! every error in it, each with path, line and hint. What always holds: behind this module nothing is optional that must
//! be there, and no named type is left. An unknown key is a warning, never a refusal.

mod api;
pub mod catalog;
mod diagnostic;
mod document;
mod expand;
mod fill;
mod filters;
mod hosts;
mod limits;
mod marks;
mod merge;
mod plain;
mod reader;
pub mod reference;
mod request;
pub mod schema;
mod secrets;
mod slips;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_yaml::Value;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use expand::Environment;
pub use reader::duration as parse_duration;
pub(crate) use secrets::is_secret_name;

use crate::pace::Rate;
use crate::plan::{Acknowledge, Config, Output, Plan};
use crate::record::Fingerprint;
use crate::secret::{Redactor, Secret};
use api::Entries;
use document::{Document, Place as Spot};
use reader::{Reader, Section};
use reference::Place;
use request::web_url;

/// The largest config that is read: room for far more than 10,000 APIs.
pub const CONFIG_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The most APIs that one process takes on.
const APIS_MAX: usize = 100_000;

/// A config that was read, or not, and what was noticed.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The config, where it has no error.
    pub config: Option<Config>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
    /// The files that it names, which belong to it: certificates, and secrets (`${file:…}`).
    pub files: BTreeSet<PathBuf>,
}

impl LoadedConfig {
    /// Of a text that can't be read at all.
    fn unreadable(what: String, line: Option<usize>, hint: &str) -> Self {
        let error = Diagnostic { path: String::new(), line, what, hint: Some(hint.to_owned()) };
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
        Ok(text) => compile(text, &Environment { variable: &variable, directory }),
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
            LoadedConfig::unreadable(what.clone(), None, hint)
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

/// Compiles the text of a config.
#[must_use]
pub fn compile(text: &str, around: &Environment<'_>) -> LoadedConfig {
    let mut document = match Document::parse(text.trim_start_matches('\u{feff}')) {
        Ok(document) => document,
        Err(error) => {
            let is_double = error.what.contains(document::TWICE);
            let is_value = error.what.contains(document::UNFIT);
            let at = error.line.and_then(|line| text.lines().nth(line.checked_sub(1)?)).unwrap_or_default();
            let hint = match (is_double, is_value) {
                (true, _) => "keep one of the two",
                (_, true) => "put it into quotes",
                _ => yaml_hint(at),
            };
            return LoadedConfig::unreadable(format!("invalid YAML: {}", error.what), error.line, hint);
        }
    };
    let mut root = std::mem::take(&mut document.root);
    let reader = Reader::new(&document);
    reader.fill_in(&mut root, around);
    let config = read_config(&reader, &root, around.directory);
    let config = config.filter(|_| !reader.has_errors());
    let files = reader.files(around.directory);
    LoadedConfig { config, diagnostics: reader.diagnostics(), files }
}

/// What people do to a line that is no YAML any more.
fn yaml_hint(line: &str) -> &'static str {
    let value = line.split_once(": ").map_or("", |(_, value)| value.trim_start());
    let indent: &str = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
    match value.chars().next() {
        _ if indent.contains('\t') => "the line is indented with a tab: indent with spaces",
        Some('@' | '`' | '%') => "put the value into quotes: it begins with a character that YAML reserves",
        Some('{' | '[' | '*' | '&' | '!') => {
            "put the value into quotes, unless it is meant to be a list or a mapping, which has to be closed"
        }
        Some('\'' | '"') => "the quotes are not closed, or something follows them",
        Some(_) if value.contains(": ") => "put the value into quotes: it holds `: `",
        _ => "check the indentation, and the quotes around special characters",
    }
}

fn read_config(reader: &Reader<'_>, root: &Value, directory: &Path) -> Option<Config> {
    let top = Section::new(reader, root, Spot::default(), Place::Top);
    let listener = read_listener(reader, &top.section("logzio"));
    let extra_roots = read_roots(reader, &top.section("tls"), directory);
    let memory_bytes = limits::read(reader, &top.section("limits"));
    let status_listen = read_status(reader, &top.section("status"));
    let apis = read_apis(reader, &top);
    let (listener, (mut apis, resting)) = (listener?, apis?);
    for plan in &mut apis {
        // No API ever gets it; if one knows it all the same, it isn't shown either.
        plan.redactor = plan.redactor.and([listener.token.clone()]);
    }
    share_rates(&mut apis);
    // Collected at once, they would stay in the memory of the plans, a hundred times as large.
    let mut shared = Vec::with_capacity(apis.len());
    shared.extend(apis.into_iter().map(Arc::new));
    Some(Config { listener, extra_roots: extra_roots?, status_listen, memory_bytes, apis: shared, resting })
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

fn read_status(reader: &Reader<'_>, section: &Section<'_, '_>) -> Option<SocketAddr> {
    let listen = section.text("listen")?;
    let address = listen.value.replacen("localhost:", "127.0.0.1:", 1).parse();
    if address.is_err() {
        let hint = "an IP address and a port, like 127.0.0.1:8080".to_owned();
        reader.error(&listen.spot, "it is not an address to listen on", Some(hint));
    }
    address.ok()
}

fn read_listener(reader: &Reader<'_>, section: &Section<'_, '_>) -> Option<Output> {
    let url = section.required_filled("url");
    let token = section.required_filled("token");
    let acknowledge = read_acknowledge(reader, section);
    let url = url.filter(|url| !reader.is_poisoned(&url.spot))?;
    let hint = || Some("like https://listener.logz.io:8071".to_owned());
    let parsed = match web_url(&url.value) {
        Ok(parsed) if parsed.query().is_none() && parsed.fragment().is_none() => parsed,
        Ok(_) => {
            reader.error(
                &url.spot,
                "it should end before any `?` or `#`",
                Some("the token has a key of its own".to_owned()),
            );
            return None;
        }
        Err(what) => {
            reader.error(&url.spot, what, hint());
            return None;
        }
    };
    if let Some((what, hint)) = slips::in_listener(&parsed) {
        reader.warn(&url.spot, what, Some(hint.to_owned()));
    }
    let token = reader.credential(token?)?;
    let token = Secret::new(token.value);
    let filled = ["url", "token"].into_iter().flat_map(|key| reader.filled(&section.spot.key(key)));
    let redactor = Redactor::new(filled.chain([token.clone()]));
    let redactor = match reader.masked(&url.spot) {
        Some(masked) => redactor.and_url(&parsed, secrets::shown(&masked)),
        None => redactor,
    };
    Some(Output { url: parsed, token, acknowledge, redactor })
}

fn read_acknowledge(reader: &Reader<'_>, section: &Section<'_, '_>) -> Acknowledge {
    let Some(text) = section.text("acknowledge") else { return Acknowledge::Listener };
    if !text.value.eq_ignore_ascii_case("2xx") {
        let hint = "`2xx`, or leave the key out: then only a listener's own answers count".to_owned();
        reader.error(&text.spot, "it should be `2xx`", Some(hint));
    }
    Acknowledge::AnySuccess
}

fn read_roots(
    reader: &Reader<'_>,
    section: &Section<'_, '_>,
    directory: &Path,
) -> Option<Vec<CertificateDer<'static>>> {
    let Some(file) = section.text("ca_file") else { return Some(Vec::new()) };
    reader.names_file(&file.value);
    let bytes = match expand::read_small(&directory.join(&file.value)) {
        Ok(bytes) => bytes,
        Err(what) => {
            reader.error(&file.spot, format!("the file {what}"), None);
            return None;
        }
    };
    match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) => {
            if certificates.is_empty() {
                reader.error(&file.spot, "the file holds no certificate in PEM form", None);
            }
            let mut roots = RootCertStore::empty();
            if certificates.iter().any(|certificate| roots.add(certificate.clone()).is_err()) {
                reader.error(&file.spot, "a certificate in the file can't be used", None);
            }
            Some(certificates)
        }
        // The error quotes what is in the file, which may be a key.
        Err(_) => {
            reader.error(&file.spot, "the file is not in PEM form", None);
            None
        }
    }
}

/// The APIs to ask, and the names of those that rest.
fn read_apis(reader: &Reader<'_>, top: &Section<'_, '_>) -> Option<(Vec<Plan>, Vec<String>)> {
    let entries = Entries::new(reader);
    let mut names: HashMap<String, Spot> = HashMap::new();
    let (mut plans, mut resting) = (Vec::new(), Vec::new());
    let mut count = 0_usize;
    for (key, place) in [("auth_apis", Place::Auth), ("oauth_apis", Place::OAuth)] {
        let spot = top.spot.key(key);
        let items = match top.value(key) {
            None => continue,
            Some(Value::Sequence(items)) => items,
            Some(_) => {
                reader.error(&spot, "it should be a list of APIs", Some("begin each with `- type: …`".to_owned()));
                count += 1;
                continue;
            }
        };
        for (index, item) in items.iter().enumerate() {
            count += 1;
            let spot = spot.index(index);
            note_name(reader, &mut names, item, &spot);
            let is_enabled = is_enabled(reader, item, &spot);
            let plan = entries.read(item, spot.clone(), place);
            if plan.is_none() && !reader.has_errors() {
                reader.error(&spot, "it can't be used", None);
            }
            match plan {
                Some(plan) if !is_enabled => resting.push(plan.name),
                plan => plans.extend(plan),
            }
        }
    }
    if count == 0 {
        let hint = match top.has("apis") {
            true => "the key `apis` belongs to another dialect; this one has `auth_apis` and `oauth_apis`",
            false => "add an entry to `auth_apis` or `oauth_apis`",
        };
        reader.error(&Spot::default(), "no APIs configured", Some(hint.to_owned()));
    }
    if count > APIS_MAX {
        reader.error(&Spot::default(), format!("there are more than {APIS_MAX} APIs in it"), None);
    }
    Some((plans, resting))
}

/// Whether an entry is to be asked. One that rests is read all the same, so that it has no surprise when it is enabled.
fn is_enabled(reader: &Reader<'_>, item: &Value, spot: &Spot) -> bool {
    match item.get("enabled").and_then(reader::written).as_deref().map(str::trim) {
        None | Some("true" | "") => true,
        Some("false") => false,
        Some(_) => {
            reader.error(&spot.key("enabled"), "it should be true or false", None);
            true
        }
    }
}

/// Two APIs of one name would share a checkpoint.
fn note_name(reader: &Reader<'_>, names: &mut HashMap<String, Spot>, item: &Value, spot: &Spot) {
    let Some(name) = item.get("name").and_then(reader::written) else { return };
    let name = name.trim().to_owned();
    let spot = spot.key("name");
    if let (Some(first), false) = (names.get(&name), name.is_empty()) {
        let hint = Some("each API has its own checkpoint, by its name".to_owned());
        reader.error(&spot, format!("the name is taken already, by {first}"), hint);
        return;
    }
    names.insert(name, spot);
}
