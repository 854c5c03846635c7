//! Made-up events that look like real ones, newest first.

use std::ops::Range;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

/// One of several words, by number.
fn pick<'w>(words: &[&'w str], number: usize) -> &'w str {
    words.get(number % words.len().max(1)).copied().unwrap_or_default()
}

/// When the event of this number took place: spread over hours, some within one second.
fn when(newest: DateTime<Utc>, from_newest: usize) -> DateTime<Utc> {
    let step = i64::try_from(from_newest / 3 * 97 + from_newest % 3 / 2).unwrap_or_default();
    newest - TimeDelta::seconds(step)
}

fn date_of(event: &Value, date_key: &str) -> Option<DateTime<Utc>> {
    event.get(date_key)?.as_str().and_then(crate::record::date::parse)
}

/// The events at or after a date.
pub(super) fn since<'e>(events: &'e [Value], date_key: &str, start: DateTime<Utc>) -> Vec<&'e Value> {
    let is_since = |event: &&Value| date_of(event, date_key).is_some_and(|date| date >= start);
    events.iter().filter(is_since).collect()
}

/// Puts the newest first, as the APIs do.
pub(super) fn sort(events: &mut [Value], date_key: &str) {
    events.sort_by_key(|event| std::cmp::Reverse(date_of(event, date_key)));
}

/// Cisco Secure Endpoint events, `numbers` telling them apart.
pub(super) fn cisco(newest: DateTime<Utc>, numbers: Range<usize>) -> Vec<Value> {
    let names = ["Threat Detected", "Threat Quarantined", "Policy Update", "Scan Completed", "Vulnerable Application"];
    let files = ["invoice.pdf.exe", "setup.msi", "wmiprvse.dll", "report.docm", "update.js"];
    let event = |(from_newest, number): (usize, usize)| {
        let date = when(newest, from_newest);
        json!({
            "id": 6_159_258_594_551_267_592_u64 + number as u64 * 7919,
            "timestamp": date.timestamp(),
            "timestamp_nanoseconds": date.timestamp_subsec_nanos(),
            "date": date.to_rfc3339_opts(SecondsFormat::Secs, false),
            "event_type": pick(&names, number),
            "event_type_id": 1_090_519_054 + number % 5,
            "detection": format!("W32.{:08X}.Demo", number * 2_654_435),
            "severity": pick(&["Low", "Medium", "High", "Critical"], number / 2),
            "connector_guid": format!("af73d9d5-ddc5-4c93-9c6d-{number:012x}"),
            "computer": {
                "hostname": format!("demo-host-{:03}", number % 40),
                "external_ip": format!("203.0.113.{}", number % 250),
                "active": true,
                "network_addresses": [{"ip": format!("10.0.{}.{}", number % 8, number % 250), "mac": format!("0a:00:27:00:00:{:02x}", number % 256)}],
            },
            "file": {
                "disposition": pick(&["Malicious", "Unknown", "Clean"], number),
                "file_name": pick(&files, number),
                "file_path": format!("\\\\?\\C:\\Users\\user{}\\Downloads\\{}", number % 17, pick(&files, number)),
                "identity": {"sha256": format!("{:064x}", number * 7_919_773)},
            },
        })
    };
    numbers.enumerate().map(event).collect()
}

/// Microsoft Graph sign-ins, `numbers` telling them apart.
pub(super) fn graph(newest: DateTime<Utc>, numbers: Range<usize>) -> Vec<Value> {
    let apps = ["Office 365 Exchange Online", "Azure Portal", "Microsoft Teams", "SharePoint Online"];
    let event = |(from_newest, number): (usize, usize)| {
        let date = when(newest, from_newest);
        json!({
            "id": format!("66ea54eb-6301-4ee5-be62-{number:012x}"),
            "createdDateTime": format!("{}.{:07}Z", date.format("%Y-%m-%dT%H:%M:%S"), (number * 7919) % 10_000_000),
            "userDisplayName": format!("User {}", number % 23),
            "userPrincipalName": format!("user{}@example.com", number % 23),
            "appDisplayName": pick(&apps, number),
            "ipAddress": format!("198.51.100.{}", number % 250),
            "clientAppUsed": pick(&["Browser", "Mobile Apps and Desktop clients"], number),
            "conditionalAccessStatus": pick(&["success", "failure", "notApplied"], number),
            "riskLevelAggregated": "none",
            "status": {"errorCode": if number % 9 == 0 { 50126 } else { 0 }, "failureReason": null},
            "location": {"city": pick(&["Lisbon", "Oslo", "Quito"], number), "countryOrRegion": pick(&["PT", "NO", "EC"], number)},
        })
    };
    numbers.enumerate().map(event).collect()
}
