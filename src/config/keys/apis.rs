//! Every key of an entry of `apis`, once: what the dialect of versions 0.2 to 2.1 of the original has, and what may be added.
//!
//! What its types have beside these keys are the parameters of their files in the directory `catalog/apis`. A request stands
//! at the top of an entry or below `data_request`, and that of a login below `token_request`.

use super::super::kinds::apis::{AnyBody, DaysBack, OldUrl, PageCount, PagingPlace, YesNo};
use super::super::kinds::entry::{CustomFieldsKind, Flag, FormatName, IdPathsKind, Name, Path, TypeName};
use super::super::kinds::number::{Interval, OverlapKind, Span, TimeZone, Timeout};
use super::super::kinds::request::{HeaderTemplates, Hosts, HttpMethod, TokenUrl};
use super::super::kinds::settings::{AnswerChoice, RepeatChoice, TakeChoice};
use super::super::kinds::stop::{StopConditionName, StopValue};
use super::super::kinds::text::OptionalText;
use super::super::place::Place;
use super::KeyInfo;
use super::Need::{Else, Required, Unless};

/// What fills in the request of a type that has one of its own.
const URL_ELSEWHERE: &str = "it stands in `data_request`, or the type has one of its own";

/// The table: each row is a doc comment (the meaning), a kind, a way, and a [`Need`](super::Need).
macro_rules! rows {
    ($($(#[doc = $meaning:literal])* $kind:ty = $path:literal, $need:expr;)*) => {
        /// All keys of `apis`, in the order in which docs/config.md shows them.
        pub const KEYS_OF_APIS: &[KeyInfo] =
            &[$(KeyInfo::new::<$kind>($path, Place::Apis, $need, concat!($($meaning),*))),*];
    };
}

rows! {
    TypeName = "type", Required;
    /// Names the API in logs, in `inputs` and in `last_start_dates.txt`.
    Name = "name", Else("the URL; some types have a name of their own");
    /// The URL. `{start_date}` and `{end_date}` may stand in it.
    OldUrl = "url", Unless(URL_ELSEWHERE);
    /// `GET` or `POST`.
    HttpMethod = "method", Else("`GET`");
    /// Headers. Those that the type sets itself can be set here, too.
    HeaderTemplates = "headers", Else("none");
    /// The body: names and values, or a list, are sent as JSON, text as it is. A GET request has one, too.
    AnyBody = "body", Else("none");
    /// Where an answer holds its records, like `result.items` or `[0].items`. `\.` is a dot within a name. A text on the way is
    /// read as JSON.
    OptionalText = "response_data_path", Else("the whole answer");
    /// How further pages are asked for: `url`, `body` or `headers`.
    PagingPlace = "pagination.type", Else("only the first page is read");
    /// The URL of the next page, with `{res.PATH}` for values of the answer before.
    OldUrl = "pagination.url_format", Unless("`pagination.type` isn't `url`");
    /// `true`: `url_format` is appended to the URL of the first page.
    YesNo = "pagination.update_first_url", Else("`false`");
    /// The body of the next page.
    AnyBody = "pagination.body_format", Unless("`pagination.type` isn't `body`");
    /// The headers of the next page, beside the others.
    HeaderTemplates = "pagination.headers_format", Unless("`pagination.type` isn't `headers`");
    /// What tells that a page is the last.
    OptionalText = "pagination.stop_indication.field", Else("pages end where they lead no further");
    /// `empty`, `equals` or `contains`.
    StopConditionName = "pagination.stop_indication.condition", Unless("there is no `stop_indication`");
    /// What `equals` and `contains` compare with.
    StopValue = "pagination.stop_indication.value", Else("none");
    /// The most pages after the first one. With a `stop_indication` the next iteration goes on there.
    PageCount = "pagination.max_calls", Else("no limit");
    /// The URL of the next iteration, with `{res.PATH}` for values of the answer before.
    OldUrl = "next_url", Else("as `url`");
    /// The body of the next iteration.
    AnyBody = "next_body", Else("as `body`");
    /// Fields added to every record; they win over the record's own.
    CustomFieldsKind = "additional_fields", Else("`type: api-fetcher`");
    /// The pause between two iterations: minutes, or text like `30s`.
    Interval = "scrape_interval", Else("`1`");
    /// How many days back the first iteration begins. Of `general` and `oauth` where `{start_date}` stands in the request.
    DaysBack = "days_back_fetch", Else("the type's own");

    /// The URL of the records.
    OldUrl = "data_request.url", Unless("the type has no `data_request`");
    /// `GET` or `POST`.
    HttpMethod = "data_request.method", Else("`GET`");
    /// Headers.
    HeaderTemplates = "data_request.headers", Else("`Content-Type: application/json`");
    /// The body.
    AnyBody = "data_request.body", Else("none");
    /// Where an answer holds its records.
    OptionalText = "data_request.response_data_path", Else("the whole answer; some types have a path of their own");
    /// As `pagination.type`.
    PagingPlace = "data_request.pagination.type", Else("only the first page is read; some types page themselves");
    /// As `pagination.url_format`.
    OldUrl = "data_request.pagination.url_format", Unless("the type of the pagination isn't `url`");
    /// As `pagination.update_first_url`.
    YesNo = "data_request.pagination.update_first_url", Else("`false`");
    /// As `pagination.body_format`.
    AnyBody = "data_request.pagination.body_format", Unless("the type of the pagination isn't `body`");
    /// As `pagination.headers_format`.
    HeaderTemplates = "data_request.pagination.headers_format", Unless("the type of the pagination isn't `headers`");
    /// As `pagination.stop_indication.field`.
    OptionalText = "data_request.pagination.stop_indication.field", Else("pages end where they lead no further");
    /// `empty`, `equals` or `contains`.
    StopConditionName = "data_request.pagination.stop_indication.condition", Unless("there is no `stop_indication`");
    /// What `equals` and `contains` compare with.
    StopValue = "data_request.pagination.stop_indication.value", Else("none");
    /// As `pagination.max_calls`.
    PageCount = "data_request.pagination.max_calls", Else("no limit");
    /// The URL of the next iteration.
    OldUrl = "data_request.next_url", Else("as `url`; some types have a window of their own");
    /// The body of the next iteration.
    AnyBody = "data_request.next_body", Else("as `body`");
    /// Fields added to every record, where `additional_fields` of the entry doesn't have them. Better written there.
    CustomFieldsKind = "data_request.additional_fields", Else("none");
    /// Not used: the entry has a name.
    OptionalText = "data_request.name", Else("none");
    /// Not used: the entry has an interval.
    OptionalText = "data_request.scrape_interval", Else("none");

    /// The URL of the login.
    TokenUrl = "token_request.url", Unless("the type has no `token_request`");
    /// `GET` or `POST`.
    HttpMethod = "token_request.method", Else("`GET`");
    /// Headers of the login.
    HeaderTemplates = "token_request.headers", Else("none");
    /// The body of the login.
    AnyBody = "token_request.body", Else("none");
    /// What holds `access_token` and `expires_in` in the login's answer.
    OptionalText = "token_request.response_data_path", Else("the whole answer");
    /// Not used: the entry has a name.
    OptionalText = "token_request.name", Else("none");

    /// New: where a record holds its date. It tells how far behind the API is, and late records from known ones.
    Path = "record_date", Else("told by `next_url`, or by the type");
    /// New: where a record holds its id, or a list of paths.
    IdPathsKind = "record_id", Else("the whole record; some types have an id");
    /// New: how far before the last record each iteration looks for late ones: minutes, text like `6h`, or `auto`.
    OverlapKind = "overlap", Else("one unit of the date; some types have one of their own");
    /// New: whether a list that is the same request each time ships all its records each time (`ship`), or known ones
    /// once (`skip`).
    RepeatChoice = "repeat", Else("`ship`; `skip` where there is a `record_date` or `record_id`");
    /// New: where the first iteration begins, where `{start_date}` stands in the request.
    OptionalText = "start_date", Else("`days_back_fetch`");
    /// New: the longest span that one request may ask for, where `{end_date}` stands in the request, like `1h`.
    Span = "window", Else("no limit; some types have one of their own");
    /// New: how long before now a span ends, like `5m`.
    Span = "delay", Else("0; some types have one of their own");
    /// New: whether `next_url` takes the value of the newest record, or the one at the position that it names.
    TakeChoice = "cursor", Else("`newest`");
    /// New: which answer of an iteration `next_url` and `next_body` take their values from: `first` or `last`.
    AnswerChoice = "next_from", Else("`first`; `last` where the pages use the same value");
    /// New: what answers are: `json`, `ndjson` or `csv`.
    FormatName = "format", Else("their content type or their first bytes tell");
    /// Of the types of Azure: the scope of the token.
    OptionalText = "scope", Else("the type's own");
    /// New: the URL of the login, for other regions and clouds.
    TokenUrl = "token_url", Else("the type's own");
    /// New: other hosts that links may lead to.
    Hosts = "hosts", Else("those that the entry names");
    /// New: names the state of an API where two have the same name.
    Name = "state_key", Else("the name, if no entry before it has it, else name and URL");
    /// New: how long the API may be silent.
    Timeout = "timeout", Else("60s");
    /// New: the time zone of record dates that name none.
    TimeZone = "timezone", Else("`UTC`");
    /// New: `false`: the entry rests.
    Flag = "enabled", Else("`true`");
}
