//! What a member reads in the keys of others.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{AGAIN_AFTER, AboutMember, MemberWork, SlotEvent};
use crate::cluster::client::EngineWatch;
use crate::cluster::engine::{ABSENT, EngineEntry, EngineError};
use crate::cluster::forms::EntryForms;
use crate::cluster::keys::ClusterKeys;
use crate::cluster::leave::since_boot;
use crate::cluster::pause::{ToldPause, decode_wait};
use crate::cluster::slot::{MemberId, Slot};

/// How long the cluster can't be watched before the log has it: when the engine is away for a moment, other lines tell that.
const UNWATCHED_TOLD_AFTER: Duration = Duration::from_secs(10);

impl MemberWork {
    /// An entry has changed.
    pub(super) fn see_entry(&mut self, entry: &EngineEntry, now: Duration) {
        if let Some(slot) = self.of.keys.slot_in(&entry.key) {
            match owner_of(entry) {
                Some(owner) => self.view.slot_taken(slot, owner, entry.written_at, now),
                None => tracing::warn!(%slot, "the owner of a slot can't be read; another version wrote it"),
            }
            return;
        }
        self.hear(entry);
        if let Some(member) = self.of.keys.member_in(&entry.key) {
            self.view.member_came(member, about(entry).standing, now);
        }
    }

    /// Takes over what an entry says besides who lives and who owns what.
    fn hear(&mut self, entry: &EngineEntry) {
        if let Some(member) = self.of.keys.member_in(&entry.key) {
            let AboutMember { declined, reach, .. } = about(entry);
            self.view.member_reaches(&member, reach);
            self.view.member_declines(&member, declined);
        } else if let Some(member) = self.of.keys.forms_in(&entry.key) {
            self.view.forms_came(member, EntryForms::decode(&entry.value));
        } else if let Some(host) = self.of.keys.pause_in(&entry.key)
            && let wait @ Some(_) = decode_wait(&entry.value)
        {
            self.hear_pause(ToldPause { host, wait });
        }
    }

    /// Reads everything, and watches what changes from there. What was read counts even where no watch can be opened.
    pub(super) async fn read(&mut self) -> Result<EngineWatch, EngineError> {
        let revision = self.read_keys().await?;
        self.of.engine.watch(self.of.keys.membership(), revision).await
    }

    /// Reads everything. Gives up to which revision.
    async fn read_keys(&mut self) -> Result<i64, EngineError> {
        let (entries, revision) = self.of.engine.read(&self.of.keys.membership()).await?;
        let keys = &self.of.keys;
        let members = entries.iter().filter_map(|entry| Some((keys.member_in(&entry.key)?, about(entry).standing)));
        self.view.read(members.collect(), owners(keys, &entries), revision, since_boot());
        let own = keys.member(&self.of.me);
        // An earlier word of ours that came through late.
        let is_of_before = |entry: &EngineEntry| entry.key == own && self.is_of_before(entry);
        self.is_unsaid |= entries.iter().any(is_of_before);
        // A wait is counted from when it is heard: what was heard before isn't heard again.
        let heard_to = self.heard_to;
        let is_heard = |entry: &&EngineEntry| {
            entry.written_at <= heard_to && heard_to != ABSENT && self.of.keys.pause_in(&entry.key).is_some()
        };
        let unheard: Vec<&EngineEntry> = entries.iter().filter(|entry| !is_heard(entry)).collect();
        unheard.into_iter().for_each(|entry| self.hear(entry));
        // What was rung for while nobody listened. Before the first reading nothing was ours.
        let is_missed = |entry: &&EngineEntry| heard_to != ABSENT && entry.written_at > heard_to;
        let bells = entries.iter().filter(is_missed).filter_map(|entry| self.of.keys.bell_in(&entry.key));
        bells.for_each(|lane| self.tell(SlotEvent::Edited(lane)));
        (self.heard_to, self.read_to) = (revision, revision);
        Ok(revision)
    }

    /// Whether the own key says something else than this process does now.
    pub(super) fn is_of_before(&self, own: &EngineEntry) -> bool {
        own.lease != self.lease || own.value != self.told()
    }

    /// Reads everything where the watch has ended, and begins to open another one. A key of our own that is gone is put again.
    pub(super) async fn read_again(&mut self, unwatched: &mut Unwatched) {
        let read = self.read_keys().await;
        unwatched.tried(read.is_ok(), since_boot());
        match read {
            Err(cause) => unwatched.tell(&cause, since_boot()),
            Ok(revision) => {
                if !self.view.members().contains_key(&self.of.me) {
                    self.register_again(None).await;
                }
                let (engine, range) = (self.of.engine.clone(), self.of.keys.membership());
                let open = || async move { engine.watch(range, revision).await }.boxed();
                unwatched.opening.get_or_insert_with(open);
            }
        }
    }
}

/// What a member without a watch does to have one again.
#[derive(Default)]
pub(super) struct Unwatched {
    /// When it was first tried.
    since: Option<Duration>,
    /// Whether the keys couldn't be read either, at the last try.
    is_stale: bool,
    /// When it is read again.
    again_at: Option<Instant>,
    /// The watch that is about to be opened: that may take much longer than to read.
    opening: Option<BoxFuture<'static, Result<EngineWatch, EngineError>>>,
    is_told: bool,
}

impl Unwatched {
    /// It was tried to read.
    fn tried(&mut self, is_read: bool, now: Duration) {
        self.since.get_or_insert(now);
        self.is_stale = !is_read;
        self.again_at = Some(Instant::now() + AGAIN_AFTER);
    }

    /// Whether what is known isn't what is so now.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// When it is to be read again.
    pub(super) fn again_at(&self) -> Instant {
        self.again_at.unwrap_or_else(Instant::now)
    }

    /// The watch, once it is opened, and what it tells is new again. Where none is about to be, it waits for ever.
    pub(super) async fn opened(&mut self) -> EngineWatch {
        loop {
            let Some(opening) = &mut self.opening else { return std::future::pending().await };
            let opened = opening.await;
            self.opening = None;
            match opened {
                Ok(watch) => {
                    if std::mem::take(self).is_told {
                        tracing::info!("the cluster is read again");
                    }
                    return watch;
                }
                Err(cause) => self.tell(&cause, since_boot()),
            }
        }
    }

    /// Whether it lasts so long that the log is to have it: once.
    fn is_to_be_told(&mut self, now: Duration) -> bool {
        let is_long = self.since.is_some_and(|since| now.saturating_sub(since) >= UNWATCHED_TOLD_AFTER);
        is_long && !std::mem::replace(&mut self.is_told, true)
    }

    /// Has the log say it where it lasts.
    fn tell(&mut self, cause: &EngineError, now: Duration) {
        if !self.is_to_be_told(now) {
            tracing::debug!(%cause, "the cluster can't be read, or not be watched");
        } else if self.is_stale {
            tracing::warn!(
                %cause,
                "the cluster can't be read, so this member takes nothing over and hears of no orders until it can; it goes on \
                 trying"
            );
        } else {
            tracing::warn!(
                %cause,
                "changes in the cluster can't be watched, so this member reads it again and again; it goes on trying"
            );
        }
    }
}

/// Who owns which slot, and since which revision.
pub(super) fn owners(keys: &ClusterKeys, entries: &[EngineEntry]) -> BTreeMap<Slot, (MemberId, i64)> {
    let owner = |entry: &EngineEntry| Some((keys.slot_in(&entry.key)?, (owner_of(entry)?, entry.written_at)));
    entries.iter().filter_map(owner).collect()
}

/// Who owns a slot, as its key says.
pub(in crate::cluster) fn owner_of(entry: &EngineEntry) -> Option<MemberId> {
    std::str::from_utf8(&entry.value).ok()?.parse().ok()
}

/// What a member says of itself. Of one that says nothing readable it is taken that it is willing.
pub(in crate::cluster) fn about(entry: &EngineEntry) -> AboutMember {
    serde_json::from_slice(&entry.value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_it_is_not_watched_is_told_once_when_it_lasts() {
        let mut unwatched = Unwatched::default();
        assert!(!unwatched.is_to_be_told(Duration::from_secs(99)), "it was never tried");
        unwatched.tried(false, Duration::from_secs(100));
        assert!(unwatched.is_stale());
        for (second, is_told) in [(100, false), (109, false), (110, true), (111, false), (500, false)] {
            unwatched.tried(true, Duration::from_secs(second));
            assert_eq!(unwatched.is_to_be_told(Duration::from_secs(second)), is_told, "at {second}");
        }
        assert!(!unwatched.is_stale(), "it could be read");
    }
}
