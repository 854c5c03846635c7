//! Polls REST APIs and ships every record to a Logz.io account, once.
//!
//! # How a record gets to Logz.io
//!
//! ```text
//! config.yaml ─▶ Plan ─▶ ┌───────────────── one iteration ─────────────────┐
//!   (config)     (plan)  │ window ─▶ request ─▶ page ─▶ records              │
//!                        │ (start date frozen)    │  ▲                       │
//!                        │                        │  └─ next page, fetched   │
//!                        │                        ▼     while this one ships │
//!                        │                 new to us? ─▶ batch ─▶ listener   │
//!                        │                     ▲                      │      │
//!                        │                     └─ store ◀─ acknowledged      │
//!                        └──────────────────────────────────────────┬───────┘
//!                            checkpoint ◀── everything acknowledged ─┘
//! ```
//!
//! One way, page by page; a whole iteration is never in memory. One task per API, and iterations of one API never
//! overlap.
//!
//! Where an API has several outputs, each of them (a *lane*) has all of this for itself: state, window, pipeline, batches,
//! checkpoint. What they share is the fetch: a request that one lane made isn't made again by another one
//! (`fetch::SharedAnswers`). So there is one engine, each output is exact by the same reasons as a single one, and one that is
//! down or behind costs the others nothing but its own requests. The price is that a page is read once per output.
//!
//! While a page is split, the next one is fetched and the batches before it are compressed and sent: one page ahead, no
//! more. Pages that are smaller than a batch are read while up to two batches are on their way; to wait for each batch would
//! leave a core idle while the other compresses. What all of them may have in memory is one budget of bytes ([`memory`]):
//! who finds no room ships what it has, and waits.
//!
//! # The modules
//!
//! | module | what happens there |
//! |---|---|
//! | [`cli`], [`commands`] | the command line; each command wires the parts and ends in an exit code |
//! | [`config`] | YAML to [`plan::Config`], or every error with path, line and hint, from one table of keys; named types (`catalog/*.yaml`) end here; the schema for editors |
//! | [`plan`] | the types that everything behind `config` works on |
//! | [`daemon`] | one task per API, iteration after iteration; logs each outcome once; obeys a new config |
//! | [`reload`] | notices that the config in the file has changed, and reads it |
//! | [`iteration`] | one iteration: the shell around the deciding parts, what it leaves behind (`outcome`, pure), and what it watches |
//! | [`window`] | where an iteration begins, what its pages say and where they end, which records are new, where the checkpoint goes, the place where an iteration was cut, arrival delay, gaps; pure |
//! | [`http`], [`proxy`] | the HTTP clients with their TLS and limits, and what keeps them from inner hosts; the proxies of the environment |
//! | [`transport`] | the one place where a request to an API leaves: over the network, also onto a tape, or answered by one; the clock that goes with it |
//! | [`template`] | requests as text with variables: compiled once, filled in for each request, encoded once; pure |
//! | [`hosts`] | which other origins an entry may ask; pure |
//! | [`fetch`] | requests, redirects, and in `auth` how they prove who asks, a kind a file; credentials stay within their origin |
//! | [`assertion`] | signed JWTs that get a token, out of key files; pure |
//! | [`decode`] | from the bytes of a body to JSON text: NDJSON, CSV, gzip and zip files; pure |
//! | [`paging`] | how a page leads to the next: links, tokens, counting, cursors; pure |
//! | [`memory`] | the budget of bytes for pages, records and batches; whether the listener takes anything |
//! | [`record`] | a page read in one pass: JSON paths, event dates, fingerprints, the lines that are shipped; pure |
//! | [`ship`] | batches, their compression, the listener, and `undelivered.ndjson` |
//! | [`pace`] | how fast one host is asked with one login, by all its entries; pure |
//! | [`retry`] | what follows a failure, and how long to wait; pure but for the wait itself |
//! | [`cluster`] | several fetchers with one state: who runs which API, the transactions by which no former owner writes, the engine that holds it all |
//! | [`state`] | `last_start_dates.txt`, `credentials.json`, the store of what was delivered and the claim of an API on it, the lock on the directory, and the socket through which `state` asks |
//! | [`process`] | from the first signal to the last moment; root given up for the directory's owner; the log; which build this is |
//! | [`text`] | what must not be printed, and the redactor for what others print; how numbers and dates look |
//! | [`status`], [`counters`] | what is known of each API now: the page, the metrics, the report on health, and the question for it from outside |
//! | [`probe`] | asking an API once: a report on its answer, or a config made out of it; nothing is shipped or saved |
//! | [`cassette`] | iterations in a file: what is kept of them, and how they happen again |
//! | [`top`] | the status table in a terminal, out of `/status.json`; pure |
//! | `server`, `runtime` | the small HTTP server behind the status page and the mocks of `demo`; long work beside the runtime's threads |
//! | [`demo`] | mock APIs and a mock listener for the `demo` command, and the fetcher between them as a child process |
//!
//! # The words
//!
//! One word per idea, the same in code, config, logs, page, metrics and docs.
//!
//! | word | means |
//! |---|---|
//! | iteration | one run of an API, from its first page to its last |
//! | window | what an iteration fetches: from its start date on |
//! | chain | the pages of an iteration, one leading to the next |
//! | checkpoint | the newest event date delivered, from which the next window begins |
//! | progress | the place behind the last delivered page, saved, so that an iteration that was cut goes on there |
//! | overlap | how far before the checkpoint a window begins, for events that surface late |
//! | lookback | a window that begins as far back as memory reaches, now and then, to see what is later than the overlap |
//! | arrival delay | how far a record lies behind the newest one delivered before it came |
//! | coverage | the time spans that were fetched whole, and the gaps between them; `complete until` is its end |
//! | retention limit | how far back the API answers |
//! | initial window | the window of an API that has no checkpoint yet |
//! | cutoff | the date below which records are left out |
//! | record key | what tells records apart: event date, and `json_paths.id` or else a hash |
//! | ledger | the record keys delivered of one API |
//! | duplicate | a record left out because it had been delivered |
//! | undelivered | a record that can't be delivered; it is in `undelivered.ndjson`, the dead letter file |
//! | anomaly | what isn't right but works: a warning on log, page and `state` |
//! | output | a listener that records go to; an API may have several |
//! | lane | an API and one of its outputs: what has a state, a window and a checkpoint of its own |
//! | permit | a part of the memory budget, in bytes |
//! | member | a fetcher that shares its APIs with others, in a cluster |
//! | slot | APIs that are owned together by one member, by the hash of their names |
//! | token | the revision at which a slot was taken; every write compares it |
//! | head | which write of a lane was the last, in a cluster; every write compares and moves it |
//! | turn | the leave of one member to log in with a refresh token that several share |
//! | share | how much of a host's rate one member may use, by the part of its APIs that it owns |
//! | recall | an API called back from its waits, as its entry or state was changed |
//!
//! # What always holds
//!
//! - What the listener acknowledged is on the disk before the next batch of the API goes, as long as there is a disk to
//!   write to: a crash doubles one batch at most.
//! - Delivered is only what a listener acknowledged: a success without a body, or with a listener's counts. Where somebody
//!   else answers, nothing is delivered; where nothing is acknowledged, nothing is set aside.
//! - A listener that failed to take a batch (wrong token, down for too long) gets no other one of that iteration.
//! - A checkpoint moves only when the listener has acknowledged every record of the iteration, never backwards, and never
//!   past the iteration's first request, by the earlier of our clock and the API's.
//! - An answer is believed only where nothing contradicts it: an error inside a 200, a list that is missing, a link that
//!   nothing follows are told of, and no such API is called complete.
//! - The place behind each delivered page is saved with what was delivered. It is gone on from only where the last page
//!   proves it, by holding a record that it held before; else the window begins again, and what was delivered is known.
//! - A batch that the listener took, even in part, is never sent again. What can't be delivered is kept in a file.
//! - In a cluster, nothing is sent without a lease that can't have ended, and no write of a former owner gets through.
//! - A record's bytes are shipped as the API sent them.
//! - Every loop, wait, queue and body has a bound with a name.
//! - Neither a stderr that nobody reads nor a disk that hangs keeps anybody from stopping, and what is stuck is unhealthy.
//! - Secrets have a type that can't be printed; what `${…}` filled in is one wherever it stands; foreign text, and URLs, are
//!   redacted before they are shown.
//!
//! # Where it will grow
//!
//! Each of these is one place with a closed set of kinds: how a window becomes a request ([`template::RequestTemplate`]), how a page
//! leads to the next ([`record::Paths`] and [`paging::Pagination`]), what a body may be ([`decode::Format`]), where credentials come from ([`plan::Auth`]), where
//! state is kept ([`state::Store`]), what holds the state of several fetchers ([`cluster::Engine`]), where batches go ([`ship::Listener`]).

pub mod assertion;
pub mod cassette;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod counters;
pub mod daemon;
pub mod decode;
pub mod demo;
pub mod fetch;
pub mod hosts;
pub mod http;
pub mod iteration;
pub mod memory;
pub mod pace;
pub mod paging;
pub mod plan;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod record;
pub mod reload;
pub mod retry;
mod runtime;
mod server;
pub mod ship;
pub mod state;
pub mod status;
pub mod template;
pub mod text;
pub mod top;
pub mod transport;
pub mod window;
