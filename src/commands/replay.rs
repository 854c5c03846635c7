//! `replay`: a cassette through the real pipeline. Opens no other file and no socket.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::Exit;
use crate::cassette::{
    CASSETTE_BYTES_MAX, Cassette, CassetteError, PlayOutcome, difference_in_words, play, summary_in_words,
};
use crate::process::stop::Stop;

/// Plays it: what would be shipped goes to stdout, what happened to stderr.
pub(super) async fn replay(path: PathBuf, fill: bool, stop: Stop) -> Exit {
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    let text = match read {
        Ok(Ok(text)) => text,
        Ok(Err(cause)) => {
            tracing::error!(%cause, "{shown} can't be read");
            return Exit::Config;
        }
        Err(_) => return Exit::Failed,
    };
    let cassette = match Cassette::parse(&text) {
        Ok(cassette) if fill => cassette.without_requests(),
        Ok(cassette) => cassette,
        Err(cause) => {
            tracing::error!(%cause, "{shown} can't be replayed");
            return Exit::Config;
        }
    };
    let played = tokio::select! {
        played = play(&cassette) => played,
        () = stop.requested() => return Exit::Failed,
    };
    let played = match played {
        Ok(played) => played,
        Err(cause) => {
            tracing::error!(%cause, "{shown} can't be replayed");
            return Exit::Config;
        }
    };
    let printed = if fill { filled(&cassette, &played) } else { Ok(played.shipped.clone()) };
    match printed {
        // A reader that has gone away wants no more.
        Ok(printed) => drop(std::io::stdout().lock().write_all(&printed)),
        Err(cause) => tracing::error!(%cause, "{shown} can't be written"),
    }
    let _ = std::io::stderr().lock().write_all(summary_in_words(&cassette, &played).as_bytes());
    match difference_in_words(&cassette, &played) {
        // What is filled in says how many records there are.
        _ if fill && played.is_whole() => Exit::Clean,
        None => Exit::Clean,
        Some(difference) => {
            let _ = writeln!(std::io::stderr().lock(), "{difference}");
            Exit::Failed
        }
    }
}

/// The cassette with the requests that were made.
fn filled(cassette: &Cassette, played: &PlayOutcome) -> Result<Vec<u8>, CassetteError> {
    let shipped: Vec<u64> = played.iterations.iter().map(|iteration| iteration.shipped).collect();
    Ok(cassette.filled(&played.made, &shipped)?.to_text()?.into_bytes())
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CASSETTE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CASSETTE_BYTES_MAX {
        let what = format!("it is larger than {CASSETTE_BYTES_MAX} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, what));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))
}
