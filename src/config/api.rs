//! One entry of `auth_apis` or `oauth_apis`, compiled into a [`Plan`].

use std::path::Path;

use chrono::TimeDelta;
use serde_yaml::{Mapping, Value};

use super::catalog::{self, NamedType};
use super::document::Spot;
use super::keys;
use super::kinds::step::PARALLEL_DEFAULT;
use super::merge;
use super::parameters;
use super::parts::{EntryParts, StepParts, has_next_iteration, response};
use super::place::{List, Place};
use super::plain::is_plain;
use super::reader::Reader;
use super::secrets::{self, redactor};
use super::section::{LIKENESS_MIN, Section};
use super::value::Found;
use crate::http::ClientIdentity;
use crate::plan::{
    AGE_MARGIN, Auth, CheckpointKind, EndPolicy, Overlap, Plan, RecordRule, ResponseRule, StartPolicy, TokenRequest,
};
use crate::record::path::JsonPath;
use crate::record::{CustomFields, ErrorRule, Paths, Zone};
use crate::template::{Granularity, RequestTemplate, Variable};
use crate::text::Redactor;

/// `settings.days_back_fetch` where it is absent.
const DAYS_BACK_DEFAULT: TimeDelta = TimeDelta::days(14);

/// `settings.end_delay` where it is absent and the API filters by a clock of its own: what arrives just now may not be listed
/// yet.
const ARRIVAL_DELAY_DEFAULT: TimeDelta = TimeDelta::minutes(1);

/// The path of the records where the answer itself is the list of them.
const WHOLE_ANSWER: &str = "$";

/// How many units of the start date a slice has at least: what is sent overlaps by one.
const SLICE_UNITS_MIN: i32 = 2;

/// The longest name of a type that is shown where there is none of that name; others may be a value, by a slip.
const SHOWN_TYPE_CHARS_MAX: usize = 20;

/// Reads the entries of `auth_apis` and `oauth_apis`.
pub(super) struct Entries<'v> {
    pub(super) reader: &'v Reader<'v>,
    /// Where relative file names start from; `None` where no file is opened.
    pub(super) directory: Option<&'v Path>,
}

impl<'v> Entries<'v> {
    pub(super) fn new(reader: &'v Reader<'v>, directory: Option<&'v Path>) -> Self {
        Self { reader, directory }
    }

    /// One entry, and whether it is to be asked; nothing where it has an error, which is noted.
    pub(super) fn read(&self, found: &Found<'_>, list: List) -> Option<(Plan, bool)> {
        let Value::Mapping(own) = found.value else {
            return found.refuse("an API should be here, with keys and values", None);
        };
        let place = Place::of(list);
        let written = Section::new(self.reader, own, found.spot.clone(), place);
        let named = self.named_type(&written, list)?;
        written.check_keys(Some(named));
        let is_enabled = written.read_or(&keys::ENABLED, true);
        let preset = parameters::filled_in(self.reader, own, &found.spot, named);
        let merged = merge::merged(own, &preset, place);
        let plan = Entries { ..*self }.plan(&merged, found.spot.clone(), place, named);
        Some((plan?, is_enabled.unwrap_or(true)))
    }

    pub(super) fn plan(&self, entry: &Mapping, spot: Spot, place: Place, named: &NamedType) -> Option<Plan> {
        let entry = &Section::new(self.reader, entry, spot, place);
        let name = entry.read(&keys::NAME);
        let interval = entry.read(&keys::TIME_INTERVAL);
        self.warn_of_marks(entry);
        let request = self.request(entry, named);
        let auth = self.auth(entry, request.as_ref().map(|(request, _)| request), place == Place::OAuth);
        let identity = self.identity(entry);
        let zone = entry.read(&keys::TIMEZONE).unwrap_or(Zone::Utc);
        let paging = self.paging(entry, request.as_ref().map(|(request, _)| request));
        let checkpoint = self.checkpoint(entry);
        let paths = self.paths(entry, named, checkpoint, zone);
        let steps = request.as_ref().zip(paths.as_ref()).map(|((request, _), paths)| {
            let page_size = entry.read(&keys::PAGE_SIZE);
            self.steps(entry, EntryParts { request, error: &paths.error, zone, page_size })
        });
        let parallel = entry.read_or(&keys::PARALLEL, PARALLEL_DEFAULT);
        let custom_fields = entry.read(&keys::CUSTOM_FIELDS).or_else(|| CustomFields::new(&[]).ok());
        let has_id = paths.as_ref().is_some_and(|paths| paths.id.is_some());
        let start = start_policy(entry, named, has_id, checkpoint);
        let rate = entry.read(&keys::RATE_LIMIT);
        let records = entry.read(&keys::RECORDS).unwrap_or_default();
        let (mut request, configured) = request?;
        request.write_in_zone(zone);
        let (mut auth, (paging, next_url), mut steps) = (auth?, paging?, steps??);
        auth.write_in_zone(zone);
        steps.iter_mut().for_each(|step| step.request.write_in_zone(zone));
        let mut paths = Paths { next_url, ..paths? };
        let next_iteration = self.next_iteration(entry, &request, &mut paths);
        let identity = identity?;
        self.check_proof(entry, &request, &auth);
        self.check_steps(entry, start.checkpoint, &paths, &steps);
        self.check_snapshot(entry, start.checkpoint, &request);
        let redactor = self.redactor(entry, &request, &steps, &auth);
        let requests = || std::iter::once(&request).chain(steps.iter().map(|step| &step.request));
        let granularity = requests().map(RequestTemplate::granularity).max().unwrap_or_default();
        let end = end_policy(entry, &requests().collect::<Vec<_>>(), start.checkpoint);
        let plan = Plan {
            redactor,
            name: name?,
            interval: interval?,
            start: StartPolicy { configured, granularity, end, ..start },
            until: None,
            response: ResponseRule { records, ..response(entry) },
            paths,
            paging,
            next_iteration,
            steps: Vec::new(),
            parallel: parallel?,
            custom_fields: custom_fields?,
            auth: with_identity(auth, identity.as_deref()),
            identity,
            request,
            rate,
        };
        let steps = steps.into_iter().map(|step| step.of_plan(&plan)).collect();
        Some(Plan { steps, ..plan })
    }

    /// With steps something must say when records took place: the first list, or the records of the last step. And what the
    /// API gives only once can't be asked about again where a step fails.
    fn check_steps(&self, entry: &Section<'_>, checkpoint: CheckpointKind, paths: &Paths, steps: &[StepParts]) {
        let Some(last) = steps.last() else { return };
        let is_by_date =
            checkpoint == CheckpointKind::Newest && !entry.has(&keys::CURSOR) && !has_next_iteration(entry);
        if is_by_date && paths.date.is_none() && !last.has_date() {
            let hint = "set it here, where the first list has dates, or in the last step, where only its records have"
                .to_owned();
            let what = "a required key is missing: no checkpoint could move";
            self.reader.error(&entry.spot_of(&keys::DATA_DATE), what, Some(hint));
        }
        let what = match checkpoint {
            CheckpointKind::Newest | CheckpointKind::WindowEnd => return,
            CheckpointKind::Server => {
                "with `steps` the position can't be the API's: what it gives once would be lost where a step fails"
            }
            CheckpointKind::Snapshot(_) => "with `steps` there is no single list that could be read again and again",
        };
        let hint = "leave it out, or set it to `newest` or `window`".to_owned();
        self.reader.error(&entry.spot_of(&keys::CHECKPOINT), what, Some(hint));
    }

    /// A list that is read again and again is asked for in the same words.
    fn check_snapshot(&self, entry: &Section<'_>, checkpoint: CheckpointKind, request: &RequestTemplate) {
        let moves =
            |variable: &Variable| matches!(variable, Variable::StartDate(_) | Variable::EndDate(_) | Variable::Cursor);
        let is_other = request.iteration.is_some() || request.variables().any(moves);
        if matches!(checkpoint, CheckpointKind::Snapshot(_)) && is_other {
            let hint = Some("leave `checkpoint: snapshot` out".to_owned());
            let what = "the request holds a date or a cursor, so it is another one each time";
            self.reader.warn(&entry.spot_of(&keys::CHECKPOINT), what, hint);
        }
    }

    /// What a checkpoint is, and what becomes of known records where there is none.
    fn checkpoint(&self, entry: &Section<'_>) -> CheckpointKind {
        let checkpoint = entry.read(&keys::CHECKPOINT).unwrap_or_default();
        let repeat = entry.read(&keys::REPEAT);
        match (checkpoint, repeat) {
            (CheckpointKind::Snapshot(_), Some(repeat)) => CheckpointKind::Snapshot(repeat),
            (_, Some(_)) => {
                let hint = Some("remove it, or set `checkpoint: snapshot`".to_owned());
                self.reader.warn(&entry.spot_of(&keys::REPEAT), "it counts only with `checkpoint: snapshot`", hint);
                checkpoint
            }
            (_, None) => checkpoint,
        }
    }

    /// Hides the entry's secrets, also where they stand in its URLs.
    fn redactor(&self, entry: &Section<'_>, request: &RequestTemplate, steps: &[StepParts], auth: &Auth) -> Redactor {
        let filled = self.reader.filled(&entry.spot);
        let token_url = match auth {
            Auth::Token(token) => Some(&token.request.url),
            Auth::Basic { .. } | Auth::OwnHeader => None,
        };
        let urls = [
            self.reader.masked(&entry.spot_of(&keys::URL)).map(|masked| (&request.url, masked)),
            token_url.zip(self.reader.masked(&entry.spot_of(&keys::TOKEN_URL))),
        ];
        let requests = std::iter::once(request).chain(steps.iter().map(|step| &step.request));
        let redactor = redactor(requests, auth, entry, filled);
        urls.into_iter()
            .flatten()
            .fold(redactor, |redactor, (url, masked)| redactor.and_url(url, secrets::shown(&masked)))
    }

    /// The entry's type. Where there is none of that name, the likeliest, so that the rest can be looked at, too.
    pub(super) fn named_type(&self, entry: &Section<'_>, list: List) -> Option<&'static NamedType> {
        let here = catalog::types_of(list);
        let text = entry.read(&keys::TYPE);
        let name = text.as_ref().map(|text| text.value.as_str()).unwrap_or_default();
        if let Some(named) = here.clone().find(|named| named.name == name) {
            return Some(named);
        }
        let likeness = |named: &NamedType| strsim::jaro_winkler(&named.name, &name.to_lowercase());
        let nearest = here.clone().rev().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let near = nearest.filter(|named| likeness(named) >= LIKENESS_MIN);
        if !name.is_empty() {
            let elsewhere =
                catalog::types().iter().find(|named| named.name == name).and_then(|named| named.lists.first());
            let hint = match (elsewhere, near) {
                (Some(list), _) => format!("`{name}` belongs in `{}`", list.key()),
                (None, Some(near)) => format!("did you mean `{}`? `catalog list` shows all types", near.name),
                (None, None) => "`general`, or one of those that `catalog list` shows".to_owned(),
            };
            let is_shown = (near.is_some() && name.len() <= SHOWN_TYPE_CHARS_MAX) || is_plain(name);
            let what = match is_shown && self.reader.masked(&entry.spot_of(&keys::TYPE)).is_none() {
                true => format!("unknown type `{name}`"),
                false => "unknown type".to_owned(),
            };
            self.reader.error(&entry.spot_of(&keys::TYPE), what, Some(hint));
        }
        // Where none is likely, the one that fills nothing in.
        near.or_else(|| here.clone().find(|named| named.entry.is_empty())).or(nearest)
    }

    fn paths(&self, entry: &Section<'_>, named: &NamedType, checkpoint: CheckpointKind, zone: Zone) -> Option<Paths> {
        let may_be_whole = entry.has(&keys::FORMAT) || entry.read(&keys::RECORDS) == Some(RecordRule::Any);
        let data = match may_be_whole && !entry.has(&keys::DATA) {
            true => JsonPath::parse(WHOLE_ANSWER).ok().map(|path| (path, false)),
            false => entry.read(&keys::DATA),
        };
        // OData's start date is a clause about the date's field.
        let has_position =
            entry.has(&keys::CURSOR) || has_next_iteration(entry) || checkpoint != CheckpointKind::Newest;
        // Partitions and jobs have none.
        let needs_date = named.odata || !(has_position || entry.has(&keys::STEPS));
        let date = match needs_date || entry.has(&keys::DATA_DATE) {
            true => entry.read(&keys::DATA_DATE).map(Some),
            false => Some(None),
        };
        let id = entry.read(&keys::ID).flatten();
        let error = match (entry.is_null(&keys::ERROR), entry.read(&keys::ERROR)) {
            (true, _) => ErrorRule::Never,
            (false, None) => ErrorRule::Usual,
            (false, Some(path)) => ErrorRule::At(path),
        };
        let (data, is_data_optional) = data?;
        Some(Paths { data, date: date?, id, next_url: None, is_data_optional, error, zone })
    }
}

/// Token requests show the certificates, too, and those who show others share no token.
fn with_identity(auth: Auth, identity: Option<&ClientIdentity>) -> Auth {
    match auth {
        Auth::Token(request) => {
            let identity = identity.map(ClientIdentity::fingerprint);
            Auth::Token(Box::new(TokenRequest { identity, ..*request }))
        }
        other => other,
    }
}

/// Where an iteration begins, as far as the settings say it.
fn start_policy(entry: &Section<'_>, named: &NamedType, has_id: bool, checkpoint: CheckpointKind) -> StartPolicy {
    let max_age = entry.read(&keys::MAX_AGE);
    // Who says nothing wants what there is.
    let reached =
        max_age.map_or(DAYS_BACK_DEFAULT, |age| (age - AGE_MARGIN * 2).clamp(TimeDelta::zero(), DAYS_BACK_DEFAULT));
    let back = entry.read(&keys::DAYS_BACK_FETCH).unwrap_or(reached);
    let (back, overlap) = match checkpoint {
        // Each reading is of its own moment.
        CheckpointKind::Snapshot(_) => (TimeDelta::zero(), Overlap::Unit),
        _ => (back, overlap(entry, named, has_id)),
    };
    let (granularity, end) = (Granularity::default(), EndPolicy::default());
    StartPolicy { configured: None, back, overlap, granularity, end, checkpoint, max_age }
}

/// Where a window ends.
fn end_policy(entry: &Section<'_>, requests: &[&RequestTemplate], checkpoint: CheckpointKind) -> EndPolicy {
    let longest = entry.read(&keys::MAX_WINDOW);
    let unit = requests.iter().map(|request| request.granularity()).max().unwrap_or_default().unit();
    if let (Some(span), Some(found)) = (longest, entry.find(&keys::MAX_WINDOW))
        && span < unit * SLICE_UNITS_MIN
    {
        let what = format!("it should be at least {SLICE_UNITS_MIN} times the smallest difference of two start dates");
        found.refuse::<()>(&what, Some("use a longer span, or a finer format of the start date"));
    }
    let written = requests.iter().filter_map(|request| request.end_granularity()).max();
    if let (true, Some(found)) = (written.is_none(), entry.find(&keys::MAX_WINDOW)) {
        found.refuse::<()>(
            "the request says no end",
            Some("put `{end_date}` where the API takes the end of the window"),
        );
    }
    let delay = match checkpoint {
        CheckpointKind::Newest | CheckpointKind::Server | CheckpointKind::Snapshot(_) => TimeDelta::zero(),
        CheckpointKind::WindowEnd => ARRIVAL_DELAY_DEFAULT,
    };
    EndPolicy { delay: entry.read(&keys::END_DELAY).unwrap_or(delay), longest, written }
}

/// By an id a record is known again, so that looking back ships nothing twice.
fn overlap(entry: &Section<'_>, named: &NamedType, has_id: bool) -> Overlap {
    let measured = Overlap::Measured { until_measured: named.initial_overlap };
    match entry.read(&keys::OVERLAP) {
        Some(Some(span)) => Overlap::Fixed(span),
        Some(None) => measured,
        None if has_id => measured,
        None => Overlap::Unit,
    }
}
