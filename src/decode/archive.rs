//! Gzip and zip files. What comes out of them is counted before it is kept.

use std::io::{self, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use rawzip::{CompressionMethod, ZipArchive, ZipSliceArchive, ZipSliceEntry};

use super::{Budget, DecodeError, ENTRIES_MAX};

/// How much is opened at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// A kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Archive {
    /// RFC 1952; one file.
    Gzip,
    /// PKWARE's; any number of files.
    Zip,
}

impl Archive {
    /// What a body is by its first bytes; `None` where it is no archive.
    pub(super) fn of(body: &[u8]) -> Option<Self> {
        match body {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // The first file, or the end of an archive without any.
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            _ => None,
        }
    }
}

/// Opens a gzip file; one behind the other they are one file.
pub(super) fn gunzip(body: &[u8], budget: &mut Budget) -> Result<Vec<u8>, DecodeError> {
    open(MultiGzDecoder::new(body), budget, "gzip")
}

/// A file in a zip file.
pub(super) struct ZippedFile<'a> {
    /// The first is 1.
    pub(super) number: usize,
    pub(super) name: &'a [u8],
    entry: ZipSliceEntry<'a>,
    method: CompressionMethod,
    is_encrypted: bool,
}

/// Finds the list of files at the end of a zip file.
pub(super) fn zip(body: &[u8]) -> Result<ZipSliceArchive<&[u8]>, DecodeError> {
    ZipArchive::from_slice(body).map_err(|error| damaged(&error, true))
}

/// The files of a zip file in their order.
pub(super) fn files<'a>(archive: &'a ZipSliceArchive<&'a [u8]>) -> Result<Vec<ZippedFile<'a>>, DecodeError> {
    let damaged = |error: rawzip::Error| damaged(&error, false);
    let mut entries = archive.entries();
    let (mut files, mut count) = (Vec::new(), 0_usize);
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        count += 1;
        if count > ENTRIES_MAX {
            return Err(DecodeError::TooManyEntries);
        }
        if entry.is_dir() {
            continue;
        }
        files.push(ZippedFile {
            number: files.len() + 1,
            name: entry.file_path().as_bytes(),
            entry: archive.get_entry(entry.wayfinder()).map_err(damaged)?,
            method: entry.compression_method(),
            is_encrypted: entry.flags().is_encrypted(),
        });
    }
    if count as u64 != archive.entries_hint() {
        let cause = format!("it lists {count} entries, but has {}", archive.entries_hint());
        return Err(DecodeError::Damaged { archive: "zip", cause, is_cut: false });
    }
    Ok(files)
}

impl ZippedFile<'_> {
    /// What is in it.
    pub(super) fn open(&self, budget: &mut Budget) -> Result<Vec<u8>, DecodeError> {
        let data = self.entry.data();
        match self.method {
            _ if self.is_encrypted => Err(DecodeError::Encrypted),
            CompressionMethod::STORE => open(self.entry.verifying_reader(data), budget, "zip"),
            CompressionMethod::DEFLATE => open(self.entry.verifying_reader(DeflateDecoder::new(data)), budget, "zip"),
            method => Err(DecodeError::Method { method: method.as_u16() }),
        }
    }
}

/// Reads to the end. Memory is taken as the bytes come, and never more than the budget has.
fn open(mut reader: impl Read, budget: &mut Budget, archive: &'static str) -> Result<Vec<u8>, DecodeError> {
    let (mut opened, max) = (Vec::new(), budget.left());
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => return Ok(opened),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
                return Err(DecodeError::Damaged { archive, cause: error.to_string(), is_cut });
            }
        };
        budget.take(read)?;
        let needed = opened.len() + read;
        if needed > opened.capacity() {
            let doubled = opened.capacity().saturating_mul(2).max(needed).min(max);
            opened.reserve_exact(doubled.saturating_sub(opened.len()));
        }
        opened.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}

fn damaged(error: &rawzip::Error, is_cut: bool) -> DecodeError {
    DecodeError::Damaged { archive: "zip", cause: error.to_string(), is_cut }
}
