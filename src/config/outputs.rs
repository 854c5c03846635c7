//! The outputs (`logzio`): one, or a list of several, and which APIs feed them.

use std::collections::{HashMap, HashSet};

use reqwest::Url;
use serde_yaml::{Mapping, Value};

use super::document::Spot;
use super::keys;
use super::locate;
use super::place::Place;
use super::reader::Reader;
use super::secrets;
use super::section::{LIKENESS_MIN, Section};
use super::v2::{LISTENER_URL_DEFAULT, TakenNames};
use super::value::{Found, Text};
use crate::plan::{Inputs, Output, OutputName};
use crate::text::Redactor;

/// An output that was read, and where it stands.
pub(super) struct ReadOutput {
    output: Output,
    /// The names of its `inputs`.
    named: Vec<Text>,
    spot: Spot,
}

/// Tells of names in `inputs` that no API has, and of APIs whose records no output gets. `names` has every entry's name,
/// those that rest among them, and where it stands. Gives the outputs, and the names of the APIs that feed none.
pub(super) fn connect(
    reader: &Reader<'_>,
    read: Vec<ReadOutput>,
    names: &HashMap<String, Spot>,
    called: &TakenNames,
) -> (Vec<Output>, HashSet<String>) {
    for name in read.iter().flat_map(|read| &read.named) {
        if names.contains_key(&name.value) || called.called(&name.value).next().is_some() {
            continue;
        }
        let likeness = |known: &&String| strsim::jaro_winkler(&name.value.to_lowercase(), &known.to_lowercase());
        let near = names.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let near = near.filter(|near| likeness(near) >= LIKENESS_MIN);
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        reader.warn(&name.spot, "no API has this name", hint);
    }
    let mut read = read;
    for inputs in read.iter_mut().map(|read| &mut read.output.inputs) {
        if let Inputs::Named(named) = inputs {
            *named = named.iter().flat_map(|name| meant(name, names, called)).collect();
        }
    }
    let is_fed = |name: &str| read.iter().any(|read| read.output.takes(name));
    let unfed: HashSet<String> = names.keys().filter(|name| !is_fed(name)).cloned().collect();
    for name in &unfed {
        let first = read.first().map(|read| locate::shown_path(&read.spot)).unwrap_or_default();
        let hint = format!("add its name to the `inputs` of an output, such as `{first}.inputs`");
        let what = "no output gets its records, so the API isn't asked";
        names.get(name).into_iter().for_each(|spot| reader.warn(spot, what, Some(hint.clone())));
    }
    (read.into_iter().map(|read| read.output).collect(), unfed)
}

/// The names of the APIs that a name in `inputs` means.
fn meant(name: &str, names: &HashMap<String, Spot>, called: &TakenNames) -> Vec<String> {
    let mut meant: Vec<String> = called.called(name).map(str::to_owned).collect();
    if meant.is_empty() || (names.contains_key(name) && meant.iter().all(|known| known != name)) {
        meant.insert(0, name.to_owned());
    }
    meant
}

/// The outputs; nothing where one has an error, which is noted.
pub(super) fn read_outputs(reader: &Reader<'_>, top: &Section<'_>) -> Option<Vec<ReadOutput>> {
    let empty = Value::Mapping(Mapping::new());
    let spot = top.spot_of(&keys::OUTPUTS);
    let items = match top.find(&keys::OUTPUTS) {
        Some(_) => top.read(&keys::OUTPUTS)?,
        // What it must hold is missing then.
        None => vec![Found { reader, spot: spot.clone(), value: &empty }],
    };
    let has_apis = top.has(&keys::APIS);
    let is_list = top.find(&keys::OUTPUTS).is_some_and(|found| found.value.is_sequence());
    let mut names: HashMap<String, Spot> = HashMap::new();
    let read: Vec<Option<ReadOutput>> = items
        .into_iter()
        .map(|found| {
            let read = read_output(&found, is_list, has_apis)?;
            let name = read.output.name.as_str().to_owned();
            if let Some(first) = names.get(&name) {
                let hint = Some("each output has a state of its own, by its name".to_owned());
                let taken = format!("the name is taken already, by {}", locate::shown_path(first));
                reader.error(&found.spot.key("name"), taken, hint);
                return None;
            }
            names.insert(name, found.spot);
            Some(read)
        })
        .collect();
    match has_apis && is_list {
        // One that is faulty doesn't stop the others.
        true => Some(read.into_iter().flatten().collect::<Vec<_>>()).filter(|read| !read.is_empty()),
        false => read.into_iter().collect(),
    }
}

/// An output. In a file with `apis` it may be as the original has it: without a name, without a URL, and without `inputs` it gets
/// nothing.
fn read_output(found: &Found<'_>, is_list: bool, has_apis: bool) -> Option<ReadOutput> {
    let Value::Mapping(map) = found.value else {
        found.refuse_as_no_mapping();
        return None;
    };
    let reader = found.reader;
    let section = Section::new(reader, map, found.spot.clone(), Place::Output);
    section.check_keys(None);
    let url = match has_apis && !section.has(&keys::LISTENER_URL) {
        true => Url::parse(LISTENER_URL_DEFAULT).ok(),
        false => section.read(&keys::LISTENER_URL),
    };
    let token = section.read(&keys::LISTENER_TOKEN);
    let name = match (section.has(&keys::OUTPUT_NAME), is_list, url.as_ref().zip(token.as_ref())) {
        (false, false, _) => Some(OutputName::default()),
        (false, true, Some((url, token))) if has_apis => Some(OutputName::derived(url, token)),
        _ => section.require(&keys::OUTPUT_NAME).map(OutputName::new),
    };
    let acknowledge = section.read(&keys::ACKNOWLEDGE).unwrap_or_default();
    let inputs = section.read_or_none(&keys::INPUTS);
    if !is_list && section.has(&keys::INPUTS) {
        let what = "it has no effect where `logzio` is one output: that gets the records of all APIs";
        reader.warn(&section.spot_of(&keys::INPUTS), what, None);
    }
    let has_inputs = section.has(&keys::INPUTS);
    if is_list && has_apis && !has_inputs {
        let hint = Some("add the names of the APIs, like `inputs: [name]`".to_owned());
        reader.warn(&section.spot_of(&keys::INPUTS), "absent: the output gets no records, as in the original", hint);
    }
    let none = || (is_list && has_apis).then(Vec::new);
    let named = inputs?.filter(|_| is_list).or_else(none);
    let (name, url, token) = (name?, url?, token?);
    let spots = [section.spot_of(&keys::LISTENER_URL), section.spot_of(&keys::LISTENER_TOKEN)];
    let filled = spots.iter().flat_map(|spot| reader.filled(&spot.entry()));
    let redactor = Redactor::new(filled.chain([token.clone()]));
    let redactor = match reader.masked(&section.spot_of(&keys::LISTENER_URL)) {
        Some(masked) => redactor.and_url(&url, secrets::shown(&masked)),
        None => redactor,
    };
    let names = |named: &Vec<Text>| Inputs::Named(named.iter().map(|name| name.value.clone()).collect());
    let inputs = named.as_ref().map_or(Inputs::All, names);
    let output = Output { name, url, token, acknowledge, inputs, redactor };
    Some(ReadOutput { output, named: named.unwrap_or_default(), spot: found.spot.clone() })
}
