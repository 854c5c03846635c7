//! The values of a page and of its records, each with its path. Every walk looks at a bounded number of values. Pure.

use std::collections::{HashMap, HashSet};

use crate::probe::value_path::ValuePath;
use crate::record::json::{JsonType, RawJson};

/// How deep a walk goes: answers hold their records and links near the top.
const DEPTH_MAX: usize = 6;
/// How many values of a page a walk looks at.
pub(super) const PAGE_NODES_MAX: usize = 10_000;
/// How many values of a record a walk looks at.
const RECORD_NODES_MAX: usize = 300;
/// How many records are walked: the first ones look like the rest.
const RECORDS_WALKED_MAX: usize = 200;
/// How many different paths are kept: records whose keys are data would fill the memory.
const PATHS_MAX: usize = 3_000;
/// How much of a name is compared, in characters.
const NAME_CHARS_MAX: usize = 100;

/// A key without what people put between its words.
pub(in crate::probe) fn plain(key: &str) -> String {
    key.chars().take(NAME_CHARS_MAX).filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The keys near a root.
pub(in crate::probe) fn keys(root: RawJson<'_>) -> HashSet<String> {
    let values = values(root, PAGE_NODES_MAX, Lists::Wrappers);
    values.iter().filter_map(|(value_path, _)| value_path.keys().next_back()).map(str::to_owned).collect()
}

/// The values near a root, each with the keys that lead to it; none inside of lists.
pub(in crate::probe) fn page_values(root: RawJson<'_>) -> Vec<(Vec<String>, RawJson<'_>)> {
    let values = values(root, PAGE_NODES_MAX, Lists::None).into_iter();
    values.map(|(path, raw)| (path.keys().map(str::to_owned).collect(), raw)).collect()
}

/// Into which lists a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    /// Into lists of one object, which wrap it.
    Wrappers,
    /// Into none.
    None,
}

/// The values below a root, level by level, those nearer to it first.
pub(super) fn values(root: RawJson<'_>, nodes_max: usize, into: Lists) -> Vec<(ValuePath, RawJson<'_>)> {
    let mut all = vec![(ValuePath::default(), root)];
    let mut at = 0;
    while let Some((value_path, raw)) = all.get(at).cloned() {
        at += 1;
        if value_path.depth() >= DEPTH_MAX {
            continue;
        }
        let left = nodes_max.saturating_sub(all.len());
        let members = raw.members().filter_map(|member| Some((member.key.scalar()?, member.value)));
        all.extend(members.take(left).map(|(key, value)| (value_path.key(&key), value)));
        let mut elements = raw.elements();
        let only = elements.next().filter(|element| into == Lists::Wrappers && element.kind() == JsonType::Object);
        if let (Some(only), None) = (only, elements.next()) {
            all.push((value_path.index(0), only));
        }
    }
    all
}

/// The scalars of the first records by their paths, in the order in which they were met, and those records.
pub(super) fn leaves<'a>(records: &[RawJson<'a>]) -> (Vec<RawJson<'a>>, Vec<(ValuePath, Vec<RawJson<'a>>)>) {
    let objects = records.iter().copied().filter(|record| record.kind() == JsonType::Object);
    let walked: Vec<RawJson<'a>> = objects.take(RECORDS_WALKED_MAX).collect();
    let mut places: HashMap<ValuePath, usize> = HashMap::new();
    let mut leaves: Vec<(ValuePath, Vec<RawJson<'a>>)> = Vec::new();
    for record in &walked {
        for (value_path, raw) in values(*record, RECORD_NODES_MAX, Lists::None) {
            if !matches!(raw.kind(), JsonType::Text | JsonType::Number) {
                continue;
            }
            let at = *places.entry(value_path.clone()).or_insert(leaves.len());
            match leaves.get_mut(at) {
                Some((_, values)) => values.push(raw),
                None if at < PATHS_MAX => leaves.push((value_path, vec![raw])),
                None => {
                    places.remove(&value_path);
                }
            }
        }
    }
    (walked, leaves)
}
