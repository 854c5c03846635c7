//! The cluster as people and programs see it: a part of the page, and of `/status.json`.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Serialize;

use super::cluster::{AccountSummary, ClusterStanding};
use super::snapshot::Snapshot;
use crate::cluster::{AboutMember, MemberId, remembered_share};
use crate::text::humanize::{ago, bytes, counted, second};

/// How many APIs of other members the page lists; `/status.json` has all.
const ELSEWHERE_MAX: usize = 500;

/// Who is in it, and what is wrong with it.
pub(super) fn cluster(snapshot: &Snapshot, now: DateTime<Utc>) -> Markup {
    let Some(standing) = &snapshot.cluster else { return html! {} };
    let troubles = standing.troubles();
    let members = &standing.reading.status.members;
    html! {
        @if !troubles.is_empty() {
            section .problem #cluster-troubles role="alert" {
                h2 { "The cluster " (standing.name) }
                ul { @for trouble in &troubles { li { (trouble) } } }
            }
        }
        details #cluster open[members.len() > 1 && members.len() <= 10] {
            summary {
                "Member " b { (standing.me.member) } " of the cluster " b { (standing.name) } ": "
                (counted(members.len() as u64, "member"))
                @match standing.reading.read_at {
                    Some(at) => { ", read " (ago(at, now)) }
                    None => { ", not read yet" }
                }
                @if let Some(room) = standing.reading.room {
                    ", etcd has " (bytes(room.database_bytes))
                    @if let Some(quota) = room.quota_bytes { " of " (bytes(quota)) }
                }
            }
            table {
                thead { tr { th { "Member" } th { "Host" } th { "Slots" } th { "Since" } th { "Version" } th { "Config" } } }
                tbody {
                    @for (member, about) in members {
                        tr {
                            td { (member.member) }
                            td { (about.host) }
                            td { (standing.reading.status.slots_of(member)) }
                            td { (since(about).map(|since| ago(since, now)).unwrap_or_default()) }
                            td { (about.version) }
                            td { (short_digest(about)) }
                        }
                    }
                }
            }
        }
    }
}

/// The APIs that other members run.
pub(super) fn elsewhere(snapshot: &Snapshot, now: DateTime<Utc>) -> Markup {
    let Some(standing) = snapshot.cluster.as_ref().filter(|standing| !standing.elsewhere.is_empty()) else {
        return html! {};
    };
    html! {
        section #elsewhere {
            h2 { (counted(standing.elsewhere.len() as u64, "API")) " on other members" }
            table {
                thead { tr { th { "API" } th { "Member" } th { "Last iteration" } th { "Newest event" } th { "Error" } } }
                tbody {
                    @for (name, owner) in standing.elsewhere.iter().take(ELSEWHERE_MAX) {
                        @let account = standing.reading.accounts.get(name);
                        tr {
                            td { (name) }
                            td { (owner_name(owner.as_ref())) }
                            td { (account.and_then(|account| account.last).map(|at| ago(at, now)).unwrap_or_default()) }
                            td { (checkpoint(account).map(|at| ago(at, now)).unwrap_or_default()) }
                            td { (account.and_then(|account| account.error.as_deref()).unwrap_or_default()) }
                        }
                    }
                }
            }
            @if standing.elsewhere.len() > ELSEWHERE_MAX {
                p .faint { "and " (counted((standing.elsewhere.len() - ELSEWHERE_MAX) as u64, "other")) }
            }
        }
    }
}

fn owner_name(owner: Option<&MemberId>) -> &str {
    owner.map_or("nobody", |owner| owner.member.as_str())
}

fn checkpoint(account: Option<&AccountSummary>) -> Option<DateTime<Utc>> {
    account.and_then(|account| account.checkpoint)
}

fn since(about: &AboutMember) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(about.since, 0)
}

/// As much of a digest as tells two configs apart.
fn short_digest(about: &AboutMember) -> String {
    about.config.chars().take(8).collect()
}

/// The cluster, for programs.
#[derive(Serialize)]
pub(super) struct ClusterJson<'s> {
    name: &'s str,
    member: &'s str,
    suspended: bool,
    lease_remaining_seconds: f64,
    read: Option<String>,
    slots_held: usize,
    slots_orphaned: usize,
    troubles: Vec<String>,
    members: Vec<MemberJson<'s>>,
    elsewhere: Vec<ElsewhereJson<'s>>,
    database_bytes: Option<u64>,
    database_quota_bytes: Option<u64>,
    remembered_bytes: u64,
    remembered_max_bytes: u64,
}

#[derive(Serialize)]
struct MemberJson<'s> {
    name: &'s str,
    host: &'s str,
    version: &'s str,
    config: String,
    since: Option<String>,
    slots: usize,
}

/// An API that another member runs.
#[derive(Serialize)]
struct ElsewhereJson<'s> {
    api: &'s str,
    member: Option<&'s str>,
    last_iteration: Option<String>,
    error: Option<&'s str>,
    newest_event: Option<String>,
}

impl<'s> ClusterJson<'s> {
    pub(super) fn of(standing: &'s ClusterStanding) -> Self {
        let reading = &standing.reading;
        let member = |(member, about): &'s (MemberId, AboutMember)| MemberJson {
            name: &member.member,
            host: &about.host,
            version: &about.version,
            config: short_digest(about),
            since: since(about).map(second),
            slots: reading.status.slots_of(member),
        };
        let elsewhere = |(api, owner): &'s (String, Option<MemberId>)| {
            let account = reading.accounts.get(api);
            ElsewhereJson {
                api,
                member: owner.as_ref().map(|owner| owner.member.as_str()),
                last_iteration: account.and_then(|account| account.last).map(second),
                error: account.and_then(|account| account.error.as_deref()),
                newest_event: checkpoint(account).map(second),
            }
        };
        Self {
            name: &standing.name,
            member: &standing.me.member,
            suspended: standing.is_suspended,
            lease_remaining_seconds: standing.lease_left.as_secs_f64(),
            read: reading.read_at.map(second),
            slots_held: standing.slots_held(),
            slots_orphaned: reading.status.orphaned,
            troubles: standing.troubles(),
            members: reading.status.members.iter().map(member).collect(),
            elsewhere: standing.elsewhere.iter().map(elsewhere).collect(),
            database_bytes: reading.room.map(|room| room.database_bytes),
            database_quota_bytes: reading.room.and_then(|room| room.quota_bytes),
            remembered_bytes: standing.totals.remembered_bytes,
            remembered_max_bytes: remembered_share(standing.slots_held()),
        }
    }
}
