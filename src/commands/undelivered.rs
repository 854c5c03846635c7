//! `undelivered`: looking at records that could not be delivered, sending them again, discarding them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;

use super::run::{hold, read};
use super::{Exit, StateFolder, ask, print};
use crate::cli::UndeliveredCommand;
use crate::cluster::SendLeave;
use crate::http::{Timeouts, clients};
use crate::process::stop::{Recall, Stop};
use crate::record::{FingerprintSet, RecordKey};
use crate::retry;
use crate::ship::{
    Batch, Batcher, DeadLetterFile, KeptLine, Listener, MayHaveRecord, Packed, Pieces, ShipError, Shipper, Tally,
    UNDELIVERED_FILE_NAME, cant_compress, read_kept, rewrite_kept,
};
use crate::text::humanize::{bytes, counted};

/// How many characters of a record are shown.
const RECORD_CHARS_MAX: usize = 300;
/// How many reasons of an API are named.
const REASONS_MAX: usize = 3;

/// Does what the command says.
pub(super) async fn undelivered(config: PathBuf, command: Option<UndeliveredCommand>, stop: Stop) -> Exit {
    let directory = StateFolder::of(&config).path;
    let done = match command.unwrap_or(UndeliveredCommand::Show { name: None }) {
        UndeliveredCommand::Show { name: None } => summarize(&directory),
        UndeliveredCommand::Show { name: Some(name) } => show(&directory, &name),
        UndeliveredCommand::Drop { name, yes } => discard(&directory, name.as_deref(), yes),
        UndeliveredCommand::Resend { name, all } => return resend(&config, name.as_deref(), all, stop).await,
    };
    done.unwrap_or_else(|cause| {
        tracing::error!(%cause, "{UNDELIVERED_FILE_NAME} can't be read or written");
        Exit::Failed
    })
}

/// What is known of one API's lines.
#[derive(Default)]
struct Summary {
    lines: u64,
    bytes: u64,
    taken_in_part: u64,
    without_record: u64,
    first: String,
    last: String,
    reasons: BTreeMap<String, u64>,
}

impl Summary {
    fn add(&mut self, kept: KeptLine<'_>) {
        self.lines += 1;
        self.bytes += kept.bytes as u64;
        self.taken_in_part += u64::from(kept.taken == MayHaveRecord::InPart);
        self.without_record += u64::from(kept.record.is_none());
        if self.first.is_empty() {
            self.first.clone_from(&kept.time);
        }
        self.last = kept.time;
        *self.reasons.entry(kept.reason).or_default() += 1;
    }

    fn print(&self, api: &str) {
        print(&format!("{api}\n  records     {} ({}), {} to {}", self.lines, bytes(self.bytes), self.first, self.last));
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons.iter().take(REASONS_MAX) {
            print(&format!("  reason      {count} × {reason}"));
        }
        if reasons.len() > REASONS_MAX {
            print(&format!("  reason      and {} more", reasons.len() - REASONS_MAX));
        }
        if self.taken_in_part > 0 {
            print(&format!(
                "  in part     {} of batches that the listener took in part; `resend --all` may double some of them",
                counted(self.taken_in_part, "record")
            ));
        }
        if self.without_record > 0 {
            print(&format!(
                "  no record   {} with id, date and hash alone: the file was full, and the record can't be sent",
                counted(self.without_record, "line")
            ));
        }
    }
}

fn summarize(directory: &Path) -> std::io::Result<Exit> {
    let (mut apis, mut unreadable) = (BTreeMap::<String, Summary>::new(), 0_u64);
    read_kept(directory, |_, kept| {
        match kept {
            Some(kept) => apis.entry(kept.api.clone()).or_default().add(kept),
            None => unreadable += 1,
        }
        Ok(())
    })?;
    if apis.is_empty() {
        print("Nothing is undelivered.");
    }
    apis.iter().for_each(|(api, summary)| summary.print(api));
    if unreadable > 0 {
        print(&format!("{} of {UNDELIVERED_FILE_NAME} can't be read; they stay there.", counted(unreadable, "line")));
    }
    Ok(Exit::Clean)
}

fn show(directory: &Path, name: &str) -> std::io::Result<Exit> {
    let mut apis = BTreeSet::new();
    read_kept(directory, |_, kept| {
        if let Some(kept) = kept {
            if kept.api == name {
                let record = kept.record.unwrap_or("(no record: the file was full)");
                let shown: String = record.chars().take(RECORD_CHARS_MAX).collect();
                let cut = if shown.len() < record.len() { " …" } else { "" };
                print(&format!("{}  {}\n  {shown}{cut}", kept.time, kept.reason));
            }
            apis.insert(kept.api);
        }
        Ok(())
    })?;
    Ok(if apis.contains(name) { Exit::Clean } else { unknown(name, &apis) })
}

fn unknown(name: &str, apis: &BTreeSet<String>) -> Exit {
    let there_are = if apis.is_empty() { "none".to_owned() } else { Vec::from_iter(apis.iter().cloned()).join(", ") };
    tracing::error!(there_are, "nothing is undelivered of an API `{name}`");
    Exit::Config
}

fn discard(directory: &Path, name: Option<&str>, yes: bool) -> std::io::Result<Exit> {
    // The lock first: while a fetcher runs, it writes there.
    let _taken = match hold(directory) {
        Ok(taken) => taken,
        Err(exit) => return Ok(exit),
    };
    let (mut lines, mut apis) = (0_u64, BTreeSet::new());
    read_kept(directory, |_, kept| {
        if let Some(kept) = kept {
            lines += u64::from(name.is_none_or(|name| name == kept.api));
            apis.insert(kept.api);
        }
        Ok(())
    })?;
    if lines == 0 {
        return Ok(match name {
            Some(name) => unknown(name, &apis),
            None => {
                print("Nothing is undelivered.");
                Exit::Clean
            }
        });
    }
    let question = || format!("Discard {} for good?", counted(lines, "undelivered record"));
    if !yes && ask(&question()) != Some(true) {
        print("Nothing was discarded. Without a terminal, confirm with --yes.");
        return Ok(Exit::Failed);
    }
    rewrite_kept(directory, |kept| name.is_some_and(|name| name != kept.api), None)?;
    print(&format!("Discarded {}.", counted(lines, "record")));
    Ok(Exit::Clean)
}

/// What came of sending.
#[derive(Default)]
struct ResendCounts {
    /// The lines that are done: acknowledged, or kept anew with another reason.
    done: FingerprintSet,
    records: u64,
    refused: u64,
}

async fn resend(config: &Path, name: Option<&str>, all: bool, stop: Stop) -> Exit {
    let directory = StateFolder::of(config).path;
    let _taken = match hold(&directory) {
        Ok(taken) => taken,
        Err(exit) => return exit,
    };
    let listeners = match read(config) {
        Ok((config, _)) => match clients(&config.extra_roots, Timeouts::default()) {
            Ok(clients) => Listener::all(&clients.usual, &config.outputs),
            Err(error) => {
                tracing::error!(cause = %error, "the listener can't be asked");
                return Exit::Config;
            }
        },
        Err(exit) => return exit,
    };
    match resend_to(&directory, &listeners, name, all, stop).await {
        Ok(exit) => exit,
        Err(cause) => {
            tracing::error!(%cause, "{UNDELIVERED_FILE_NAME} can't be read or written");
            Exit::Failed
        }
    }
}

/// Sends what may be sent, API by API, and writes the file anew with what is left.
async fn resend_to(
    directory: &Path,
    listeners: &[Arc<Listener>],
    name: Option<&str>,
    all: bool,
    stop: Stop,
) -> std::io::Result<Exit> {
    let (mut apis, mut outputs) = (BTreeSet::new(), BTreeSet::new());
    read_kept(directory, |_, kept| {
        if let Some(kept) = kept {
            apis.insert(kept.api);
            outputs.insert(kept.output);
        }
        Ok(())
    })?;
    if let Some(name) = name.filter(|name| !apis.contains(*name)) {
        return Ok(unknown(name, &apis));
    }
    // What is refused again goes there first: the file itself is written once, at the end.
    let refused_again = tempfile_in(directory)?;
    let mut sent = ResendCounts::default();
    let mut failed = None;
    for listener in listeners.iter().filter(|listener| outputs.remove(listener.name().as_str())) {
        // What one output doesn't take says nothing about the others.
        for api in apis.iter().filter(|api| name.is_none_or(|name| name == api.as_str())) {
            let (listener, undelivered) = (Arc::clone(listener), DeadLetterFile::new(&refused_again));
            let (stop, api, tally) = (stop.clone(), api.clone(), Arc::<Tally>::default());
            let (leave, recall) = (SendLeave::always(), Recall::never());
            let (retries, gives_way) = (retry::LISTENER, None);
            let shipper = Shipper { listener, undelivered, stop, leave, recall, api, tally, retries, gives_way };
            if let Err(error) = resend_api(directory, &shipper, all, &mut sent).await? {
                failed = Some(error);
                break;
            }
        }
    }
    for output in &outputs {
        tracing::warn!(output, "no output of the config has this name, so its records stay in the file");
    }
    rewrite_kept(directory, |kept| !sent.done.contains(&kept.place), Some(&refused_again))?;
    std::fs::remove_dir_all(&refused_again)?;
    let mut left = 0_u64;
    read_kept(directory, |_, kept| {
        left += u64::from(kept.is_some_and(|kept| name.is_none_or(|name| name == kept.api)));
        Ok(())
    })?;
    print(&format!("Sent {}; {} still undelivered.", counted(sent.records, "record"), left));
    if let Some(error) = failed {
        tracing::error!(cause = %error, advice = error.hint(), "the listener did not take the rest, which stays in the file");
        return Ok(Exit::Failed);
    }
    if left > sent.refused && !all {
        print("Records of batches that were taken in part are sent with --all; some may arrive twice then.");
    }
    Ok(if left == 0 { Exit::Clean } else { Exit::Failed })
}

fn tempfile_in(directory: &Path) -> std::io::Result<PathBuf> {
    let path = directory.join(".undelivered.resend");
    match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir(&path)?,
    }
    Ok(path)
}

/// Sends the records of one API, batch by batch. The inner error is the listener's.
async fn resend_api(
    directory: &Path,
    shipper: &Shipper,
    all: bool,
    sent: &mut ResendCounts,
) -> std::io::Result<Result<(), ShipError>> {
    let (mut batcher, mut batches) = (Batcher::default(), Vec::new());
    read_kept(directory, |_, kept| {
        let is_its = |kept: &KeptLine<'_>| kept.api == shipper.api && kept.output == shipper.listener.name().as_str();
        let Some(kept) = kept.filter(is_its) else { return Ok(()) };
        let (Some(record), true) = (kept.record, all || kept.taken == MayHaveRecord::No) else { return Ok(()) };
        let identity = RecordKey { fingerprint: kept.place, date: None };
        // One that is too long for the listener stays where it is.
        if let Ok(full) = batcher.push(|line| line.extend_from_slice(record.as_bytes()), identity) {
            batches.extend(full);
        }
        Ok(())
    })?;
    batches.extend(batcher.finish());
    for batch in batches {
        if let Err(error) = send(shipper, batch, sent).await {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

async fn send(shipper: &Shipper, batch: Batch, sent: &mut ResendCounts) -> Result<(), ShipError> {
    let now = Utc::now();
    let Packed { batch, body } = shipper.listener.compression().pack(batch).await.map_err(cant_compress)?;
    let mut pieces = Pieces::of(Packed { batch, body });
    while let Some(done) = shipper.ship_next(&mut pieces, now).await? {
        if let Some(reason) = &done.refused {
            shipper.keep(&done.piece, now, reason).await?;
        }
        sent.records += done.shipped.records;
        sent.refused += done.shipped.set_aside;
        sent.done.extend(done.piece.identities().map(|identity| identity.fingerprint));
    }
    Ok(())
}
