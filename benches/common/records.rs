//! Records like those of Cisco Secure Endpoint: varied, nested, about 1.3 KB each, compressing about five times.
//!
//! What differs from record to record in a real API's answer (who, where, what was found) is drawn from pools of the sizes
//! that a company has: hosts, users, files, detections. The same seed gives the same bytes everywhere.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fastrand::Rng;

/// Records of a full page: what Cisco gives at most.
pub const PAGE_RECORDS: u64 = 500;
/// Distinct pages; a later page has the records of an earlier one under new ids and dates. Far more than what gzip looks
/// back at (32 KiB, 25 records).
const TEMPLATES: usize = 32;
/// How many records a second of the API's time holds.
const RECORDS_PER_SECOND: u64 = 20;
/// Nineteen digits, so that an id passes through no float.
const ID_BASE: u64 = 6_159_258_594_551_267_592;
/// How far apart the ids of two APIs are.
const IDS_PER_API: u64 = 10_000_000;

/// The pages of any number of APIs, newest records first.
pub struct Pages {
    templates: Vec<Template>,
    newest: DateTime<Utc>,
}

/// The records of a page, but for their heads.
struct Template(Vec<String>);

impl Pages {
    /// Makes what they have in common. The newest record is a minute older than `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        let mut rng = Rng::with_seed(1);
        let company = Company::new(&mut rng);
        let page = |rng: &mut Rng| Template((0..PAGE_RECORDS).map(|_| company.record(rng)).collect());
        Self { templates: (0..TEMPLATES).map(|_| page(&mut rng)).collect(), newest: now - TimeDelta::minutes(1) }
    }

    /// One page of an API that has so many records in all: `next` is its link, if another one follows.
    pub fn page(&self, api: u64, records: u64, page: u64, next: Option<&str>) -> String {
        let from = page * PAGE_RECORDS;
        let until = (from + PAGE_RECORDS).min(records);
        let template = &self.templates[page as usize % TEMPLATES];
        let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
        let mut text = String::with_capacity(template.0.iter().map(|rest| rest.len() + 160).sum());
        let count = until.saturating_sub(from);
        let _ = write!(
            text,
            "{{\"version\":\"v1.2.0\",\"metadata\":{{\"links\":{{\"self\":\"-\",\"next\":{next}}},\"results\":\
             {{\"total\":{records},\"current_item_count\":{count},\"index\":{from},\"items_per_page\":500}}}},\"data\":["
        );
        for (index, rest) in (from..until).zip(&template.0) {
            if index > from {
                text.push(',');
            }
            let date = self.newest - TimeDelta::seconds((index / RECORDS_PER_SECOND) as i64);
            let id = ID_BASE + api * IDS_PER_API + (records - index);
            let (seconds, date) = (date.timestamp(), date.to_rfc3339_opts(SecondsFormat::Secs, false));
            let nanoseconds = 999_000_000 - index % RECORDS_PER_SECOND * 1_000_000;
            let _ = write!(
                text,
                "{{\"id\":{id},\"timestamp\":{seconds},\"timestamp_nanoseconds\":{nanoseconds},\"date\":\"{date}\",{rest}"
            );
        }
        text.push_str("]}");
        text
    }

    /// How many pages so many records have.
    pub fn count(records: u64) -> u64 {
        records.div_ceil(PAGE_RECORDS).max(1)
    }
}

/// Whom the records tell of.
struct Company {
    computers: Vec<String>,
    files: Vec<String>,
    detections: Vec<String>,
}

impl Company {
    fn new(rng: &mut Rng) -> Self {
        let users = words(rng, 800);
        let folders = words(rng, 200);
        let names = words(rng, 3_000);
        let computers = (0..1_500).map(|number| computer(rng, number, &users)).collect();
        let files = (0..6_000)
            .map(|_| {
                let (user, directory) = (pick(rng, &users).to_owned(), pick(rng, &folders).to_owned());
                let name = format!("{}.{}", pick(rng, &names), pick(rng, &["exe", "dll", "docx", "zip", "ps1", "tmp"]));
                let parent = format!("{}.exe", pick(rng, &names));
                let disposition = pick(rng, &["Malicious", "Clean", "Unknown", "Blocked"]).to_owned();
                format!(
                    "\"file\":{{\"disposition\":\"{disposition}\",\"file_name\":\"{name}\",\"file_path\":\
                     \"\\\\\\\\?\\\\C:\\\\Users\\\\{user}\\\\AppData\\\\Local\\\\{directory}\\\\{name}\",\"identity\":\
                     {{\"sha256\":\"{}\",\"md5\":\"{}\"}},\"parent\":{{\"process_id\":{},\
                     \"disposition\":\"Clean\",\"file_name\":\"{parent}\",\"identity\":{{\"sha256\":\"{}\"}}}}}}",
                    hex(rng, 64),
                    hex(rng, 32),
                    rng.u32(100..60_000),
                    hex(rng, 64),
                )
            })
            .collect();
        let detections =
            names.iter().take(400).map(|name| format!("W32.{name}.Gen:{}.Talos", rng.u16(1..99))).collect();
        Self { computers, files, detections }
    }

    /// A record without its head.
    fn record(&self, rng: &mut Rng) -> String {
        let kind = pick(
            rng,
            &[
                "\"event_type\":\"Threat Detected\",\"event_type_id\":1090519054",
                "\"event_type\":\"Threat Quarantined\",\"event_type_id\":553648143",
                "\"event_type\":\"Quarantine Failure\",\"event_type_id\":2164260880",
                "\"event_type\":\"Executed malware\",\"event_type_id\":1107296272",
                "\"event_type\":\"Retrospective Detection\",\"event_type_id\":1107296274",
            ],
        );
        let severity = pick(rng, &["Low", "Medium", "High", "Critical"]);
        let tactics = pick(rng, &["", "\"TA0002\"", "\"TA0002\",\"TA0005\"", "\"TA0001\",\"TA0002\",\"TA0040\""]);
        let (score, detection_id) = (f64::from(rng.u16(..1_000)) / 10.0, hex(rng, 19));
        let mut text = format!(
            "{kind},\"detection\":\"{}\",\"detection_id\":\"{detection_id}\",\"severity\":\"{severity}\",\"score\":{score:.2},\
             \"tactics\":[{tactics}],\"isolated\":{},\"comment\":null,{},{}",
            pick(rng, &self.detections),
            rng.bool(),
            pick(rng, &self.computers),
            pick(rng, &self.files),
        );
        if rng.u8(..10) < 3 {
            let _ = write!(
                text,
                ",\"command_line\":{{\"arguments\":[\"/c\",\"start\",\"--id={}\",\"\\u00e9tat \\\"{}\\\"\"]}}",
                rng.u32(..),
                pick(rng, &self.detections),
            );
        }
        text.push('}');
        text
    }
}

fn computer(rng: &mut Rng, number: usize, users: &[String]) -> String {
    let (guid, group, user) = (guid(rng), guid(rng), pick(rng, users));
    format!(
        "\"connector_guid\":\"{guid}\",\"group_guids\":[\"{group}\"],\"computer\":{{\"connector_guid\":\"{guid}\",\
         \"hostname\":\"WS-{number:05}.corp.example.com\",\"external_ip\":\"203.0.113.{}\",\"user\":\"{user}@CORP\",\
         \"active\":true,\"network_addresses\":[{{\"ip\":\"10.{}.{}.{}\",\"mac\":\"00:50:56:{}:{}:{}\"}}],\"links\":{{\
         \"computer\":\"https://api.amp.cisco.com/v1/computers/{guid}\",\
         \"group\":\"https://api.amp.cisco.com/v1/groups/{group}\"}}}}",
        rng.u8(..),
        rng.u8(..),
        rng.u8(..),
        rng.u8(..),
        hex(rng, 2),
        hex(rng, 2),
        hex(rng, 2),
    )
}

fn pick<'a, T: AsRef<str>>(rng: &mut Rng, of: &'a [T]) -> &'a str {
    of[rng.usize(..of.len())].as_ref()
}

fn words(rng: &mut Rng, count: usize) -> Vec<String> {
    let word = |rng: &mut Rng| -> String { (0..rng.usize(5..12)).map(|_| rng.lowercase()).collect() };
    (0..count).map(|_| word(rng)).collect()
}

fn hex(rng: &mut Rng, digits: usize) -> String {
    (0..digits).map(|_| rng.digit(16)).collect()
}

fn guid(rng: &mut Rng) -> String {
    let hex = hex(rng, 32);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
