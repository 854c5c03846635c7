//! `demo`: the fetcher between mock servers, killed in the middle and started again, and a count of what arrived.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::run::{Assembled, assemble};
use super::{Exit, is_colored, print};
use crate::config::{self, Environment};
use crate::daemon::Daemon;
use crate::demo::{Arrived, ChildFetcher, DemoServers, Story, large, line};
use crate::process::stop::{Stop, Waited};
use crate::retry;

/// How often new events surface while the demo keeps running.
const SURFACE_EVERY: Duration = Duration::from_secs(2);
/// The time between two iterations, in the config of the demo.
const INTERVAL: &str = "1s";
/// How long the demo waits at most for what it is about to show.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// How long somebody who watches has for what just happened; nobody else is waited for.
const PAUSE: Duration = Duration::from_millis(1_800);
/// How many iterations each API has after the last events surfaced: they come again, and must not arrive again.
const ITERATIONS_AFTER: u64 = 3;

/// A directory that is removed with its owner.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("logzio-api-fetcher-demo-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a part of the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    /// With what it waited for.
    Yes,
    /// Without: the time was over, or the fetcher ended.
    No,
    /// With a signal.
    Stopped,
}

/// Shows the fetcher at work, killed and started again.
pub(super) async fn demo(stop: Stop) -> Exit {
    reported(play(stop).await)
}

/// Keeps running, with new events and a status page, until it is stopped.
pub(super) async fn serve(stop: Stop) -> Exit {
    reported(run(stop).await)
}

fn reported(ended: io::Result<Exit>) -> Exit {
    ended.unwrap_or_else(|cause| {
        tracing::error!(%cause, "the demo can't run");
        Exit::Failed
    })
}

async fn run(stop: Stop) -> io::Result<Exit> {
    let servers = DemoServers::start(now()).await?;
    let directory = TemporaryDirectory::create()?;
    print("A mock Cisco API, a mock Microsoft Graph and a mock Logz.io listener run in this process.");
    print("The log says where the status page is. New events surface every 2 s. Stop it with Ctrl-C.\n");
    let text = format!("status:\n  listen: 127.0.0.1:0\n{}", servers.config("2s"));
    let around = Environment { variable: &|_| None, directory: &directory.0 };
    let Some(config) = config::compile(&text, &around).config else { return Ok(Exit::Config) };
    let Assembled { accounts, services, .. } = match assemble(&config, &directory.0, stop.clone(), retry::ASKED_MAX) {
        Ok(assembled) => assembled,
        Err(exit) => return Ok(exit),
    };
    let (servers, surfacing) = (Arc::new(servers), stop.clone());
    let scene = Arc::clone(&servers);
    let surfaced = tokio::spawn(async move {
        while surfacing.wait(SURFACE_EVERY).await == Waited::Whole {
            scene.surface_events(now());
        }
    });
    // Neither a new config nor an order ever comes.
    let ((_news, readings), (_orders, asked)) = (mpsc::channel(1), mpsc::channel(1));
    Daemon::new(config, Arc::clone(&services), accounts).run(readings, asked).await;
    surfaced.abort();
    stop.until_gone(services.store.close()).await;
    let (arrived, events) = (servers.arrived(), servers.events());
    let duplicates = arrived.duplicates();
    print(&format!(
        "\n{} of {events} events had arrived when it was stopped, {duplicates} duplicates",
        arrived.counts.len()
    ));
    Ok(Exit::Clean)
}

/// In whole seconds, like the dates of the events.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap_or_default()
}

async fn play(stop: Stop) -> io::Result<Exit> {
    // The last to go: what was started must be gone before the directory is.
    let directory = TemporaryDirectory::create()?;
    let servers = DemoServers::start(now()).await?;
    let config = directory.0.join("config.yaml");
    std::fs::write(&config, servers.config(INTERVAL))?;
    let mut demo = Demo { servers, story: Story::default(), stop, teller: Teller::of_stdout() };
    demo.teller.title("Mock APIs (Cisco, Microsoft Graph) and a mock Logz.io listener run here.")?;
    demo.teller.plain("Between them runs the real fetcher, as a process of its own.\n")?;
    let Some(duplicates) = demo.scenes(&config).await? else {
        return Ok(Exit::Failed);
    };
    demo.report(duplicates)
}

/// The demo under way.
struct Demo {
    servers: DemoServers,
    story: Story,
    stop: Stop,
    teller: Teller,
}

impl Demo {
    /// Plays. Returns how many duplicates were left out, or `None` if a signal ended it.
    async fn scenes(&mut self, config: &Path) -> io::Result<Option<u64>> {
        let mut fetcher = self.start(config, "started")?;
        let seen = self.watch(&mut fetcher, |story, _| story.is_in_the_middle()).await;
        if self.ends(seen?, "a part of the records delivered, and a 503")? {
            fetcher.kill().await?;
            return Ok(None);
        }
        self.pause().await;
        fetcher.kill().await?;
        if self.stop.is_requested() {
            return Ok(None);
        }
        let (arrived, events) = (self.servers.arrived().counts.len(), self.servers.events());
        self.teller.title_now(&format!("KILLED (kill -9) in the middle: {arrived} of {events} had arrived"))?;
        self.pause().await;
        if self.stop.is_requested() {
            return Ok(None);
        }

        self.story.turn_page();
        let mut fetcher = self.start(config, "started again")?;
        let seen = self.watch(&mut fetcher, |story, _| story.has_done(1)).await;
        if self.ends(seen?, "the rest of the records")? {
            fetcher.kill().await?;
            return Ok(None);
        }
        self.pause().await;

        let surfaced = self.servers.surface_events(now());
        self.story.turn_page();
        self.teller.title_now(&format!("{surfaced} more events surface, two of them 30 s late"))?;
        // What is missing by then is missing, which the report says.
        let has_all = |story: &Story, servers: &DemoServers| {
            servers.arrived().counts.len() == servers.events() && story.has_done(ITERATIONS_AFTER)
        };
        if self.watch(&mut fetcher, has_all).await? == Watched::Stopped {
            fetcher.kill().await?;
            return Ok(None);
        }
        self.pause().await;
        fetcher.stop().await?;
        self.teller.title_now("stopped")?;
        Ok((!self.stop.is_requested()).then_some(self.story.duplicates))
    }

    fn start(&self, config: &Path, what: &str) -> io::Result<ChildFetcher> {
        let fetcher = ChildFetcher::start(config)?;
        let id = fetcher.id().map(|id| format!(" (process {id})")).unwrap_or_default();
        self.teller.title_now(&format!("the fetcher is {what}{id}"))?;
        Ok(fetcher)
    }

    /// Tells what the fetcher does, until it has done what is waited for.
    async fn watch(
        &mut self,
        fetcher: &mut ChildFetcher,
        is_enough: impl Fn(&Story, &DemoServers) -> bool,
    ) -> io::Result<Watched> {
        let stop = self.stop.clone();
        let told = async {
            while let Some(heard) = fetcher.next_line().await? {
                if let Some(text) = self.story.hear(&heard) {
                    self.teller.tell(heard.time(), &text, heard.is_error())?;
                }
                if is_enough(&self.story, &self.servers) {
                    return Ok(Watched::Yes);
                }
            }
            Ok(Watched::No)
        };
        tokio::select! {
            told = timeout(SEEN_WITHIN, told) => told.unwrap_or(Ok(Watched::No)),
            () = stop.requested() => Ok(Watched::Stopped),
        }
    }

    /// Whether a signal ended the demo. What was waited for and didn't happen is an error.
    fn ends(&self, seen: Watched, what: &str) -> io::Result<bool> {
        match seen {
            Watched::Yes => Ok(false),
            Watched::Stopped => Ok(true),
            Watched::No => Err(io::Error::other(format!("it was not seen within {} s: {what}", SEEN_WITHIN.as_secs()))),
        }
    }

    async fn pause(&self) {
        if self.teller.is_watched {
            self.stop.wait(PAUSE).await;
        }
    }

    /// Says what arrived, as it was counted.
    fn report(&self, left_out: u64) -> io::Result<Exit> {
        let (arrived, events) = (self.servers.arrived(), self.servers.events());
        let count = Count::of(&arrived, events);
        let teller = &self.teller;
        teller.plain("")?;
        for text in count.lines() {
            for row in large(&text) {
                teller.result(&format!("  {row}"), count.is_whole())?;
            }
            teller.plain("")?;
        }
        teller.result(&count.sentence(), count.is_whole())?;
        if count.duplicates > 0 {
            teller.plain("A kill can repeat one batch of an API: more is not promised.")?;
        }
        let (batches, requests) = (arrived.batches, self.servers.requests());
        teller.plain(&format!("{requests} requests to the APIs, {batches} batches, {left_out} duplicates left out"))?;
        teller.plain("\nWhat to do next")?;
        teller.plain("  logzio-api-fetcher demo --serve                    a status page to look at")?;
        teller.plain("  logzio-api-fetcher probe --url URL > config.yaml   a config for your API")?;
        teller.plain("  logzio-api-fetcher check --config config.yaml      is it valid?")?;
        teller.plain("  logzio-api-fetcher run --config config.yaml")?;
        Ok(if count.is_whole() { Exit::Clean } else { Exit::Failed })
    }
}

/// What arrived, of what there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    arrived: usize,
    events: usize,
    duplicates: u64,
}

impl Count {
    fn of(arrived: &Arrived, events: usize) -> Self {
        Self { arrived: arrived.counts.len(), events, duplicates: arrived.duplicates() }
    }

    fn missing(self) -> usize {
        self.events.saturating_sub(self.arrived)
    }

    /// Whether each record arrived, and arrived once.
    fn is_whole(self) -> bool {
        self.arrived == self.events && self.duplicates == 0
    }

    /// For large letters.
    fn lines(self) -> [String; 3] {
        let Self { arrived, events, duplicates } = self;
        [format!("{arrived} of {events}"), format!("{} missing", self.missing()), format!("{duplicates} duplicates")]
    }

    fn sentence(self) -> String {
        let Self { arrived, events, duplicates } = self;
        format!("{arrived} of {events} events: {} missing, {duplicates} duplicates", self.missing())
    }
}

/// Writes the demo's lines, in colors where somebody watches and wants them.
#[derive(Clone, Copy, Debug)]
struct Teller {
    is_watched: bool,
    is_colored: bool,
}

impl Teller {
    fn of_stdout() -> Self {
        let is_watched = io::stdout().is_terminal();
        Self { is_watched, is_colored: is_colored(is_watched) }
    }

    /// A line of what the fetcher does.
    fn tell(self, time: &str, text: &str, is_error: bool) -> io::Result<()> {
        self.write(&line(time, text), if is_error { "31" } else { "" })
    }

    /// A line of what the demo does.
    fn title_now(self, text: &str) -> io::Result<()> {
        self.title(&line(&Utc::now().format("%H:%M:%S").to_string(), text))
    }

    fn title(self, text: &str) -> io::Result<()> {
        self.write(text, "1")
    }

    fn result(self, text: &str, is_good: bool) -> io::Result<()> {
        self.write(text, if is_good { "1;32" } else { "1;31" })
    }

    fn plain(self, text: &str) -> io::Result<()> {
        self.write(text, "")
    }

    /// A reader that has gone away doesn't matter.
    fn write(self, text: &str, style: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let written = match self.is_colored && !style.is_empty() {
            true => writeln!(stdout, "\x1b[{style}m{text}\x1b[0m"),
            false => writeln!(stdout, "{text}"),
        };
        match written {
            Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(cause),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_doubled_is_counted() {
        let mut arrived = Arrived::default();
        arrived.counts.insert(("cisco".to_owned(), "1".to_owned()), 1);
        let whole = Count::of(&arrived, 1);
        assert!(whole.is_whole());
        assert_eq!(whole.lines(), ["1 of 1", "0 missing", "0 duplicates"]);
        arrived.counts.insert(("cisco".to_owned(), "2".to_owned()), 3);
        let doubled = Count::of(&arrived, 4);
        assert!(!doubled.is_whole() && !Count::of(&arrived, 2).is_whole());
        assert_eq!(doubled.sentence(), "2 of 4 events: 2 missing, 2 duplicates");
    }
}
