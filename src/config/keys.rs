//! Every key of the config, once: its kind, its way, where it may stand, whether it must, and what it means.
//!
//! All that knows keys comes from the table at the end of this file: what is read, what is unknown and what it was meant
//! for, what `check` says and shows, the table in docs/config.md, and the JSON Schema. A key's doc comment is its meaning.

pub(super) mod apis;

use std::marker::PhantomData;

use serde_json::Value;

use super::kinds::cluster::{ClusterName, EtcdUrls};
use super::kinds::entry::{
    ApiEntries, CustomFieldsKind, DataPath, ErrorPath, Filters, Flag, FlagPath, FormatName, HeaderNameKind,
    IdPathsKind, Name, NextLink, OptionalPath, PageSize, Path, RecordsName, StartName, Statuses, TypeName,
    ValueLocator,
};
use super::kinds::number::{Bytes, Days, Interval, OverlapKind, RateLimit, Span, TimeZone, Timeout};
use super::kinds::output::{InputNames, OutputEntries};
use super::kinds::proof::{ClientAuth, Encoding, Hash, SignedText};
use super::kinds::request::{
    Append, Body, Form, HeaderTemplates, Hosts, HttpMethod, NextUrl, TokenHeaders, TokenUrl, Url,
};
use super::kinds::settings::{AnswerChoice, CheckpointChoice, RepeatChoice, TakeChoice};
use super::kinds::step::{Conditions, Parallel, StepEntries, StepUrl, Within};
use super::kinds::stop::{PagesMax, StopConditionName, StopValue};
use super::kinds::text::{AcknowledgeKind, Credential, FileName, ListenAddress, ListenerUrl, OptionalText, SecretText};
use super::kinds::{Kind, Traits};
use super::place::Place;

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It must, unless something that is said here in words; the reader of the entry decides.
    Unless(&'static str),
    /// It must, unless the entry's type fills it in.
    OfType,
    /// It may be absent. What holds then, in words, or as YAML in backquotes.
    Else(&'static str),
}

/// What is known of a key, whatever its kind.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo {
    /// The way to it: from the top of the file, or from an API's entry.
    pub path: &'static str,
    /// Where it may stand.
    pub place: Place,
    /// Whether it must be there, or what holds without it.
    pub need: Need,
    pub(super) meaning: &'static str,
    pub(super) traits: Traits,
    pub(super) schema: fn(Place) -> Value,
    pub(super) words: fn(Place) -> Option<String>,
}

/// A key with the kind of its values.
pub(super) struct ConfigKey<K> {
    pub(super) info: KeyInfo,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> ConfigKey<K> {
    const fn new(path: &'static str, place: Place, need: Need, meaning: &'static str) -> Self {
        Self { info: KeyInfo::new::<K>(path, place, need, meaning), kind: PhantomData }
    }
}

impl KeyInfo {
    const fn new<K: Kind>(path: &'static str, place: Place, need: Need, meaning: &'static str) -> Self {
        Self { path, place, need, meaning, traits: K::TRAITS, schema: K::schema, words: K::words }
    }
}

/// The table: each row is a doc comment (the meaning), a name for the readers, a kind, a place, a way, and a [`Need`].
macro_rules! keys {
    ($($(#[doc = $meaning:literal])* $name:ident: $kind:ty = $place:ident $path:literal, $need:expr;)*) => {
        $(
            $(#[doc = $meaning])*
            pub(super) const $name: ConfigKey<$kind> =
                ConfigKey::new($path, Place::$place, $need, concat!($($meaning),*));
        )*

        /// All keys, in the order in which docs/config.md shows them.
        pub const KEYS: &[KeyInfo] = &[$($name.info),*];
    };
}

use Need::{Else, OfType, Required, Unless};

/// Names that mean the same as the first part of a way: the alias, and the name that the table has.
pub(super) const ALIASES: &[(&str, &str)] = &[("data_http_request", "http_request")];

const TOKEN_SAYS_WHO: &str = "the token request has a `body`, an `Authorization` header or an `assertion` of its own";
const KEY_OR_NONE: &str = "a header carries a key, or `credentials: {}` says that there are none";

keys! {
    /// Where the records go: one output, or a list of several, each with a `name`.
    OUTPUTS: OutputEntries = Top "logzio", Required;
    /// The listener of your region: `https://HOST:8071`.
    LISTENER_URL: ListenerUrl = Output "url", Required;
    /// The shipping token of the account that gets the logs.
    LISTENER_TOKEN: SecretText = Output "token", Required;
    /// `2xx`: any success acknowledges a batch, for relays that don't answer like a listener. Without it only a
    /// listener's own answers count: an empty body, or its counts.
    ACKNOWLEDGE: AcknowledgeKind = Output "acknowledge", Else("a listener's own answers");
    /// Names the output in logs, on the status page and in the state. With a new token it is the same output, with a new
    /// name it is another one.
    OUTPUT_NAME: Name = Output "name", Unless("`logzio` is one output and no list; its name is `logzio` then");
    /// The names of the APIs whose records go there, where `logzio` is a list.
    INPUTS: InputNames = Output "inputs", Else("all APIs");
    /// A PEM file with certificates to trust besides the system's.
    CA_FILE: FileName = Top "tls.ca_file", Else("system certificates");
    /// Where the status page and the metrics are served: `127.0.0.1:8080`, or `0.0.0.0:8080` inside of a container.
    /// Whoever reaches it can read them; it has no login.
    STATUS_LISTEN: ListenAddress = Top "status.listen", Else("no status page");
    /// The directory that the state is kept in: `last_start_dates.txt` and what belongs to it. It must outlive the process.
    STATE_DIRECTORY: FileName = Top "state.directory", Else("that of the config");
    /// How much memory pages, records and batches of all APIs may take, like `256MiB`. An API that finds none free
    /// waits. The process itself takes up to 64 MB more.
    MEMORY: Bytes = Top "limits.memory", Else("`128MiB`");
    /// The nodes of etcd that hold the state of several replicas: 1 to 9 URLs like `https://etcd-0.etcd:2379`, with nothing
    /// behind host and port.
    CLUSTER_ETCD: EtcdUrls = Top "cluster.etcd", Unless("`cluster` is absent");
    /// The name of the cluster, the same in all its replicas. One etcd may hold several clusters.
    CLUSTER_NAME: ClusterName = Top "cluster.name", Else("`default`");
    /// The name of this replica, which no other one of the cluster has.
    CLUSTER_MEMBER: ClusterName = Top "cluster.member", Else("the host's name");
    /// A PEM file with the certificates that vouch for etcd's nodes, in the place of the system's. `cluster.tls` needs
    /// `https://` in all URLs.
    CLUSTER_CA_FILE: FileName = Top "cluster.tls.ca_file", Else("system certificates");
    /// A PEM file with the certificate that this replica shows to etcd (mutual TLS).
    CLUSTER_CERT_FILE: FileName = Top "cluster.tls.cert_file", Unless("`cluster.tls.key_file` is absent");
    /// A PEM file with its private key.
    CLUSTER_KEY_FILE: FileName = Top "cluster.tls.key_file", Unless("`cluster.tls.cert_file` is absent");
    /// The user of etcd that this replica is.
    CLUSTER_USER: Name = Top "cluster.user", Unless("`cluster.password` is absent");
    /// Its password.
    CLUSTER_PASSWORD: SecretText = Top "cluster.password", Unless("`cluster.user` is absent");
    /// The APIs that are asked with Basic authentication.
    AUTH_APIS: ApiEntries = Top "auth_apis", Else("none");
    /// The APIs that are asked with a token, which a login gives first: OAuth 2.0, or one of their own.
    OAUTH_APIS: ApiEntries = Top "oauth_apis", Else("none");
    /// APIs as versions 0.2 to 2.1 of the original fetcher have them: their entries run as they are.
    APIS: ApiEntries = Top "apis", Else("none");

    TYPE: TypeName = Both "type", Required;
    /// Names the API in logs and in `last_start_dates.txt`. No two APIs share one.
    NAME: Name = Both "name", Required;
    /// `false`: the entry rests. It is read and checked, but its API isn't asked, and its state stays.
    ENABLED: Flag = Both "enabled", Else("`true`");
    /// The user of the Basic authentication.
    USER: Credential = Auth "credentials.id", Unless(KEY_OR_NONE);
    /// Its password or API key.
    PASSWORD: Credential = Auth "credentials.key", Unless(KEY_OR_NONE);
    /// The client id; sent where `token_http_request.body` is absent.
    CLIENT_ID: Credential = OAuth "credentials.id", Unless(TOKEN_SAYS_WHO);
    /// The client secret; sent where `token_http_request.body` is absent.
    CLIENT_SECRET: Credential = OAuth "credentials.key", Unless(TOKEN_SAYS_WHO);
    /// The token endpoint. Not needed where the key file of an `assertion` names it.
    TOKEN_URL: TokenUrl = OAuth "token_http_request.url", OfType;
    /// `POST`, or `GET` to carry the fields in the query.
    TOKEN_METHOD: HttpMethod = OAuth "token_http_request.method", Else("`POST`");
    /// Headers of the token request.
    TOKEN_HEADERS: TokenHeaders = OAuth "token_http_request.headers", Else("none");
    /// The form: text like `a=b&c=d`, or names and values. Surrounding whitespace is trimmed. Where the headers say
    /// `Content-Type: application/json`, names and values are sent as JSON. `{refresh_token}` is replaced.
    TOKEN_BODY: Form = OAuth "token_http_request.body", Else("made from `credentials`");
    /// The scope to ask for where the body is made from `credentials`.
    TOKEN_SCOPE: OptionalText = OAuth "token_http_request.scope", Else("none");
    /// How the client's id and secret are sent: `body`, or `basic` for the `Authorization` header.
    TOKEN_CLIENT_AUTH: ClientAuth = OAuth "token_http_request.client_auth", Else("`body`");
    /// Where the answer holds the token, a path or `header.NAME`. It goes as `Authorization: Bearer`, unless `{token}`
    /// stands elsewhere in the request.
    TOKEN_PATH: ValueLocator = OAuth "token_http_request.token", Else("`access_token`; cookies alone will do, too");
    /// Where the answer says how long the token lasts: seconds, or a date.
    TOKEN_EXPIRES_IN: OptionalPath = OAuth "token_http_request.expires_in", Else("`expires_in`");
    /// The first refresh token. It stands in the token request as `{refresh_token}`. Where an answer brings another one,
    /// that is kept in `credentials.json` and used from then on.
    TOKEN_REFRESH: Credential = OAuth "token_http_request.refresh_token", Else("none");
    /// A key file, to get the token by a signed JWT (RFC 7523): that of a Google service account, Box's config, or a private
    /// key as PEM for a client of its own (`private_key_jwt`).
    ASSERTION_FILE: FileName = OAuth "token_http_request.assertion.file", Else("none");
    /// For whom it speaks: a user of the domain, for a service account.
    ASSERTION_SUBJECT: OptionalText = OAuth "token_http_request.assertion.subject", Else("by the kind of file");
    /// For whom it is meant.
    ASSERTION_AUDIENCE: OptionalText = OAuth "token_http_request.assertion.audience",
        Else("what the file says, or `token_http_request.url`");
    /// The name of the key, where the file is a private key.
    ASSERTION_KEY_ID: OptionalText = OAuth "token_http_request.assertion.key_id", Else("none");
    /// A PEM file with the certificate that the client shows (mutual TLS), to the API and to the token endpoint.
    CERT_FILE: FileName = Both "tls.cert_file", Else("none");
    /// A PEM file with its private key.
    KEY_FILE: FileName = Both "tls.key_file", Else("`tls.cert_file` holds it, too");
    /// A PEM file with certificates that this entry trusts besides the others.
    ENTRY_CA_FILE: FileName = Both "tls.ca_file", Else("none");
    /// The URL that lists the events. `data_http_request` is another name for `http_request`.
    URL: Url = Both "http_request.url", OfType;
    /// `GET` or `POST`.
    METHOD: HttpMethod = Both "http_request.method", Else("`GET`");
    /// Headers of every request. An `Authorization` here wins over `credentials`.
    HEADERS: HeaderTemplates = Both "http_request.headers", Else("none");
    /// The body of POST requests: names and values are sent as JSON, text as it is, text like `a=b&c=d` as a form.
    BODY: Body = Both "http_request.body", Else("none");
    /// The URL of the second page and those after it; with a `{cursor}` of the first one, too. `{res.PATH}` is a value of the
    /// page before, and may be all of the URL: a link that the answer gives. A relative one refers to `http_request.url`.
    NEXT_REQUEST_URL: NextUrl = Both "next_request.url", Else("as `http_request`");
    /// Filters in the place of those of the first page.
    NEXT_REQUEST_FILTERS: Filters = Both "next_request.filters", Else("as `filters`");
    /// Headers in the place of those of the first page.
    NEXT_REQUEST_HEADERS: HeaderTemplates = Both "next_request.headers", Else("as `http_request`");
    /// A body in the place of that of the first page.
    NEXT_REQUEST_BODY: Body = Both "next_request.body", Else("as `http_request`");
    /// Text that is put behind the first page's URL, its filters included: fields of a query, or what begins with `/` behind its
    /// path. It can't stand beside `next_request.url`.
    NEXT_REQUEST_APPEND: Append = Both "next_request.append", Else("nothing");
    /// Where an answer says that it is the last one, the first among them: a path. `stop` is asked of each answer before the next
    /// one is asked for.
    STOP_FIELD: Path = Both "next_request.stop.field", Unless("`next_request.stop` is absent");
    /// What stands there then: `empty` (missing, null, 0, false, or an empty text, list or object), `equals`, or `contains`
    /// (a part of a text, an element of a list, or a key of an object).
    STOP_CONDITION: StopConditionName = Both "next_request.stop.condition", Else("empty, or with a `value` equals");
    /// The text, number or boolean that it is compared with. `3` equals `3.0`, and `true` equals 1; a text equals only a text.
    STOP_VALUE: StopValue = Both "next_request.stop.value", Unless("`condition` is `empty` or absent");
    /// How many pages behind the first one are read; 0: none. With `stop` it is what one iteration reads: the next one goes on
    /// from there, and the checkpoint moves at the end of the pages. Without `stop` it is their end.
    PAGES_MAX: PagesMax = Both "next_request.max_pages", Else("no limit but 100,000 in one iteration");
    /// The URL of the first page from the second iteration on. `{res.PATH}` is a value of the iteration before, kept with the
    /// checkpoint.
    NEXT_ITERATION_URL: NextUrl = Both "next_iteration.url", Else("as `http_request`");
    /// Filters in the place of those of the first iteration.
    NEXT_ITERATION_FILTERS: Filters = Both "next_iteration.filters", Else("as `filters`");
    /// A body in the place of that of the first iteration.
    NEXT_ITERATION_BODY: Body = Both "next_iteration.body", Else("as `http_request`");
    /// Which answer gives the values: `first`, or `last`, the last one that has them.
    NEXT_ITERATION_ANSWER: AnswerChoice = Both "next_iteration.answer",
        Else("`first`; `last` for what `next_request` holds, too");
    /// Where all values are fields of records, like `{res.data[0].time}`: `newest` takes them from the record with the newest
    /// date or the largest number, `position` from the one that the path names.
    NEXT_ITERATION_TAKE: TakeChoice = Both "next_iteration.take", Else("`newest`");
    /// How long the API may be silent, the first byte included: seconds, or text like `90s`, `5m`; an hour at most.
    TIMEOUT: Timeout = Both "http_request.timeout", Else("60s");
    /// Signs each request with an HMAC: `sha1`, `sha256` or `sha512`. The signature stands in the request as
    /// `{signature}`, in a header, in `credentials`, or as the whole value of a filter or field.
    SIGN_HMAC: Hash = Both "sign.hmac", Else("none");
    /// Signs each request with a hash; the key then stands in the text, as `{key}`.
    SIGN_HASH: Hash = Both "sign.hash", Else("none");
    /// The key of the signature.
    SIGN_KEY: Credential = Both "sign.key", Unless("`sign` is absent");
    /// Makes the key of the HMAC first: an HMAC of this text with `sign.key`, written as `sign.encoding` says.
    SIGN_KEY_TEXT: SignedText = Both "sign.key_text", Else("`sign.key` itself");
    /// What is signed, with `{method}`, `{host}`, `{path}`, `{query}`, `{body}`, `{body:sha256}`, `{key}` of exactly what
    /// is sent, `{nonce}` (64 random characters, also in headers) and `{now}`.
    SIGN_TEXT: SignedText = Both "sign.text", Unless("`sign` is absent");
    /// How the signature is written: `hex` or `base64`.
    SIGN_ENCODING: Encoding = Both "sign.encoding", Else("`hex`");
    /// Other origins that a next link or a redirect may lead to: `host`, `*.host`, `host:8443`, `http://host:8080`, or
    /// `{host: …, credentials: true}` for one that gets headers, body and credentials, too. Loopback, link-local and
    /// private addresses must be spelled out.
    HOSTS: Hosts = Both "hosts", Else("none");
    /// The query parameter that takes the start date. Not needed where `{start_date}` or `{cursor}` stands in the request,
    /// with `next_iteration`, or with `checkpoint: snapshot`.
    START_DATE_NAME: StartName = Both "start_date_name", OfType;
    /// Where a page holds its records; `$` where the answer itself is the list. With a `?` at the end of the path, a page
    /// may come without the list. Not needed where `response.format` is given: it is `$` then.
    DATA: DataPath = Both "json_paths.data", OfType;
    /// Where a record holds its date. Not needed with a cursor, with `next_iteration`, or with `checkpoint: window`,
    /// `server` or `snapshot`.
    DATA_DATE: Path = Both "json_paths.data_date", OfType;
    /// Where a page holds the URL of the next one. A path, or `header.Link` for that header's `rel="next"`, `header.NAME`
    /// for another one, or text with `{paths}` in it, to put it together.
    NEXT_URL: NextLink = Both "json_paths.next_url", Else("only the first page is read, unless something else leads on");
    /// Where a page holds the token of the next one, a path or `header.NAME`. It stands in the request as `{next_token}`.
    /// `data[-1].id` takes it from the last record.
    NEXT_TOKEN: ValueLocator = Both "json_paths.next_token", Else("none");
    /// Where a page holds what the next iteration goes on with, a path or `header.NAME`. It stands in the request as
    /// `{cursor}`, and is kept with the checkpoint.
    CURSOR: ValueLocator = Both "json_paths.cursor", Else("none");
    /// Where a page says whether more follows; `'!path'` where it says the opposite. Where it says no, it is the last.
    HAS_MORE: FlagPath = Both "json_paths.has_more", Else("the link or token says it");
    /// Where a record holds its id, which tells it from other records. A list of paths: all of them together. A record that
    /// lacks one of them is known by all that it holds.
    ID: IdPathsKind = Both "json_paths.id", Else("the whole record");
    /// Where an answer of status 200 holds an error: any value counts but null, false and empty ones. `null`: never look
    /// for one.
    ERROR: ErrorPath = Both "json_paths.error", Else("`error`, `errors`, `success: false`, `status: error`");
    /// What the body is: `json`, `ndjson` (one JSON value per line) or `csv`. gzip and zip files are opened.
    FORMAT: FormatName = Both "response.format", Else("its content type or its first bytes tell");
    /// `any`: whatever stands at `json_paths.data` is a record or a list of them. A text that holds a JSON object is that object,
    /// also on the way of the path; 0 and false are no records. An answer that is no JSON is a record where the whole answer
    /// is, and an empty one holds none. `strict`: texts are texts.
    RECORDS: RecordsName = Both "response.records", Else("`strict`");
    /// Where an answer holds the names of the columns, where its records are rows: arrays of values. Texts, or objects with a
    /// `name`.
    COLUMNS: Path = Both "response.columns", Else("a row is shipped as it is");
    /// Statuses that mean "nothing here", like `404`, unless a web page comes with them.
    EMPTY_STATUSES: Statuses = Both "response.empty_statuses", Else("204");
    /// Statuses that mean "not ready yet", like `202`: the same is asked again, after 1 to 30 seconds, for 10 minutes at
    /// most.
    RETRY_STATUSES: Statuses = Both "response.retry_statuses", Else("none");
    /// A header of such an answer that goes along when the same is asked again, like `Response-Id`.
    RETRY_HEADER: HeaderNameKind = Both "response.retry_header", Else("none");
    /// The pause between two iterations: minutes, or text like `30s`, `5m`, `1h`.
    TIME_INTERVAL: Interval = Both "settings.time_interval", Required;
    /// How many days back the first iteration begins.
    DAYS_BACK_FETCH: Days = Both "settings.days_back_fetch", Else("14");
    /// How far before the checkpoint each iteration looks for late events: minutes, text like `30s`, or `auto`: the
    /// arrival delay of 99 % of the records, at least 1 minute, at most 6 hours. Duplicates are not shipped again.
    OVERLAP: OverlapKind = Both "settings.overlap",
        Else("`auto` where records have an `id`, else one unit of the start date");
    /// The time zone of record dates that name none: a name like `Europe/Berlin`, or an offset like `+02:00`. Where a
    /// local time comes twice, as at the end of summer time, the later one counts.
    TIMEZONE: TimeZone = Both "settings.timezone", Else("`UTC`");
    /// The longest span that one request may ask for, like `24h`: a longer window is asked slice by slice. The request
    /// must say its end, as `{end_date}`.
    MAX_WINDOW: Span = Both "settings.max_window", Else("no limit");
    /// How long before now a window ends, for APIs that list events late or refuse an end that is too new.
    END_DELAY: Span = Both "settings.end_delay", Else("0; with `checkpoint: window` 1 minute");
    /// What the checkpoint is. `newest`: the newest date delivered. `window`: the end of the window, for an API that filters
    /// by a clock of its own, such as arrival; nothing is left out by its date. `server`: the API keeps the position itself, like a queue that
    /// forgets what it gave; each answer is saved before it is shipped. `snapshot`: the request never changes, and each
    /// iteration reads all that the API lists.
    CHECKPOINT: CheckpointChoice = Both "settings.checkpoint", Else("`newest`");
    /// With `checkpoint: snapshot`: `ship` ships each answer whole, `skip` leaves out what was shipped before.
    REPEAT: RepeatChoice = Both "settings.repeat", Else("`ship`");
    /// How far back the API lets a start lie, like `7d`: no earlier one is sent. What is older is a gap, and `state` lists it.
    MAX_AGE: Span = Both "settings.max_age", Else("no limit");
    /// How many records a full page has, where pages are counted by `{page}` or `{offset}`: a shorter one is the last.
    PAGE_SIZE: PageSize = Both "settings.page_size", Else("three pages without a new record are the end");
    /// How many entries `steps` ask about at a time.
    PARALLEL: Parallel = Both "settings.parallel", Else("4");
    /// How often the host may be asked with this login, by all entries together: requests per `s`, `min`, `h` or `day`,
    /// like `30/min`.
    RATE_LIMIT: RateLimit = Both "settings.rate_limit", Else("as fast as the API answers and its limits allow");
    /// Query parameters: names and values, encoded or not. The one called `start_date_name` says where the first
    /// iteration begins. `{start_date}` in a value is replaced.
    FILTERS: Filters = Both "filters", Else("none");
    /// A request for each entry of the answer before it: a list of steps. The answers of the last one hold the records.
    STEPS: StepEntries = Both "steps", Else("the answers to `http_request` hold the records");
    /// Fields added to every record; they win over the record's own. A record's own `type` is then kept as
    /// `original_type`. `type: null` adds no type and leaves the record's own alone.
    CUSTOM_FIELDS: CustomFieldsKind = Both "custom_fields", Else("`type: api_fetcher`");

    /// The URL, with `{item.PATH}` for a value of the entry, or `{item.PATH:raw}` where that is a URL. Another origin must
    /// be named in `hosts`.
    STEP_URL: StepUrl = Step "http_request.url", Required;
    /// `GET` or `POST`.
    STEP_METHOD: HttpMethod = Step "http_request.method", Else("`GET`");
    /// Headers besides those of the API's entry, or in their place.
    STEP_HEADERS: HeaderTemplates = Step "http_request.headers", Else("those of the API's entry");
    /// The body of a POST request.
    STEP_BODY: Body = Step "http_request.body", Else("none");
    /// How long the API may be silent.
    STEP_TIMEOUT: Timeout = Step "http_request.timeout", Else("as in the API's entry");
    /// Query parameters: names and values, encoded or not.
    STEP_FILTERS: Filters = Step "filters", Else("none");
    /// Where an answer holds its records, or in the steps before the last one, what the next step asks about.
    STEP_DATA: DataPath = Step "json_paths.data", Else("the whole answer, `$`");
    /// Where a record holds its date. Needed in the last step where the first list has no dates.
    STEP_DATE: Path = Step "json_paths.data_date", Else("records need no date");
    /// Where a record holds its id.
    STEP_ID: OptionalPath = Step "json_paths.id", Else("the whole record");
    /// Where an answer holds the URL of the next page.
    STEP_NEXT_URL: NextLink = Step "json_paths.next_url", Else("an answer is one page, unless something else leads on");
    /// Where an answer holds the token of the next page.
    STEP_NEXT_TOKEN: ValueLocator = Step "json_paths.next_token", Else("none");
    /// Where an answer says whether more follows.
    STEP_HAS_MORE: FlagPath = Step "json_paths.has_more", Else("the link or token says it");
    /// Where an answer of status 200 holds an error.
    STEP_ERROR: ErrorPath = Step "json_paths.error", Else("as in the API's entry");
    /// What the body is.
    STEP_FORMAT: FormatName = Step "response.format", Else("its content type or its first bytes tell");
    /// Where an answer holds the names of the columns of its rows.
    STEP_COLUMNS: Path = Step "response.columns", Else("a row is shipped as it is");
    /// Statuses that mean "nothing here".
    STEP_EMPTY_STATUSES: Statuses = Step "response.empty_statuses", Else("204");
    /// Statuses that mean "not ready yet": the same is asked again.
    STEP_RETRY_STATUSES: Statuses = Step "response.retry_statuses", Else("none");
    /// A header of such an answer that goes along then.
    STEP_RETRY_HEADER: HeaderNameKind = Step "response.retry_header", Else("none");
    /// The URL of an answer's second page and those after it.
    STEP_NEXT_REQUEST_URL: StepUrl = Step "next_request.url", Else("as `http_request`");
    /// Filters in the place of those of an answer's first page.
    STEP_NEXT_REQUEST_FILTERS: Filters = Step "next_request.filters", Else("as `filters`");
    /// Headers in the place of those of an answer's first page.
    STEP_NEXT_REQUEST_HEADERS: HeaderTemplates = Step "next_request.headers", Else("as `http_request`");
    /// A body in the place of that of an answer's first page.
    STEP_NEXT_REQUEST_BODY: Body = Step "next_request.body", Else("as `http_request`");
    /// A job is asked again until its answer has these values: paths and values, or lists of them.
    UNTIL: Conditions = Step "until", Else("the first answer counts");
    /// The job has failed where its answer has one of these values.
    FAILS: Conditions = Step "fails", Else("only `within` ends the wait");
    /// How long a job may take: minutes, or text like `30m`; an hour at most.
    WITHIN: Within = Step "within", Else("`1h`");
}
