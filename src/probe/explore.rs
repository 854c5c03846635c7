//! An API of which nothing is known but its URL and credentials: asked for a page, then for a start date by its usual
//! names.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;

use super::assess::{self, Edge, Start};
use super::bounds::{self, Bounds};
use super::choice::Choice;
use super::draft::{blank, compile, without_start};
use super::examine::{Again, assess_start, dates, not_json, records};
use super::first_page::FirstPage;
use super::flags::in_flags;
use super::propose::{Draft, Kind, ProbeTarget};
use super::report::hint;
use super::suggest;
use super::writer::For;
use crate::fetch::{Answer, Credentials, FetchError, PageOnce, RefusedAnswer, TokenCache, access_once, page_once};
use crate::plan::Auth;
use crate::record::date;
use crate::record::json::{JsonType as JsonKind, RawJson};
use crate::record::path::JsonPath;
use crate::template::{DateFormat, Position, ProofScope, Scope};
use crate::transport::Transport;

/// What the parameter that takes a start date is usually called. With the token, the first page and a control they
/// make at most [`REQUESTS_MAX`] requests, and finding the next page a few more, which no API minds.
const START_NAMES: [&str; REQUESTS_MAX - 3] = [
    "start_date",
    "since",
    "from",
    "start_time",
    "startTime",
    "start",
    "after",
    "updated_since",
    "updated_after",
    "created_after",
    "oldest",
    "startDate",
];
/// How many requests are made to find the start date, and for the first page.
const REQUESTS_MAX: usize = 15;
/// How often the first page is asked for: as the URL has it, in a window that the API demands, in a shorter one.
const FIRST_PAGES_MAX: usize = 3;
/// How far back a first start date is proposed; as `settings.days_back_fetch` is by default.
const FIRST_START_BACK: TimeDelta = TimeDelta::days(14);

/// A config that was made out.
#[derive(Debug)]
pub struct Proposal {
    /// The YAML text.
    pub config: String,
    /// Whether nothing is left open but the secrets and the listener.
    pub is_complete: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoProposal {
    /// What was given can't be used.
    #[error("{0}")]
    Given(String),
    /// The API gave no page.
    #[error("{0}")]
    Answer(String),
}

/// Asks an API, and makes a config for it out of its answers.
///
/// # Errors
/// [`NoProposal`], where there is no page to make it of.
pub async fn explore(transport: &Transport, target: &ProbeTarget, now: DateTime<Utc>) -> Result<Proposal, NoProposal> {
    let plan = compile(target, &blank(Kind::General)).map_err(NoProposal::Given)?;
    let token_url = match &plan.auth {
        Auth::Token(request) => Some(&request.request.url),
        _ => None,
    };
    if [Some(&plan.request.url), token_url]
        .into_iter()
        .flatten()
        .any(|url| !url.username().is_empty() || url.password().is_some())
    {
        return Err(NoProposal::Given("user and password don't belong in a URL; give them with --basic".to_owned()));
    }
    let host_kind = Kind::of_host(&plan.request.url, &target.auth);
    let failed = |refused: RefusedAnswer| {
        let hint = hint(&refused, &plan.auth).map(|hint| format!("; {}", in_flags(&hint, target)));
        let hint = hint.unwrap_or_default();
        NoProposal::Answer(format!("{}{hint}", refused.error))
    };
    let (access, _) = access_once(transport, &plan, &TokenCache::default()).await.map_err(failed)?;
    let asking = Asking { transport, target, access: &access, now };
    let (answer, bounds) = asking.first_page().await.map_err(|failure| match failure {
        FirstPageError::Given(what) => NoProposal::Given(what),
        FirstPageError::Refused(refused) => failed(*refused),
    })?;
    let text = answer.text();
    let text = text.ok_or_else(|| NoProposal::Answer("the answer has no content to make a config of".to_owned()))?;
    let root = RawJson::parse(text)
        .map_err(|error| NoProposal::Answer(access.redactor.redact(&in_flags(&not_json(text, &error), target))))?;

    let kind = match host_kind {
        Kind::General if suggest::is_odata(root) => Kind::of_odata(&target.auth),
        kind => kind,
    };
    let (configured, headers) = (&plan.request.url, &answer.headers);
    let seen = FirstPage { root, base: &answer.base, configured, headers, redactor: &access.redactor, now };
    let draft = seen.draft(kind);
    let mut draft = bounds.map_or(draft.clone(), |bounds| draft.within(bounds));
    asking.find_paging(&mut draft, &seen, &answer).await;
    asking.find_start(&mut draft, root).await;
    Ok(Proposal { config: target.config(&draft, For::Showing), is_complete: draft.is_complete() })
}

/// Why there is no first page.
enum FirstPageError {
    Given(String),
    Refused(Box<RefusedAnswer>),
}

/// Asking for what one page can't tell.
pub(super) struct Asking<'a> {
    pub(super) transport: &'a Transport,
    pub(super) target: &'a ProbeTarget,
    pub(super) access: &'a Credentials,
    pub(super) now: DateTime<Utc>,
}

impl Asking<'_> {
    /// A page; where the API refuses to be asked without a window, a page of such a window.
    async fn first_page(&self) -> Result<(Answer, Option<Bounds>), FirstPageError> {
        let mut draft = blank(Kind::General);
        for _ in 0..FIRST_PAGES_MAX {
            let plan = compile(self.target, &draft).map_err(FirstPageError::Given)?;
            let (template, start) = without_start(&draft, &plan.request, self.now);
            let position = Position::default();
            let (end, now) = (Some(self.now), self.now);
            let scope = Scope { start, end, now, position: &position, entry: None, proof: ProofScope::None };
            let page = PageOnce { template: &template, scope };
            let refused = match page_once(self.transport, &plan, self.access, page).await {
                Ok((answer, _)) => return Ok((answer, draft.bounds)),
                Err(refused) => refused,
            };
            let demanded = bounds::demanded(words_of(&refused.error)).filter(|demanded| {
                let is_news = draft.bounds.as_ref().is_none_or(|known| known.longest != demanded.longest);
                is_news && !self.target.has_start_mark()
            });
            let Some(demanded) = demanded else { return Err(FirstPageError::Refused(Box::new(refused))) };
            tracing::info!("the API wants a window: trying `{}` and `{}`", demanded.start, demanded.end);
            draft = draft.within(demanded);
        }
        Err(FirstPageError::Given("the API refuses every window that was tried".to_owned()))
    }

    /// Finds the name of the start date, where the type or the URL doesn't give it, and says what came of it.
    async fn find_start(&self, draft: &mut Draft, root: RawJson<'_>) {
        let is_known = !draft.kind.is_general() || self.target.has_start_mark() || draft.bounds.is_some();
        let names: Vec<Option<&str>> = if is_known { vec![None] } else { START_NAMES.map(Some).to_vec() };
        let mut tried: Vec<(Option<&str>, &str)> = Vec::new();
        for name in names {
            let mut attempt = draft.clone();
            attempt.start_name = match (name, &draft.bounds) {
                (Some(name), _) => Choice::given(name),
                (None, Some(_)) => draft.start_name.clone(),
                (None, None) => Choice::default(),
            };
            attempt.first_start = name.and_then(|_| self.first_start(draft, root));
            match name {
                Some(name) => tracing::info!("trying start date parameter `{name}`"),
                None => tracing::info!("trying the start date"),
            }
            match self.attempt(&attempt, root).await {
                Tried::Honoured(why, edge) => {
                    if edge == Edge::Exclusive {
                        let why =
                            "the start date is exclusive: looks for what surfaces late in the second of a checkpoint";
                        attempt.overlap = Choice { comments: vec![why.to_owned()], ..Choice::given("1m") };
                    }
                    attempt.start_name.comments = vec![why];
                    *draft = attempt;
                    return;
                }
                Tried::NotThis(how) => tried.push((name, how)),
                Tried::Inconclusive(why) => {
                    draft.open_start(is_known, [vec![why], tried_lines(&tried)].concat());
                    return;
                }
            }
        }
        let what = if is_known { "the start date was not honoured" } else { "none of the usual names is honoured" };
        draft.open_start(is_known, [vec![what.to_owned()], tried_lines(&tried)].concat());
    }

    /// A start date as number, where the API writes its dates so.
    fn first_start(&self, draft: &Draft, root: RawJson<'_>) -> Option<String> {
        let path = |choice: &Choice| choice.value.as_deref().and_then(|path| JsonPath::parse(path).ok());
        let list = path(&draft.data)?.first(root)?;
        let date_path = path(&draft.date)?;
        let written = list.elements().find_map(|record| date_path.first(record))?;
        let read = (written.kind() == JsonKind::Number).then(|| date::parse(written.text())).flatten()?;
        let format = match written.text().starts_with(&read.timestamp_millis().to_string()) {
            true => DateFormat::UnixMilliseconds,
            false => DateFormat::UnixSeconds,
        };
        Some(format.write(date::floor_to_second(date::before(self.now, FIRST_START_BACK))))
    }

    async fn attempt(&self, attempt: &Draft, root: RawJson<'_>) -> Tried {
        let inconclusive =
            |why: &str| Tried::Inconclusive(format!("which parameter takes a start date can't be told: {why}"));
        let Ok(plan) = compile(self.target, attempt) else {
            return inconclusive("records and dates must be known first");
        };
        let Ok(records) = records(root, &plan.paths) else { return inconclusive("the records are not known") };
        let granularity = plan.request.granularity();
        let dates = dates(&records);
        let start = match assess::start_to_try(&dates, granularity) {
            Ok(start) => start,
            Err(why) => return inconclusive(&why.to_string()),
        };
        let sent = granularity.sent(start);
        let (template, control_start) = without_start(attempt, &plan.request, self.now);
        let (position, proof) = (Position::default(), ProofScope::None);
        let scope =
            Scope { start: control_start, end: Some(self.now), now: self.now, position: &position, entry: None, proof };
        let control = PageOnce { template: &template, scope };
        let assessed = match assess_start(self.transport, &plan, self.access, start, &dates, control).await {
            Ok((assessed, _)) => assessed,
            Err(Again::Unreadable(_)) => return Tried::NotThis("answered otherwise"),
            Err(Again::Refused(refused)) => return refusal(&refused),
        };
        match assessed {
            Start::Honoured(edge) => {
                let edge_words = match edge {
                    Edge::Inclusive => ", inclusive",
                    Edge::Exclusive => ", exclusive",
                    Edge::Inconclusive => "",
                };
                let why = format!(
                    "the start date is honoured{edge_words}: asked from {} on, nothing older came",
                    date::format(sent)
                );
                Tried::Honoured(why, edge)
            }
            Start::Ignored(_) => Tried::NotThis("ignored"),
            Start::Empty | Start::Unsure => Tried::NotThis("answered with nothing"),
            Start::Undated => Tried::NotThis("answered otherwise"),
            Start::Moved => inconclusive("new records come faster than they can be compared; ask for larger pages"),
        }
    }
}

/// Every name that was tried, by what came of it, a line for each outcome.
fn tried_lines(tried: &[(Option<&str>, &str)]) -> Vec<String> {
    let mut outcomes: Vec<&str> = Vec::new();
    tried.iter().for_each(|(_, how)| {
        if !outcomes.contains(how) {
            outcomes.push(how)
        }
    });
    let line = |how: &&str| {
        let names: Vec<&str> = tried.iter().filter(|(_, of)| of == how).filter_map(|(name, _)| *name).collect();
        if names.is_empty() { (*how).to_owned() } else { format!("{how}: {}", names.join(", ")) }
    };
    outcomes.iter().map(line).collect()
}

/// What came of one name.
enum Tried {
    Honoured(String, Edge),
    NotThis(&'static str),
    /// No name can tell.
    Inconclusive(String),
}

/// What a refused request was told.
fn words_of(error: &FetchError) -> &str {
    match error {
        FetchError::Status {
            status: StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, error_body, ..
        } => error_body,
        _ => "",
    }
}

fn refusal(refused: &RefusedAnswer) -> Tried {
    match &refused.error {
        FetchError::Status { status: StatusCode::TOO_MANY_REQUESTS, .. } => {
            Tried::Inconclusive("the API asks for fewer requests (429), so not every usual name was tried".to_owned())
        }
        FetchError::Status { .. }
        | FetchError::TooLarge { .. }
        | FetchError::Redirect { .. }
        | FetchError::Login { .. }
        | FetchError::OtherOrigin { .. } => Tried::NotThis("refused"),
        _ => Tried::Inconclusive("the API stopped answering, so not every usual name was tried".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use proptest::prelude::*;
    use reqwest::Url;
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::config::{self, Environment};
    use crate::plan::Plan;
    use crate::probe::propose::TargetAuth;
    use crate::text::Redactor;

    fn target(url: &str, auth: TargetAuth) -> ProbeTarget {
        ProbeTarget { url: url.to_owned(), auth, headers: Vec::new() }
    }

    fn basic() -> TargetAuth {
        TargetAuth::Basic { id: "the-id".to_owned(), key: "${KEY}".to_owned() }
    }

    fn token() -> TargetAuth {
        let url = "https://login.example/token".to_owned();
        TargetAuth::Token {
            url,
            id: "the-id".to_owned(),
            key: "${KEY}".to_owned(),
            scope: Some("a/.default".to_owned()),
        }
    }

    /// The config that a page leads to, with its start date named where the type doesn't, and what a fetcher makes of it.
    fn proposed(target: &ProbeTarget, page: &str) -> (String, config::LoadedConfig) {
        let url = Url::parse(&target.url).expect("a URL");
        let now = date::parse("2024-05-28T13:00:00Z").expect("a date");
        let root = RawJson::parse(page).expect("JSON");
        let (redactor, headers) = (Redactor::default(), HeaderMap::new());
        let seen = FirstPage { root, base: &url, configured: &url, headers: &headers, redactor: &redactor, now };
        let kind = Kind::of_host(&url, &target.auth);
        let text = target.config(&seen.draft(kind), For::Showing);
        let filled = text.replace("<<LISTENER-HOST>>", "listener.example").replace("<<", "").replace(">>", "");
        let variable = |_: &str| Some("the-key".to_owned());
        (text, config::compile(&filled, &Environment { variable: &variable, directory: Path::new(".") }))
    }

    #[track_caller]
    fn plan(target: &ProbeTarget, page: &str) -> (String, Arc<Plan>) {
        let (text, reading) = proposed(target, page);
        let plan = reading.config.unwrap_or_else(|| panic!("{:#?}\n{text}", reading.diagnostics)).apis.remove(0);
        (text, plan)
    }

    #[test]
    fn known_hosts_get_their_type() {
        let page = r#"{"metadata":{"links":{"self":"x"}},"data":[{"id":1,"date":"2024-05-28T12:00:00+00:00"}]}"#;
        let (text, cisco) = plan(&target("https://api.eu.amp.cisco.com/v1/events?limit=500", basic()), page);
        assert!(text.contains("type: cisco_secure_x") && !text.contains("json_paths"), "{text}");
        assert_eq!(cisco.paths.next_url.as_ref().map(|path| path.to_string()), Some("metadata.links.next".to_owned()));
        let first =
            |plan: &Plan| plan.request.build_first(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH).expect("bound").url;
        assert_eq!(
            first(&cisco).as_str(),
            "https://api.eu.amp.cisco.com/v1/events?limit=500&start_date=1970-01-01T00%3A00%3A00%2B00%3A00"
        );

        let page = r#"{"@odata.context":"c","value":[{"id":"a","createdDateTime":"2024-05-28T12:00:00.1Z"}]}"#;
        let (text, graph) = plan(&target("https://graph.microsoft.com/v1.0/auditLogs/signIns?$top=10", token()), page);
        assert!(text.contains("type: azure_graph") && text.contains("data_date: createdDateTime"), "{text}");
        assert_eq!(graph.paths.next_url.as_ref().map(|path| path.to_string()), Some("@odata.nextLink".to_owned()));
        assert_eq!(first(&graph).query(), Some("$filter=createdDateTime%20ge%201970-01-01T00%3A00%3A00Z&$top=10"));
    }

    #[test]
    fn a_known_host_with_another_page_is_a_general_api() {
        let (text, other) =
            plan(&target("https://api.amp.cisco.com/v3/x", basic()), r#"{"rows":[{"at":"2024-05-28"}]}"#);
        assert!(text.contains("type: general"), "{text}");
        assert_eq!((other.paths.data.text(), other.paths.date.as_ref().map(|path| path.text())), ("rows", Some("at")));
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "a\nb: c",
                "#",
                ": ",
                "- x",
                "<<A>>",
                "${A}",
                "next\u{2028}",
                "\u{85}",
                "*",
                "&a",
                "!t",
                "data",
                "id"
            ])
            .prop_map(str::to_owned),
            any::<String>(),
        ]
    }

    /// Whatever the keys of a page: the config is valid but for its placeholders, and names the paths that were chosen.
    #[test]
    fn no_page_breaks_the_config() {
        let of = (hostile(), hostile(), hostile(), hostile(), hostile());
        proptest!(|((list, day, id, next, within) in of, is_token in any::<bool>())| {
            let record = |number: u32| serde_json::json!({&day: "2024-05-28T10:00:00Z", &id: {&within: number}, "id": number});
            let page = serde_json::json!({&list: {&within: [record(1), record(2)]}, &next: "/events?p=2"}).to_string();
            let target = target("https://api.example/v1/events?a b=${X}&c:=#d", if is_token { token() } else { basic() });
            let (text, reading) = proposed(&target, &page);
            let faults = reading.diagnostics.errors.iter().map(ToString::to_string).collect::<Vec<_>>();
            prop_assert!(faults.is_empty(), "{:?}\n{}", faults, text);
            prop_assert!(!text.contains("the-id"), "{}", text);
        });
    }
}
