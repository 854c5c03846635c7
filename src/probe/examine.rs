//! One API of the config, asked for one page and for a piece of it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::assess::{self, Edge, Start};
use super::draft::newest_part;
use super::redact;
use super::report::{ProbeReport, answered};
use super::suggest;
use crate::fetch::{Answer, Credentials, PageOnce, TokenCache, access_once, error_words, page_once};
use crate::plan::{CheckpointKind, Plan};
use crate::record::json::RawJson;
use crate::record::path::{JsonPath, what_is_there};
use crate::record::{CustomFields, Page, PageError, Paths, Record, date};
use crate::template::{Position, ProofScope, Scope};
use crate::text::Redactor;
use crate::text::form_decoded;
use crate::text::humanize::counted;
use crate::transport::Transport;
use crate::window::{Direction, Known, Window};

/// Dates before this are rather numbers of another kind: 2001-09-09, a billion seconds after 1970.
const LONG_AGO: DateTime<Utc> = match DateTime::from_timestamp(1_000_000_000, 0) {
    Some(date) => date,
    None => DateTime::UNIX_EPOCH,
};

/// Asks an API once, and says what the config makes of its answer.
/// `tokens` keeps a refresh token that comes.
pub async fn examine(transport: &Transport, plan: &Plan, tokens: &TokenCache, now: DateTime<Utc>) -> ProbeReport {
    let mut report = ProbeReport::begin(&plan.name, &plan.request.url, &plan.redactor);
    let own = plan.identity.as_ref().map(|identity| transport.with_identity(identity)).transpose();
    let transport = match &own {
        Ok(own) => own.as_ref().unwrap_or(transport),
        Err(error) => {
            report.wrong("tls", &error.to_string());
            return report;
        }
    };
    let access = match access_once(transport, plan, tokens).await {
        Ok((access, call)) => {
            if let Some(call) = call {
                let life = call.token_life.map_or("it does not say how long it lasts".to_owned(), |life| {
                    format!("it lasts {} s", life.as_secs())
                });
                report.well("token", &format!("{}; {life}", answered(&call, None)));
            }
            access
        }
        Err(refused) => {
            report.refused("token", &refused, &plan.auth);
            return report;
        }
    };
    if plan.start.checkpoint == CheckpointKind::Server {
        report.well("answer", "not asked for: the API keeps the position, and would not give it to the fetcher again");
        return report;
    }
    let wanted = Window::open(&plan.start, &Known::default(), now).start;
    let (start, end) = newest_part(plan, wanted, now);
    let position = Position::default();
    let scope = Scope { start, end: Some(end), now, position: &position, entry: None, proof: ProofScope::None };
    let answer = match page_once(transport, plan, &access, PageOnce { template: &plan.request, scope }).await {
        Ok((answer, call)) => {
            report.well("answer", &answered(&call, Some(answer.text().map_or(0, str::len))));
            answer
        }
        Err(refused) => {
            report.refused("answer", &refused, &plan.auth);
            return report;
        }
    };
    let asked = Asked { transport, plan, access: &access, now, from: start };
    asked.look_at(&answer, &mut report).await;
    asked.ask_steps(&answer, &mut report).await;
    report
}

pub(super) struct Asked<'a> {
    pub(super) transport: &'a Transport,
    pub(super) plan: &'a Plan,
    pub(super) access: &'a Credentials,
    pub(super) now: DateTime<Utc>,
    /// The start date of the first request.
    pub(super) from: DateTime<Utc>,
}

impl Asked<'_> {
    pub(super) fn redactor(&self) -> &Redactor {
        &self.access.redactor
    }

    /// Whether the keys there may be named. They are cut to be short, and of a secret that is cut the rest would be seen.
    fn may_name_keys(&self, raw: RawJson<'_>) -> bool {
        !suggest::keys(raw).iter().any(|key| self.redactor().finds_in(key))
    }

    async fn look_at(&self, answer: &Answer, report: &mut ProbeReport) {
        let Some(text) = answer.text() else {
            return report.well("data", &format!("no content, so no records since {}", date::format(self.from)));
        };
        if answer.was_lossy {
            report.well("", "some bytes are not UTF-8; they are replaced");
        }
        let root = match RawJson::parse(text) {
            Ok(root) => root,
            Err(error) => return report.wrong("data", &not_json(text, &error)),
        };
        self.error(root, report);
        let records = self.data(root, report);
        if let Some(records) = &records {
            self.dates(root, records, report);
            self.ids(records, report);
        }
        let count = records.as_ref().map_or(0, Vec::len);
        self.next(root, answer, count, report);
        let Some(records) = records.filter(|records| !records.is_empty()) else { return };
        // To ask for partitions or a job again tells nothing of a start date.
        if !self.plan.has_partitions() {
            self.start(&records, report).await;
        }
        if let Some(first) = records.first() {
            report.well("sample", "a record, without its values");
            redact::sample(first.raw, self.redactor(), self.now).iter().for_each(|line| report.more(line));
        }
    }

    /// What an answer of status 200 says of an error.
    fn error(&self, root: RawJson<'_>, report: &mut ProbeReport) {
        let page =
            Page::read(root.text(), &Paths { next_url: None, ..self.plan.paths.clone() }, &CustomFields::default());
        if let Some(told) = page.ok().and_then(|page| page.error) {
            let said = error_words(told.text(), self.redactor());
            report.wrong("error", &format!("the answer tells of an error, although its status is good{said}"));
            report.more("where that is no error, set json_paths.error to null, or to the path of the API's errors");
        }
    }

    fn data<'p>(&self, root: RawJson<'p>, report: &mut ProbeReport) -> Option<Vec<Record<'p>>> {
        let paths = &self.plan.paths;
        match records(root, paths) {
            Ok(records) if records.is_empty() => {
                let since = date::format(self.from);
                report.well("data", &format!("`{}`: no records since {since}; nothing more can be told", paths.data));
                Some(records)
            }
            Ok(records) => {
                report.well("data", &format!("`{}`: {}", paths.data, counted(records.len() as u64, "record")));
                Some(records)
            }
            Err(error) => {
                let words = if self.may_name_keys(root) { error.to_string() } else { finds_nothing(&paths.data) };
                report.wrong("data", &self.redactor().redact(&words));
                report.suggest("data", &suggest::records(root, self.now), self.redactor());
                None
            }
        }
    }

    fn dates(&self, root: RawJson<'_>, records: &[Record<'_>], report: &mut ProbeReport) {
        let Some(path) = &self.plan.paths.date else {
            return report.well("date", "json_paths.data_date is absent: the cursor says where to go on");
        };
        let dates = dates(records);
        let Some((oldest, newest)) = dates.iter().min().zip(dates.iter().max()) else {
            let Some(first) = records.first() else { return };
            let there = self.may_name_keys(first.raw).then(|| self.redactor().redact(&what_is_there(first.raw)));
            let there = there.map(|there| format!("; {there}")).unwrap_or_default();
            report.wrong("date", &format!("`{path}`: no record has a readable date there{there}"));
            let raws: Vec<RawJson<'_>> = records.iter().map(|record| record.raw).collect();
            let candidates = suggest::dates(&raws, self.now);
            // What looks like one record without a date may hold the list of records.
            let lists = suggest::records(root, self.now);
            if records.len() == 1 && !candidates.iter().any(|candidate| candidate.is_likely) && !lists.is_empty() {
                return report.suggest("data", &lists, self.redactor());
            }
            return report.suggest("data_date", &candidates, self.redactor());
        };
        if *newest < LONG_AGO {
            let raws: Vec<RawJson<'_>> = records.iter().map(|record| record.raw).collect();
            let better = suggest::dates(&raws, self.now);
            if better.iter().any(|candidate| candidate.is_likely && candidate.path != path.text()) {
                let (from, until) = (date::format(*oldest), date::format(*newest));
                report
                    .wrong("date", &format!("`{path}`: a number that makes dates from {from} to {until}; is it one?"));
                return report.suggest("data_date", &better, self.redactor());
            }
        }
        let (all, count) = (records.len(), dates.len());
        let order = match assess::order(&dates) {
            Some(Direction::NewestFirst) => "newest first",
            Some(Direction::OldestFirst) => "oldest first",
            Some(Direction::Mixed) => "in no order",
            None => "whose order can't be told",
        };
        report.well(
            "date",
            &format!("`{path}`: {count} of {} have a readable date, {order}", counted(all as u64, "record")),
        );
        report.more(&format!("oldest {}, newest {}", date::format(*oldest), date::format(*newest)));
    }

    fn ids(&self, records: &[Record<'_>], report: &mut ProbeReport) {
        let (Some(paths), false) = (&self.plan.paths.id, records.is_empty()) else { return };
        let all = || std::iter::once(&paths.first).chain(&paths.others);
        let path = all().map(|path| path.text()).collect::<Vec<_>>().join("`, `");
        let ids = |record: &Record<'_>| -> Option<Vec<String>> {
            all().map(|path| Some(path.first(record.raw)?.text().to_owned())).collect()
        };
        let ids: Vec<Vec<String>> = records.iter().filter_map(ids).collect();
        let raws = || records.iter().map(|record| record.raw).collect::<Vec<_>>();
        if ids.is_empty() {
            report.wrong("id", &format!("`{path}`: no record has an id there"));
            return report.suggest("id", &suggest::ids(&raws(), self.now), self.redactor());
        }
        let different = ids.iter().collect::<HashSet<_>>().len();
        let how = match ids.len() - different {
            0 if ids.len() == 1 => String::new(),
            0 => ", all different".to_owned(),
            doubled => {
                format!(", {doubled} of them for another time; records of one date and one id are taken for the same")
            }
        };
        report.well(
            "id",
            &format!("`{path}`: {} of {} have one{how}", ids.len(), counted(records.len() as u64, "record")),
        );
    }

    /// Asks again, from a date on that lies in the middle of the page.
    async fn start(&self, records: &[Record<'_>], report: &mut ProbeReport) {
        let request = &self.plan.request;
        let name = start_name(self.plan);
        let dates = dates(records);
        if dates.is_empty() {
            // That is told already.
            return;
        }
        let granularity = request.granularity();
        let tried = match assess::start_to_try(&dates, granularity) {
            Ok(tried) => tried,
            Err(inconclusive) => return report.well("start", &format!("`{name}`: can't be told, as {inconclusive}")),
        };
        let sent = granularity.sent(tried);
        let (from, end) = newest_part(self.plan, self.from, self.now);
        let position = Position::default();
        let proof = ProofScope::None;
        let scope = Scope { start: from, end: Some(end), now: self.now, position: &position, entry: None, proof };
        let control = PageOnce { template: request, scope };
        let (assessed, came) = match assess_start(self.transport, self.plan, self.access, tried, &dates, control).await
        {
            Ok(assessed) => assessed,
            Err(Again::Refused(refused)) => {
                report.well("start", &format!("`{name}`: asked again from {} on", date::format(sent)));
                return report.refused("", &refused, &self.plan.auth);
            }
            Err(Again::Unreadable(what)) => {
                let what = self.redactor().redact(&what);
                return report.wrong("start", &format!("`{name}`: from {} on, {what}", date::format(sent)));
            }
        };
        tell_start(report, &name, &date::format(sent), assessed, came);
    }
}

fn finds_nothing(path: &JsonPath) -> String {
    format!("json path `{path}` finds nothing")
}

fn tell_start(report: &mut ProbeReport, name: &str, sent: &str, assessed: Start, came: usize) {
    match assessed {
        Start::Honoured(Edge::Inclusive) => {
            report.well(
                "start",
                &format!("`{name}` is honoured, and inclusive: asked from {sent} on, nothing older came"),
            );
        }
        Start::Honoured(Edge::Exclusive) => {
            report.well(
                "start",
                &format!("`{name}` is honoured, but exclusive: what is of {sent} itself did not come again"),
            );
            report.more(
                "what surfaces late in the second of a checkpoint would be missed: set settings.overlap, like 1m",
            );
        }
        Start::Honoured(Edge::Inconclusive) => {
            report.well("start", &format!("`{name}` is honoured: asked from {sent} on, nothing older came"));
            report.more("whether it is inclusive can't be told, as no record is of exactly that date");
        }
        Start::Ignored(older) => {
            report.well(
                "start",
                &format!("`{name}` is ignored: asked from {sent} on, {older} of {came} records are older"),
            );
            report.more("nothing is shipped twice, but all pages are read each time: check start_date_name");
        }
        Start::Empty => {
            report.wrong(
                "start",
                &format!("`{name}`: asked from {sent} on nothing came, though there are later records"),
            );
            report.more(
                "the API takes it for something else: check start_date_name, and how its start dates are written",
            );
        }
        Start::Unsure => {
            report.well("start", &format!("`{name}`: asked from {sent} on, the newest date, nothing came"));
            report.more("it is honoured and exclusive, or taken for something else: ask again when there is more");
        }
        Start::Moved => {
            report.well("start", &format!("`{name}`: asked from {sent} on, nothing older came"));
            report.more("new records come so fast that it can't be told from chance: ask for larger pages, and again");
        }
        Start::Undated => {
            report.wrong("start", &format!("`{name}`: asked from {sent} on, no record has a readable date"));
        }
    }
}

/// Why there is no second page.
pub(super) enum Again {
    Refused(crate::fetch::RefusedAnswer),
    Unreadable(String),
}

/// Asks from another start date on, and assesses by the dates of the page before and, where it is honoured, by those of
/// the `control` request right after. Gives how many records came, too.
pub(super) async fn assess_start(
    transport: &Transport,
    plan: &Plan,
    access: &Credentials,
    start: DateTime<Utc>,
    before: &[DateTime<Utc>],
    control: PageOnce<'_>,
) -> Result<(Start, usize), Again> {
    let sent = plan.request.granularity().sent(start);
    let (now, position) = (Utc::now(), Position::default());
    let end = date::before(now, plan.start.end.delay).max(start);
    let scope = Scope { start, end: Some(end), now, position: &position, entry: None, proof: ProofScope::None };
    let came = again(transport, plan, access, PageOnce { template: &plan.request, scope }).await?;
    let assessed = assess::start(sent, before, &came);
    if !matches!(assessed, Start::Honoured(_)) {
        return Ok((assessed, came.len()));
    }
    let control = again(transport, plan, access, control).await?;
    Ok((assess::confirmed(assessed, sent, &control), came.len()))
}

/// The dates of the records of a page.
async fn again(
    transport: &Transport,
    plan: &Plan,
    access: &Credentials,
    page: PageOnce<'_>,
) -> Result<Vec<Option<DateTime<Utc>>>, Again> {
    let fetched = page_once(transport, plan, access, page).await;
    let (answer, _) = fetched.map_err(Again::Refused)?;
    let Some(text) = answer.text() else { return Ok(Vec::new()) };
    let root = RawJson::parse(text).map_err(|error| Again::Unreadable(not_json(text, &error)))?;
    let records = records(root, &plan.paths).map_err(|error| Again::Unreadable(error.to_string()))?;
    Ok(records.iter().map(|record| record.date).collect())
}

/// The records of a page, whatever its next link.
pub(super) fn records<'p>(root: RawJson<'p>, paths: &Paths) -> Result<Vec<Record<'p>>, PageError> {
    let without_link = Paths { next_url: None, ..paths.clone() };
    let page = Page::read(root.text(), &without_link, &CustomFields::default())?;
    match page.absent {
        Some(absent) if !paths.is_data_optional => Err(absent.missing.into()),
        _ => Ok(page.records),
    }
}

pub(super) fn dates(records: &[Record<'_>]) -> Vec<DateTime<Utc>> {
    records.iter().filter_map(|record| record.date).collect()
}

pub(super) fn finds_null(path: &str, root: RawJson<'_>) -> bool {
    JsonPath::parse(path).is_ok_and(|path| path.first(root).is_none())
}

/// What an answer is that is no JSON.
pub(super) fn not_json(text: &str, error: &serde_json::Error) -> String {
    match text.trim_start().starts_with('<') {
        true => "the answer is a web page, not JSON: check http_request.url".to_owned(),
        false => format!("the answer is not valid JSON: {error}"),
    }
}

/// The parameter that takes the start date.
fn start_name(plan: &Plan) -> String {
    let field = plan.request.first.query.iter().find(|field| field.value.has_start_date());
    field.map(|field| form_decoded(&field.name)).unwrap_or_default()
}
