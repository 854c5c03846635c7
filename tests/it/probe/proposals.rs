//! `probe --url`: a config for an API that no config knows yet.

use chrono::{DateTime, Utc};
use logzio_api_fetcher::config::{self, Environment};

use super::{Outcome, recent};
use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, decoded};

/// `probe --url`, with a secret in the environment.
pub(super) fn propose(arguments: &[&str]) -> Outcome {
    Fetcher::new("").arguments(arguments).variable("API_SECRET", "the-api-secret").run_bare("probe")
}

/// The config of an outcome with its placeholders filled in.
fn filled(outcome: &Outcome, listener: &str) -> String {
    let config = outcome.stdout.replace("https://<<LISTENER-HOST>>:8071", listener);
    config
        .replace("<<LOG-SHIPPING-TOKEN>>", "shipping-token-1")
        .replace("<<ID>>", "the-id")
        .replace("<<CLIENT-ID>>", "the-client")
}

/// Nothing but placeholders keeps the config from being used.
#[track_caller]
pub(super) fn assert_valid_but_for_placeholders(outcome: &Outcome) {
    let variable = |_: &str| Some("the-api-secret".to_owned());
    let around = Environment { variable: &variable, directory: outcome.path() };
    let faults = config::compile(&outcome.stdout, &around).diagnostics.errors;
    let others: Vec<_> = faults.iter().filter(|fault| !fault.what.contains("placeholder")).collect();
    assert!(!faults.is_empty() && others.is_empty(), "{others:#?}\n{}", outcome.stdout);
}

/// Ships everything with that config, and gives the ids of what arrived.
pub(super) fn shipped(outcome: &Outcome) -> Vec<u64> {
    let listener = MockListener::start();
    let config = filled(outcome, listener.url());
    Fetcher::new(&config).variable("API_SECRET", "the-api-secret").once().assert_code(0);
    listener.ids()
}

pub(super) fn seconds(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The start date in a parameter; the beginning of time where there is none.
pub(super) fn start(asked: &Asked, name: &str) -> DateTime<Utc> {
    let text = asked.raw_field(name).map(decoded);
    text.map_or(DateTime::UNIX_EPOCH, |text| DateTime::parse_from_rfc3339(&text).unwrap().to_utc())
}

/// The offset to begin at, of pages of two.
fn offset(asked: &Asked) -> usize {
    asked.raw_field("offset").map_or(0, |text| text.parse().unwrap())
}

pub(super) const ALL: [u64; 5] = [0, 1, 2, 3, 4];

#[test]
fn a_plain_api_gets_a_config_that_ships_its_records() {
    let api = MockServer::start(move |asked, _| {
        let all: Vec<u64> = ALL.into_iter().filter(|at| recent(*at) >= start(asked, "from")).collect();
        let from = offset(asked);
        let records: Vec<String> = all
            .iter()
            .skip(from)
            .take(2)
            .map(|id| {
                format!(
                    r#"{{"id":{id},"size":7,"event time":"{}","updated":"2024-01-01T00:00:00Z"}}"#,
                    seconds(recent(*id))
                )
            })
            .collect();
        let query = asked.query.split("&offset").next().unwrap();
        let next = (from + 2 < all.len()).then(|| format!("\"/v1/events?{query}&offset={}\"", from + 2));
        Reply::json(&format!(
            r#"{{"rows":[{}],"paging":{{"self":"/v1","next":{}}}}}"#,
            records.join(","),
            next.unwrap_or("null".to_owned())
        ))
    });
    let url = format!("{}/v1/events?limit=2", api.url());
    let outcome = propose(&["--url", &url, "--basic", "the-id:${API_SECRET}"]).assert_code(0);
    let asked = api.asked();
    assert!(asked.len() == 5, "a page, start_date, since, from, and one without: {asked:#?}");
    assert_eq!(asked[0].header("authorization"), Some("Basic dGhlLWlkOnRoZS1hcGktc2VjcmV0"));
    for part in [
        "  - type: general\n",
        "key: '${API_SECRET}'",
        "id: '<<ID>>'",
        "data: rows",
        "# 2 of 2 records have a date here; newest first\n      # or updated: 2 of 2 records have a date here\n      data_date: 'event time'\n",
        "# a relative URL\n      next_url: paging.next\n",
        "# different in each of 2 records\n      id: id\n",
        "start_date_name: from",
        "# the start date is honoured, inclusive: asked from",
        "limit: '2'",
    ] {
        assert!(outcome.stdout.contains(part), "`{part}` is missing in\n{}\n{}", outcome.stdout, outcome.stderr);
    }
    assert!(
        !outcome.everything().contains("the-api-secret") && !outcome.stdout.contains("the-id"),
        "{}",
        outcome.stdout
    );
    assert_valid_but_for_placeholders(&outcome);
    assert_eq!(shipped(&outcome), ALL);
}

#[test]
fn a_strict_api_like_ciscos_gets_a_config_that_ships_its_records() {
    let api = MockServer::start(|asked, _| {
        let known = ["limit", "offset", "start_date"];
        let is_known = |field: &str| known.iter().any(|name| field.starts_with(&format!("{name}=")));
        if !asked.query.split('&').filter(|field| !field.is_empty()).all(is_known) {
            return Reply::status(400, r#"{"errors":[{"description":"unknown parameter"}]}"#);
        }
        let all: Vec<u64> = ALL.into_iter().filter(|at| recent(*at) >= start(asked, "start_date")).collect();
        let from = offset(asked);
        let event = |id: &u64| {
            let date = recent(*id);
            let (unix, date) = (date.timestamp(), date.to_rfc3339());
            format!(
                r#"{{"id":{id},"timestamp":{unix},"timestamp_nanoseconds":113000000,"date":"{date}","event_type_id":553648130}}"#
            )
        };
        let records: Vec<String> = all.iter().skip(from).take(2).map(event).collect();
        let host = asked.header("host").unwrap();
        let query = asked.query.split("&offset").next().unwrap().split("offset").next().unwrap();
        let next =
            (from + 2 < all.len()).then(|| format!(r#","next":"http://{host}/v1/events?{query}&offset={}""#, from + 2));
        Reply::json(&format!(
            r#"{{"version":"v1.2.0","metadata":{{"links":{{"self":"http://{host}/v1/events"{}}},"results":{{"total":5}}}},"data":[{}]}}"#,
            next.unwrap_or_default().replace("?&", "?"),
            records.join(",")
        ))
    });
    let url = format!("{}/v1/events", api.url());
    let outcome = propose(&["--url", &url, "--basic", "the-id:${API_SECRET}"]).assert_code(0);
    for part in
        ["data: data", "data_date: date", "next_url: metadata.links.next", "id: id", "start_date_name: start_date"]
    {
        assert!(outcome.stdout.contains(part), "`{part}` is missing in\n{}", outcome.stdout);
    }
    assert_valid_but_for_placeholders(&outcome);
    assert_eq!(shipped(&outcome), ALL);
}

#[test]
fn an_odata_service_gets_the_type_of_graph_and_a_config_that_ships_its_records() {
    let api = MockServer::start(|asked, _| {
        if asked.path == "/token" {
            let is_right = asked.text()
                == "grant_type=client_credentials&client_id=the-client&client_secret=the-api-secret&scope=x%2F.default";
            return if is_right {
                Reply::json(r#"{"access_token":"the-access-token","expires_in":3599}"#)
            } else {
                Reply::status(401, "{}")
            };
        }
        assert_eq!(asked.header("authorization"), Some("Bearer the-access-token"));
        let filter = asked.raw_field("$filter").map(decoded);
        let from = filter.map_or(DateTime::UNIX_EPOCH, |filter| {
            DateTime::parse_from_rfc3339(filter.strip_prefix("createdDateTime ge ").unwrap()).unwrap().to_utc()
        });
        let all: Vec<u64> = ALL.into_iter().filter(|at| recent(*at) >= from).collect();
        let skip = offset(asked);
        let records: Vec<String> = all
            .iter()
            .skip(skip)
            .take(2)
            .map(|id| format!(r#"{{"id":{id},"createdDateTime":"{}"}}"#, seconds(recent(*id))))
            .collect();
        let host = asked.header("host").unwrap();
        let query = asked.query.split("&offset").next().unwrap().split("offset").next().unwrap();
        let next = (skip + 2 < all.len())
            .then(|| format!(r#""@odata.nextLink":"http://{host}/x?{query}&offset={}","#, skip + 2));
        let next = next.unwrap_or_default().replace("?&", "?");
        Reply::json(&format!(
            r#"{{"@odata.context":"http://{host}/$metadata#x",{next}"value":[{}]}}"#,
            records.join(",")
        ))
    });
    let (url, token_url) = (format!("{}/x", api.url()), format!("{}/token", api.url()));
    let outcome = propose(&[
        "--url",
        &url,
        "--token-url",
        &token_url,
        "--client",
        "the-client:${API_SECRET}",
        "--scope",
        "x/.default",
    ]);
    let outcome = outcome.assert_code(0).assert_says("type: azure_graph").assert_says("data_date: createdDateTime");
    let outcome = outcome.assert_says("the start date is honoured, inclusive").assert_says("scope: x/.default");
    assert!(!outcome.everything().contains("the-access-token"), "{}", outcome.stdout);
    assert_valid_but_for_placeholders(&outcome);
    assert_eq!(shipped(&outcome), ALL);
}

#[test]
fn unix_times_are_asked_for_as_the_api_writes_them() {
    let api = MockServer::start(|asked, _| {
        let since = asked.raw_field("since").map_or(0, |text| text.parse::<i64>().unwrap_or(0));
        let all = ALL.into_iter().map(|id| (id, recent(id).timestamp())).filter(|(_, unix)| *unix > since);
        let records: Vec<String> = all.map(|(id, unix)| format!(r#"{{"id":{id},"ts":{unix}}}"#)).collect();
        Reply::json(&format!("[{}]", records.join(",")))
    });
    let url = format!("{}/log", api.url());
    let outcome = propose(&["--url", &url, "--header", "Authorization: Token ${API_SECRET}"]).assert_code(0);
    let outcome = outcome
        .assert_says("data: '$'")
        .assert_says("Authorization: 'Token ${API_SECRET}'")
        .assert_says("overlap: '1m'");
    assert_eq!(api.asked()[0].header("authorization"), Some("Token the-api-secret"));
    assert_valid_but_for_placeholders(&outcome);
    assert_eq!(shipped(&outcome), ALL);
    let last = api.asked().pop().unwrap();
    assert!(last.raw_field("since").is_some_and(|text| text.parse::<i64>().is_ok()), "{last:?}");
}

#[test]
fn where_no_usual_name_is_honoured_every_name_is_shown_and_fourteen_requests_are_enough() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json(r#"{"access_token":"the-access-token"}"#),
        _ if asked.query.contains("start_time") => Reply::status(400, ""),
        _ => {
            let records: Vec<String> =
                ALL.map(|id| format!(r#"{{"id":{id},"date":"{}"}}"#, seconds(recent(id)))).to_vec();
            Reply::json(&format!(r#"{{"data":[{}]}}"#, records.join(",")))
        }
    });
    let (url, token_url) = (format!("{}/x", api.url()), format!("{}/token", api.url()));
    let outcome = propose(&["--url", &url, "--token-url", &token_url, "--client", "a:b"]).assert_code(1);
    let outcome = outcome
        .assert_says("start_date_name: '<<START-DATE-PARAMETER>>'")
        .assert_says("    # none of the usual names is honoured\n    # ignored: start_date, since, from, startTime, start, after, \
                      updated_since, updated_after, created_after, oldest, startDate\n    # refused: start_time\n")
        .assert_says("no link to a next page was seen");
    assert_eq!(api.asked().len(), 14);
    assert_valid_but_for_placeholders(&outcome);
}

#[test]
fn a_page_that_tells_nothing_leads_to_placeholders() {
    for (page, missing) in [
        (r#"{"ok":true}"#, "<<RECORDS-PATH>>"),
        (r#"{"data":[]}"#, "<<DATE-PATH>>"),
        (r#"{"data":[{"a":1},{"a":2}]}"#, "<<DATE-PATH>>"),
        (r#"{"data":[{"date":"2024-05-28"}]}"#, "<<START-DATE-PARAMETER>>"),
    ] {
        let api = MockServer::start(move |_, _| Reply::json(page));
        let outcome = propose(&["--url", api.url(), "--basic", "a:b"]).assert_code(1).assert_says(missing);
        assert_valid_but_for_placeholders(&outcome);
        assert_eq!(api.asked().len(), 1, "{page}");
    }
}

#[test]
fn no_secret_is_printed_however_it_was_given_and_whatever_the_api_echoes() {
    const SECRETS: [&str; 6] = [
        "the-literal-id",
        "the-literal-key",
        "the-api-secret",
        "the-header-secret",
        "the-query-key",
        "ZS1saXRlcmFsLWtleQ",
    ];
    let api = MockServer::start(|asked, before| {
        let echo = serde_json::Value::from(format!("{asked:?}\n# the-literal-key"));
        let date = seconds(recent(before as u64));
        match before {
            0 => Reply::json(&format!(
                r#"{{{echo}:[{{{echo}:"{date}","date":"{date}"}},{{"the-api-secret":1}}],"the-header-secret":[{{"date":"{date}"}}],
                "next":{{"the-literal-key":"/the-literal-key?the-query-key"}}}}"#
            )),
            _ => Reply::status(400, &echo.to_string()),
        }
    });
    let url = format!("{}/x?api_key=the-query-key&plain=1", api.url());
    let headers =
        ["--header", "X-Key: the-header-secret", "--header", "X-Other: ${API_SECRET}", "--header", "Accept: text/json"];
    let arguments =
        [&["--url", &url, "--basic", "the-literal-id:the-literal-key", "--level", "DEBUG"], &headers[..]].concat();
    let outcome = propose(&arguments);
    let outcome = outcome.assert_says("id: '<<ID>>'").assert_says("key: '<<KEY>>'").assert_says("X-Key: '<<X-KEY>>'");
    let outcome =
        outcome.assert_says("X-Other: '${API_SECRET}'").assert_says("api_key: '<<API_KEY>>'").assert_says("plain: '1'");
    let outcome = outcome.assert_says("Accept: text/json");
    for secret in SECRETS {
        assert!(!outcome.everything().contains(secret), "`{secret}` is in\n{}\n{}", outcome.stdout, outcome.stderr);
    }
    assert_valid_but_for_placeholders(&outcome);

    let refusing = MockServer::start(|asked, _| Reply::status(401, &format!("{asked:?}")));
    let outcome = propose(&["--url", refusing.url(), "--basic", "the-literal-id:the-literal-key"]).assert_code(1);
    let outcome = outcome.assert_says("answered 401").assert_says("check --basic: wrong, expired");
    assert_eq!(outcome.stdout, "");
    for secret in SECRETS {
        assert!(!outcome.everything().contains(secret), "{}", outcome.stderr);
    }
}

#[test]
fn what_was_given_wrongly_is_told_without_its_values() {
    let url = "http://127.0.0.1:1/x";
    for (arguments, said) in [
        (&["--url", url, "--basic", "thesecret"][..], "--basic should be like 'ID:KEY'"),
        (&["--url", url, "--basic", "a:${NOT_SET}"], "--basic: environment variable `NOT_SET` is not set or empty"),
        (&["--url", url, "--basic", "a:${file:/nowhere}"], "file `/nowhere` can't be read"),
        (&["--url", url, "--header", "thesecret"], "--header should be like 'NAME: VALUE'"),
        (&["--url", "http://u:thesecret@127.0.0.1:1/x"], "user and password don't belong in a URL"),
        (&["--url", "127.0.0.1"], "--url: it is not a valid URL"),
        (&["--basic", "a:thesecret"], "--url"),
        (&["--url", url, "--token-url", url], "--client"),
    ] {
        let outcome = propose(arguments).assert_code(2).assert_says(said);
        assert!(!outcome.everything().contains("thesecret"), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
    }
    propose(&["--url", url]).assert_code(1).assert_says("connection refused").assert_says("nobody listens there");
}

/// Five records of one page, and what else the answer has.
fn five_with(more: &str) -> Reply {
    let records = ALL.map(|id| format!(r#"{{"id":{id},"date":"{}"}}"#, seconds(recent(id))));
    Reply::json(&format!(r#"{{"data":[{}]{more}}}"#, records.join(",")))
}

#[test]
fn what_shows_more_pages_is_named_where_nothing_that_was_tried_leads_there() {
    for (more, header, said, tried) in [
        ("", Some("</x?page=2>; rel=\"next\""), "the header `Link` names the next page (rel=\"next\")", "header.Link"),
        (
            r#","meta":{"next_cursor":"abc"}"#,
            None,
            "`meta.next_cursor` looks like a token (cursor) for the next page",
            "cursor, next_cursor, page_token",
        ),
        (r#","page":1,"total_pages":3"#, None, "`page` is a page number, with `total_pages`", "page, pageNumber"),
        (r#","offset":0,"total":12"#, None, "`offset` is an offset, with `total`", "offset, start"),
        (r#","has_more":true"#, None, "`has_more` says that more pages follow", "page, offset"),
    ] {
        let api = MockServer::start(move |_, _| {
            let page = five_with(more);
            header.map_or(page.clone(), |link| page.with("Link", link))
        });
        let outcome = propose(&["--url", api.url(), "--basic", "a:b"]).assert_code(1);
        let outcome = outcome
            .assert_says(&format!("      # {said}\n"))
            .assert_says(&format!("# tried without success: {tried}"))
            .assert_says("so only the first page is read, and the records on later pages are missing");
        assert!(!outcome.stdout.contains("next_url: ") && !outcome.stdout.contains("next_token"), "{}", outcome.stdout);
        assert_valid_but_for_placeholders(&outcome);
    }
}

#[test]
fn no_credentials_are_proposed_where_none_were_given() {
    let api = MockServer::start(|asked, _| {
        assert_eq!(asked.header("authorization"), None);
        let from = start(asked, "oldest");
        let kept = ALL.into_iter().filter(|at| recent(*at) >= from);
        let records: Vec<String> =
            kept.map(|id| format!(r#"{{"id":{id},"date":"{}"}}"#, seconds(recent(id)))).collect();
        Reply::json(&format!(r#"{{"data":[{}],"next":null}}"#, records.join(",")))
    });
    for (arguments, expected) in [
        (&[][..], "    # no Basic credentials given, so none are sent\n    credentials: {}\n"),
        (&["--header", "X-Api-Key: ${API_SECRET}"], "X-Api-Key: '${API_SECRET}'"),
    ] {
        let outcome = propose(&[&["--url", api.url()], arguments].concat()).assert_code(0).assert_says(expected);
        let outcome = outcome.assert_says("start_date_name: oldest");
        assert!(!outcome.stdout.contains("id: ''"), "{}", outcome.stdout);
        assert!(arguments.is_empty() || !outcome.stdout.contains("credentials"), "{}", outcome.stdout);
        assert_valid_but_for_placeholders(&outcome);
        assert_eq!(shipped(&outcome), ALL);
    }
}

#[test]
fn a_scheme_stays_and_the_token_behind_it_goes_to_a_variable() {
    let api = MockServer::start(|_, _| five_with(""));
    for (given, proposed, sent) in [
        ("Authorization: SSWS ${API_SECRET}", "Authorization: 'SSWS ${API_SECRET}'", "SSWS the-api-secret"),
        ("Authorization: Odd-Scheme ${API_SECRET}", "'Odd-Scheme ${API_SECRET}'", "Odd-Scheme the-api-secret"),
        ("Authorization: SSWS a-literal-token", "Authorization: 'SSWS ${API_TOKEN}'", "SSWS a-literal-token"),
        ("Authorization: a-literal-token", "Authorization: '<<AUTHORIZATION>>'", "a-literal-token"),
        (
            "Authorization: hunter-two a-literal-token",
            "Authorization: '<<AUTHORIZATION>>'",
            "hunter-two a-literal-token",
        ),
    ] {
        let outcome = propose(&["--url", api.url(), "--header", given]).assert_says(proposed);
        assert_eq!(api.asked().pop().unwrap().header("authorization"), Some(sent));
        for secret in ["the-api-secret", "a-literal-token", "hunter-two"] {
            assert!(!outcome.everything().contains(secret), "{}", outcome.everything());
        }
        assert_valid_but_for_placeholders(&outcome);
    }
}

#[test]
fn advice_names_flags() {
    for (reply, arguments, said) in [
        (Reply::status(401, ""), &["--basic", "a:b"][..], "; check --basic"),
        (
            Reply::status(401, ""),
            &["--header", "Authorization: Bearer b"],
            "; check the header Authorization in --header",
        ),
        (Reply::status(401, ""), &[], "; give the credentials with --basic, --token-url or --header"),
        (Reply::status(404, ""), &["--basic", "a:b"], "; nothing is there: check --url"),
        (Reply::json("<html>login</html>"), &["--basic", "a:b"], "check --url"),
    ] {
        let api = MockServer::start(move |_, _| reply.clone());
        let outcome = propose(&[&["--url", api.url()], arguments].concat()).assert_code(1).assert_says(said);
        assert!(
            !outcome.stderr.contains("http_request") && !outcome.stderr.contains("credentials."),
            "{}",
            outcome.stderr
        );
    }
}
