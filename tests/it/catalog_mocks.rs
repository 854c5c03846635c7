//! Types of the catalog against mocks that refuse what the services refuse: all pages, then news and a late record, each
//! shipped once.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use ring::hmac;
use serde_json::{Value, json};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, decoded};

/// The number of an event, and its date.
type Event = (u64, DateTime<Utc>);

/// Events in the order in which they arrived.
#[derive(Clone)]
struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    /// So many of the last hour, the newest one some minutes old.
    fn new(count: u64) -> Self {
        let step = TimeDelta::minutes(55) / i32::try_from(count).unwrap();
        let begun = Utc::now() - TimeDelta::hours(1);
        let date = |n: u64| begun + step * i32::try_from(n).unwrap();
        Self(Arc::new(Mutex::new((0..count).map(|n| (n, date(n))).collect())))
    }

    fn len(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }

    fn add(&self, date: DateTime<Utc>) {
        let n = self.len();
        self.0.lock().unwrap().push((n, date));
    }

    fn newest(&self) -> DateTime<Utc> {
        self.0.lock().unwrap().iter().map(|(_, date)| *date).max().unwrap()
    }

    /// Those from a date on, oldest first.
    fn from(&self, start: DateTime<Utc>) -> Vec<Event> {
        let mut found: Vec<_> = self.0.lock().unwrap().iter().filter(|(_, date)| *date >= start).copied().collect();
        found.sort_by_key(|(_, date)| *date);
        found
    }

    fn newest_first(&self, start: DateTime<Utc>) -> Vec<Event> {
        self.from(start).into_iter().rev().collect()
    }
}

/// The part of a list from a place on, and where the next part begins, if there is one.
fn part<T: Clone>(all: &[T], at: usize, size: usize) -> (Vec<T>, Option<usize>) {
    let end = all.len().min(at + size);
    (all.get(at..end).unwrap_or_default().to_vec(), (end < all.len()).then_some(end))
}

fn rfc3339(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What a request says, and what it is refused for.
struct Checked<'a> {
    asked: &'a Asked,
    fields: Vec<(String, String)>,
}

type Refused = String;

impl<'a> Checked<'a> {
    /// Of a request for a path, with no other fields in its query.
    fn of(asked: &'a Asked, method: &str, path: &str, known: &[&str]) -> Result<Self, Refused> {
        if asked.path != path || asked.method != method {
            return Err(format!("no {} {}", asked.method, asked.path));
        }
        let pairs = asked.query.split('&').filter(|field| !field.is_empty());
        let pairs = pairs.map(|field| field.split_once('=').unwrap_or((field, "")));
        let fields: Vec<_> = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
        match fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("unknown parameter {name}")),
            None => Ok(Self { asked, fields }),
        }
    }

    fn header(&self, name: &str, value: &str) -> Result<(), Refused> {
        let found = self.asked.header(name);
        if found == Some(value) { Ok(()) } else { Err(format!("{name}: {found:?}")) }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn must_be(&self, name: &str, value: &str) -> Result<(), Refused> {
        let found = self.field(name);
        if found == Some(value) { Ok(()) } else { Err(format!("{name}={found:?}")) }
    }

    fn date(&self, name: &str) -> Result<DateTime<Utc>, Refused> {
        let text = self.field(name).ok_or(format!("{name} is missing"))?;
        text.parse().map_err(|_| format!("{name}={text} is not RFC 3339"))
    }

    fn unix(&self, name: &str) -> Result<DateTime<Utc>, Refused> {
        let text = self.field(name).ok_or(format!("{name} is missing"))?;
        let date = text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        date.ok_or(format!("{name}={text} is not UNIX time"))
    }

    fn unix_ms(&self, name: &str) -> Result<DateTime<Utc>, Refused> {
        let text = self.field(name).ok_or(format!("{name} is missing"))?;
        let date = text.parse().ok().and_then(DateTime::from_timestamp_millis);
        date.ok_or(format!("{name}={text} is not UNIX time in milliseconds"))
    }

    fn day(&self, name: &str) -> Result<NaiveDate, Refused> {
        let text = self.field(name).ok_or(format!("{name} is missing"))?;
        NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| format!("{name}={text} is not a day"))
    }

    fn number(&self, name: &str) -> Result<usize, Refused> {
        let text = self.field(name).unwrap_or("0");
        text.parse().map_err(|_| format!("{name}={text} is not a number"))
    }

    fn json(&self) -> Result<Value, Refused> {
        let is_json = self.asked.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        let body = serde_json::from_slice(&self.asked.body).map_err(|cause| cause.to_string())?;
        if is_json { Ok(body) } else { Err("the content type is not JSON".to_owned()) }
    }
}

/// Lets a type collect all events of a mock in two iterations, between which two come, one of them late. `MOCK` in the
/// parameters stands for the mock's address.
fn collect(
    events: &Events,
    kind: &str,
    list: &str,
    parameters: &str,
    answer: impl Fn(&Asked, &Events, &str) -> Result<Reply, Refused> + Send + Sync + 'static,
) -> Vec<Asked> {
    let (own, address) = (events.clone(), Arc::new(Mutex::new(String::new())));
    let known = Arc::clone(&address);
    let api = MockServer::start(move |asked, _| {
        let url = known.lock().unwrap().clone();
        answer(asked, &own, &url).unwrap_or_else(|why| Reply::status(400, &json!({ "reason": why }).to_string()))
    });
    address.lock().unwrap().push_str(api.url());
    let listener = MockListener::start();
    let config = format!(
        "logzio: {{url: '{}', token: shipping-token-1}}\n{list}:\n- type: {kind}\n  name: it\n  base_url: {}/\n  \
         settings: {{time_interval: 1s}}\n{}",
        listener.url(),
        api.url(),
        parameters.replace("MOCK", api.url())
    );
    let shipped = || {
        let mut numbers: Vec<u64> = listener
            .lines()
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    let first = Fetcher::new(&config).once().assert_code(0);
    assert_eq!(shipped(), (0..events.len()).collect::<Vec<_>>(), "{kind}: the first iteration");
    events.add(events.newest() - TimeDelta::seconds(30));
    // Old enough for the services that don't list the newest minutes.
    events.add(Utc::now() - TimeDelta::seconds(150));
    Fetcher::again(first).once().assert_code(0);
    assert_eq!(shipped(), (0..events.len()).collect::<Vec<_>>(), "{kind}: the second iteration");
    api.asked()
}

#[test]
fn okta_is_read_by_its_link_header() {
    let secret = "  api_token: the-api-token\n";
    collect(&Events::new(7), "okta", "auth_apis", secret, |asked, events, url| {
        let known = ["since", "until", "limit", "sortOrder", "after"];
        let checked = Checked::of(asked, "GET", "/api/v1/logs", &known)?;
        checked.header("authorization", "SSWS the-api-token")?;
        checked.must_be("limit", "1000")?;
        checked.must_be("sortOrder", "ASCENDING")?;
        let (since, until) = (checked.date("since")?, checked.date("until")?);
        let all: Vec<_> = events.from(since).into_iter().filter(|(_, date)| *date <= until).collect();
        let (found, next) = part(&all, checked.number("after")?, 3);
        let records =
            found.iter().map(|(n, date)| json!({"uuid": format!("u{n}"), "n": n, "published": rfc3339(*date)}));
        let own = asked.query.split("&after=").next().unwrap_or_default();
        let reply = Reply::json(&json!(records.collect::<Vec<_>>()).to_string());
        let reply = reply.with("link", &format!("<{url}/api/v1/logs?{own}>; rel=\"self\""));
        Ok(match next {
            Some(at) => reply.with("link", &format!("<{url}/api/v1/logs?{own}&after={at}>; rel=\"next\"")),
            None => reply,
        })
    });
}

#[test]
fn stripe_is_read_by_the_last_record_of_each_page() {
    collect(&Events::new(7), "stripe", "auth_apis", "  api_key: the-api-key\n", |asked, events, _| {
        let checked = Checked::of(asked, "GET", "/v1/events", &["created[gte]", "limit", "starting_after"])?;
        checked.header("authorization", "Bearer the-api-key")?;
        checked.must_be("limit", "100")?;
        let all = events.newest_first(checked.unix("created[gte]")?);
        let at = match checked.field("starting_after") {
            None => 0,
            Some(id) => all.iter().position(|(n, _)| format!("evt_{n}") == id).ok_or(format!("no event {id}"))? + 1,
        };
        let (found, next) = part(&all, at, 3);
        let records =
            found.iter().map(|(n, date)| json!({"id": format!("evt_{n}"), "n": n, "created": date.timestamp()}));
        let answer = json!({"object": "list", "data": records.collect::<Vec<_>>(), "has_more": next.is_some()});
        Ok(Reply::json(&answer.to_string()))
    });
}

#[test]
fn slack_is_read_by_its_token_until_that_is_empty() {
    collect(&Events::new(7), "slack_audit", "auth_apis", "  api_token: the-token\n", |asked, events, _| {
        let checked = Checked::of(asked, "GET", "/audit/v1/logs", &["oldest", "limit", "cursor"])?;
        checked.header("authorization", "Bearer the-token")?;
        let all = events.newest_first(checked.unix("oldest")?);
        let (found, next) = part(&all, checked.number("cursor")?, 3);
        let records =
            found.iter().map(|(n, date)| json!({"id": format!("e{n}"), "n": n, "date_create": date.timestamp()}));
        let next = next.map(|at| at.to_string()).unwrap_or_default();
        let answer = json!({"entries": records.collect::<Vec<_>>(), "response_metadata": {"next_cursor": next}});
        Ok(Reply::json(&answer.to_string()))
    });
}

#[test]
fn jira_is_read_by_offsets_also_where_pages_are_smaller_than_asked_for() {
    let login = "  credentials: {id: me@acme.example, key: the-api-token}\n";
    collect(&Events::new(7), "jira", "auth_apis", login, |asked, events, _| {
        let checked = Checked::of(asked, "GET", "/rest/api/3/auditing/record", &["from", "to", "offset", "limit"])?;
        checked.header("authorization", "Basic bWVAYWNtZS5leGFtcGxlOnRoZS1hcGktdG9rZW4=")?;
        checked.date("to")?;
        let all = events.newest_first(checked.date("from")?);
        let offset = checked.number("offset")?;
        let (found, _) = part(&all, offset, 3);
        let records = found.iter().map(|(n, date)| json!({"id": n, "n": n, "created": rfc3339(*date)}));
        let records: Vec<Value> = records.collect();
        Ok(Reply::json(&json!({"offset": offset, "limit": 3, "total": all.len(), "records": records}).to_string()))
    });
}

#[test]
fn cloudflare_is_read_by_page_numbers_and_a_short_page_is_the_last() {
    let own = "  account_id: a1\n  api_token: the-token\n";
    let asked = collect(&Events::new(250), "cloudflare_audit", "auth_apis", own, |asked, events, _| {
        let path = "/client/v4/accounts/a1/audit_logs";
        let checked = Checked::of(asked, "GET", path, &["since", "direction", "page", "per_page"])?;
        checked.header("authorization", "Bearer the-token")?;
        checked.must_be("direction", "asc")?;
        checked.must_be("per_page", "100")?;
        let page = checked.number("page")?;
        let (found, _) = part(&events.from(checked.date("since")?), page.checked_sub(1).ok_or("page 0")? * 100, 100);
        let records = found.iter().map(|(n, date)| json!({"id": format!("c{n}"), "n": n, "when": rfc3339(*date)}));
        let answer = json!({"success": true, "errors": [], "result": records.collect::<Vec<_>>()});
        Ok(Reply::json(&answer.to_string()))
    });
    let pages: Vec<&str> = asked.iter().filter_map(|asked| asked.raw_field("page")).collect();
    assert_eq!(pages, ["1", "2", "3", "1"]);
}

#[test]
fn auth0_logs_in_for_its_audience_and_is_read_from_an_id_that_begins_with_a_date() {
    let login = "  credentials: {id: the-client, key: the-client-secret}\n";
    collect(&Events::new(7), "auth0", "oauth_apis", login, |asked, events, url| {
        if asked.path == "/oauth/token" {
            let checked = Checked::of(asked, "POST", "/oauth/token", &[])?;
            let expected = json!({"grant_type": "client_credentials", "client_id": "the-client",
                "client_secret": "the-client-secret", "audience": format!("{url}/api/v2/")});
            let body = checked.json()?;
            let token = json!({"access_token": "the-access-token", "token_type": "Bearer", "expires_in": 86400});
            return if body == expected { Ok(Reply::json(&token.to_string())) } else { Err(format!("{body}")) };
        }
        let checked = Checked::of(asked, "GET", "/api/v2/logs", &["from", "take"])?;
        checked.header("authorization", "Bearer the-access-token")?;
        checked.must_be("take", "100")?;
        // An id is 900, the date, and digits that make 56 in all.
        let id = |n: u64, date: DateTime<Utc>| format!("900{}{:0>39}", date.format("%Y%m%d%H%M%S"), n + 1);
        let from = checked.field("from").filter(|from| from.len() == 56).ok_or("from is no id")?;
        let all = events.from(DateTime::UNIX_EPOCH);
        let all: Vec<_> = all.into_iter().filter(|(n, date)| id(*n, *date).as_str() > from).collect();
        let (found, _) = part(&all, 0, 3);
        let last = found.last().map_or(from.to_owned(), |(n, date)| id(*n, *date));
        let records = found.iter().map(|(n, date)| json!({"log_id": id(*n, *date), "n": n, "date": rfc3339(*date)}));
        let reply = Reply::json(&json!(records.collect::<Vec<_>>()).to_string());
        Ok(reply.with("link", &format!("<{url}/api/v2/logs?from={last}&take=100>; rel=\"next\"")))
    });
}

#[test]
fn onepassword_goes_on_with_its_cursor_in_the_next_iteration() {
    let asked = collect(&Events::new(7), "onepassword", "auth_apis", "  api_token: the-token\n", |asked, events, _| {
        let checked = Checked::of(asked, "POST", "/api/v1/signinattempts", &[])?;
        checked.header("authorization", "Bearer the-token")?;
        let body = checked.json()?;
        let names: Vec<&String> = body.as_object().ok_or("no object")?.keys().collect();
        let at = match body["cursor"].as_str() {
            Some(cursor) if names.len() == 1 => cursor.parse().map_err(|_| format!("cursor {cursor}"))?,
            None if names.len() == 2 && body["limit"] == 1000 && body["start_time"].is_string() => 0,
            _ => return Err(format!("{body}")),
        };
        // In the order of arrival: a late one comes behind the cursor.
        let all = events.0.lock().unwrap().clone();
        let (found, next) = part(&all, at, 3);
        let records =
            found.iter().map(|(n, date)| json!({"uuid": format!("U{n}"), "n": n, "timestamp": rfc3339(*date)}));
        let cursor = (at + found.len()).to_string();
        let answer = json!({"cursor": cursor, "has_more": next.is_some(), "items": records.collect::<Vec<_>>()});
        Ok(Reply::json(&answer.to_string()))
    });
    let bodies: Vec<String> = asked.iter().map(Asked::text).collect();
    assert!(bodies[0].contains("start_time"), "{bodies:?}");
    assert_eq!(bodies[1..], ["3", "6", "7"].map(|cursor| json!({ "cursor": cursor }).to_string()));
}

#[test]
fn box_logs_in_for_its_enterprise_and_ends_with_an_empty_page() {
    let login = "  enterprise_id: '77'\n  credentials: {id: the-client, key: the-client-secret}\n";
    collect(&Events::new(7), "box", "oauth_apis", login, |asked, events, _| {
        if asked.path == "/oauth2/token" {
            let expected = "grant_type=client_credentials&client_id=the-client&client_secret=the-client-secret&\
                            box_subject_type=enterprise&box_subject_id=77";
            let token = json!({"access_token": "the-access-token", "token_type": "bearer", "expires_in": 3600});
            return match asked.text() == expected {
                true => Ok(Reply::json(&token.to_string())),
                false => Err(asked.text()),
            };
        }
        let known = ["stream_type", "created_after", "created_before", "limit", "stream_position"];
        let checked = Checked::of(asked, "GET", "/2.0/events", &known)?;
        checked.header("authorization", "Bearer the-access-token")?;
        checked.must_be("stream_type", "admin_logs")?;
        checked.must_be("limit", "500")?;
        checked.date("created_before")?;
        let at = checked.number("stream_position")?;
        let (found, _) = part(&events.from(checked.date("created_after")?), at, 3);
        let records =
            found.iter().map(|(n, date)| json!({"event_id": format!("b{n}"), "n": n, "created_at": rfc3339(*date)}));
        let position = (at + found.len()).to_string();
        let answer = json!({"chunk_size": found.len(), "next_stream_position": position, "entries": records.collect::<Vec<_>>()});
        Ok(Reply::json(&answer.to_string()))
    });
}

#[test]
fn jumpcloud_gets_the_array_of_its_header_back() {
    collect(&Events::new(7), "jumpcloud", "auth_apis", "  api_key: the-api-key\n", |asked, events, _| {
        let checked = Checked::of(asked, "POST", "/insights/directory/v1/events", &[])?;
        checked.header("x-api-key", "the-api-key")?;
        let body = checked.json()?;
        let known = ["service", "start_time", "end_time", "sort", "limit", "search_after"];
        if let Some(name) = body.as_object().ok_or("no object")?.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("unknown field {name}"));
        }
        if body["service"] != json!(["all"]) || body["limit"] != 1000 || body["sort"] != "ASC" {
            return Err(format!("{body}"));
        }
        let start = body["start_time"].as_str().and_then(|text| text.parse().ok()).ok_or("no start_time")?;
        let at = match &body["search_after"] {
            Value::Null => 0,
            Value::Array(parts) => usize::try_from(parts[0].as_u64().ok_or("no number")?).unwrap(),
            other => return Err(format!("search_after: {other}")),
        };
        let (found, next) = part(&events.from(start), at, 3);
        let records = found.iter().map(|(n, date)| json!({"id": format!("j{n}"), "n": n, "timestamp": rfc3339(*date)}));
        let reply = Reply::json(&json!(records.collect::<Vec<_>>()).to_string());
        Ok(match next {
            Some(at) => reply.with("x-search_after", &json!([at, "x"]).to_string()),
            None => reply,
        })
    });
}

#[test]
fn duo_takes_each_page_with_a_signature_over_exactly_that_request() {
    let own = "  integration_key: the-ikey\n  secret_key: the-skey\n";
    let asked = collect(&Events::new(7), "duo", "auth_apis", own, |asked, events, _| {
        let known = ["limit", "maxtime", "mintime", "next_offset", "sort"];
        let checked = Checked::of(asked, "GET", "/admin/v2/logs/authentication", &known)?;
        let date = asked.header("date").ok_or("no Date")?;
        let age = Utc::now() - DateTime::parse_from_rfc2822(date).map_err(|error| error.to_string())?.to_utc();
        if age.abs() > TimeDelta::minutes(5) {
            return Err(format!("the date is wrong by {age}"));
        }
        let mut sorted: Vec<&str> = asked.query.split('&').collect();
        sorted.sort_unstable();
        let signed = [date, "GET", asked.header("host").ok_or("no Host")?, &asked.path, &sorted.join("&")].join("\n");
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"the-skey");
        let signature: String =
            hmac::sign(&key, signed.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        checked.header("authorization", &format!("Basic {}", STANDARD.encode(format!("the-ikey:{signature}"))))?;
        checked.must_be("limit", "1000")?;
        checked.must_be("sort", "ts:asc")?;
        let (from, to) = (checked.unix_ms("mintime")?, checked.unix_ms("maxtime")?);
        let to = to.min(Utc::now() - TimeDelta::minutes(2));
        let all: Vec<_> = events.from(from).into_iter().filter(|(_, date)| *date <= to).collect();
        let at = match checked.field("next_offset").map(|offset| offset.split_once(',')) {
            None => 0,
            Some(Some((_, txid))) => all.iter().position(|(n, _)| format!("t{n}") == txid).ok_or("no such txid")? + 1,
            Some(None) => return Err("next_offset needs two values".to_owned()),
        };
        let (found, next) = part(&all, at, 3);
        let offset = next.and_then(|_| found.last());
        let offset = offset.map(|(n, date)| json!([date.timestamp_millis().to_string(), format!("t{n}")]));
        let logs =
            found.iter().map(|(n, date)| json!({"txid": format!("t{n}"), "n": n, "timestamp": date.timestamp()}));
        let logs: Vec<Value> = logs.collect();
        let answer = json!({"metadata": {"next_offset": offset, "total_objects": all.len()}, "authlogs": logs});
        Ok(Reply::json(&json!({"stat": "OK", "response": answer}).to_string()))
    });
    assert_eq!(asked.iter().filter(|asked| asked.raw_field("next_offset").is_some()).count(), 2);
}

#[test]
fn zoom_logs_in_for_its_account_and_is_asked_for_whole_days() {
    let own = "  account_id: a1\n  login_url: MOCK\n  credentials: {id: the-client, key: the-client-secret}\n";
    collect(&Events::new(7), "zoom", "oauth_apis", own, |asked, events, _| {
        if asked.path == "/oauth/token" {
            let checked = Checked::of(asked, "POST", "/oauth/token", &[])?;
            checked.header("authorization", "Basic dGhlLWNsaWVudDp0aGUtY2xpZW50LXNlY3JldA==")?;
            let token = json!({"access_token": "the-access-token", "token_type": "bearer", "expires_in": 3599});
            return match asked.text() == "grant_type=account_credentials&account_id=a1" {
                true => Ok(Reply::json(&token.to_string())),
                false => Err(asked.text()),
            };
        }
        let known = ["from", "to", "page_size", "next_page_token"];
        let checked = Checked::of(asked, "GET", "/v2/report/operationlogs", &known)?;
        checked.header("authorization", "Bearer the-access-token")?;
        checked.must_be("page_size", "300")?;
        let (from, to) = (checked.day("from")?, checked.day("to")?);
        if to - from > TimeDelta::days(31) {
            return Err(format!("{from} to {to} is more than a month"));
        }
        let is_asked_for = |date: &DateTime<Utc>| (from..=to).contains(&date.date_naive());
        let mut all = events.newest_first(DateTime::UNIX_EPOCH);
        all.retain(|(_, date)| is_asked_for(date));
        let (found, next) = part(&all, checked.number("next_page_token")?, 3);
        let logs = found.iter().map(|(n, date)| json!({"time": rfc3339(*date), "n": n, "action": "Update"}));
        let next = next.map(|at| at.to_string()).unwrap_or_default();
        let answer = json!({"next_page_token": next, "page_size": 300, "operation_logs": logs.collect::<Vec<_>>()});
        Ok(Reply::json(&answer.to_string()))
    });
}
