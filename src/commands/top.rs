//! `top`: asks the running fetcher again and again, and owns the terminal; `top` (the module) makes the lines.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use chrono::Utc;
use ratatui::crossterm::event::{self, Event};
use reqwest::{Client, Url};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Exit, StateFolder, print};
use crate::http::{self, Timeouts};
use crate::process::stop::{Stop, Waited};
use crate::state::{StateOrder, StateReply, ask_running};
use crate::text::Redactor;
use crate::top::{AfterKey, PrintableText, ReceivedStatus, TopView, draw, table};

/// How often the fetcher is asked.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// How long a key is waited for before the screen is drawn again.
const DRAWN_EVERY: Duration = Duration::from_millis(250);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The largest answer that is read: room for far more than 10,000 APIs.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long the terminal may take to be left as it was, after a signal.
const LEFT_WITHIN: Duration = Duration::from_secs(1);

/// Who is asked.
#[derive(Clone, Debug)]
enum Source {
    /// The fetcher that runs on this directory.
    Directory(PathBuf),
    /// Whoever answers there.
    Url(Client, Url),
}

/// What became of a question.
type StatusAnswer = Result<ReceivedStatus, String>;

pub(super) async fn top(config: &Path, url: Option<Url>, stop: Stop) -> Exit {
    let source = match Source::of(config, url) {
        Ok(source) => source,
        Err(cause) => {
            tracing::error!(%cause, "can't start");
            return Exit::Config;
        }
    };
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return print_once(&source, &stop).await;
    }
    // One answer may wait to be drawn; a later one is another two seconds away.
    let (answers, answered) = sync_channel(1);
    let asking = tokio::spawn(keep_asking(source, answers, stop.clone()));
    let until = stop.clone();
    let shown = spawn_blocking(move || show(&answered, &until));
    let ended = tokio::select! {
        ended = shown => ended.unwrap_or_else(|ended| Err(ended.into())),
        () = async { stop.requested().await; tokio::time::sleep(LEFT_WITHIN).await } => Ok(()),
    };
    asking.abort();
    match ended {
        Ok(()) => Exit::Clean,
        Err(cause) => {
            tracing::error!(%cause, "the terminal can't be used");
            Exit::Failed
        }
    }
}

/// Prints the table.
async fn print_once(source: &Source, stop: &Stop) -> Exit {
    let answer = tokio::select! {
        answer = source.ask() => answer,
        () = stop.requested() => return Exit::Failed,
    };
    match answer {
        Ok(status) => {
            print(&table(&status));
            Exit::Clean
        }
        Err(cause) => {
            tracing::error!(%cause, "there is no table to show");
            Exit::Failed
        }
    }
}

async fn keep_asking(source: Source, answers: SyncSender<StatusAnswer>, stop: Stop) {
    loop {
        // Where nobody draws, as the terminal is stopped, the answer is old before it is seen.
        let _ = answers.try_send(source.ask().await);
        if stop.wait(ASKED_EVERY).await != Waited::Whole {
            return;
        }
    }
}

/// Draws until the reader quits or a signal comes, and leaves the terminal as it was.
fn show(answered: &Receiver<StatusAnswer>, stop: &Stop) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let ended = draw_until_quit(&mut terminal, answered, stop);
    ratatui::try_restore()?;
    ended
}

fn draw_until_quit(
    terminal: &mut ratatui::DefaultTerminal,
    answered: &Receiver<StatusAnswer>,
    stop: &Stop,
) -> io::Result<()> {
    let mut view = TopView::default();
    while !stop.is_requested() {
        if let Ok(answer) = answered.try_recv() {
            view.answer(answer, Utc::now());
        }
        view.resize(terminal.size()?.height);
        terminal.draw(|frame| draw(&view, frame, Utc::now()))?;
        if event::poll(DRAWN_EVERY)?
            && let Event::Key(key) = event::read()?
            && view.press(key) == AfterKey::Quit
        {
            break;
        }
    }
    Ok(())
}

impl Source {
    fn of(config: &Path, url: Option<Url>) -> Result<Self, http::ClientError> {
        let Some(mut url) = url else { return Ok(Self::Directory(StateFolder::of(config).path)) };
        if !url.path().ends_with("/status.json") {
            let path = format!("{}/status.json", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let timeouts = Timeouts { connect: ANSWER_WITHIN, idle: ANSWER_WITHIN, whole: ANSWER_WITHIN };
        Ok(Self::Url(http::client(&[], timeouts)?, url))
    }

    /// Asks. A cause may hold what a server said, and reaches the terminal as any other text does.
    async fn ask(&self) -> StatusAnswer {
        let answer = self.text().await.and_then(|text| ReceivedStatus::parse(&text).map_err(|cause| cause.to_string()));
        answer.map_err(|cause| PrintableText::from(cause).to_string())
    }

    async fn text(&self) -> Result<String, String> {
        match self {
            Self::Url(client, url) => get(client, url).await,
            Self::Directory(directory) => {
                let directory = directory.clone();
                // The disk may hang, where the socket is.
                let asked = spawn_blocking(move || status_on(&directory));
                match timeout(ANSWER_WITHIN, asked).await {
                    Ok(answer) => answer.map_err(|ended| ended.to_string())?,
                    Err(_) => Err(format!("the fetcher does not answer within {} s", ANSWER_WITHIN.as_secs())),
                }
            }
        }
    }
}

/// Asks the fetcher that runs on a directory, through the socket that only the directory's owner may use.
fn status_on(directory: &Path) -> Result<String, String> {
    let nobody =
        || format!("no fetcher runs on {} (or its file system has no sockets: then use --url)", directory.display());
    match ask_running(directory, &StateOrder::Status) {
        Ok(Some(StateReply { code: 0, text, .. })) => Ok(text),
        Ok(Some(reply)) => Err(reply.error.unwrap_or(reply.text)),
        Ok(None) => Err(nobody()),
        Err(cause) => Err(format!("the fetcher on {} does not answer: {cause}", directory.display())),
    }
}

/// The text of an answer. Causes don't name the URL, which may hold a password.
async fn get(client: &Client, url: &Url) -> Result<String, String> {
    let told = |cause: reqwest::Error| format!("--url doesn't answer: {}", http::cause(&cause, &Redactor::new([])));
    let mut response = client.get(url.clone()).send().await.map_err(told)?;
    if !response.status().is_success() {
        return Err(format!("--url answered {}; it should be the address of the status page", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(format!("--url answered more than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_that_of_the_page_or_of_the_json() {
        for (given, asked) in [
            ("http://localhost:8080", "http://localhost:8080/status.json"),
            ("http://localhost:8080/", "http://localhost:8080/status.json"),
            ("https://status.example/fetcher/", "https://status.example/fetcher/status.json"),
            ("https://status.example/status.json", "https://status.example/status.json"),
        ] {
            match Source::of(Path::new("config.yaml"), Some(Url::parse(given).unwrap())).unwrap() {
                Source::Url(_, url) => assert_eq!(url.as_str(), asked),
                Source::Directory(_) => panic!("{given}"),
            }
        }
    }
}
