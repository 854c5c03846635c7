//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use reqwest::Url;

use crate::config::catalog::named_types;
use crate::config::parse_duration;
use crate::process::logging::{Level, LogFormat};
use crate::process::version;
use crate::record::date as event_date;
use crate::text::Secret;

/// Where the config is looked for: in the image the working directory is `/app`.
pub const CONFIG_DEFAULT: &str = "src/shared/config.yaml";
/// The environment variable that names the config.
pub const CONFIG_VARIABLE: &str = "LOGZIO_FETCHER_CONFIG";

/// Polls REST APIs and ships every record to Logz.io; nothing is lost, and nothing sent twice but one batch after a crash.
#[derive(Debug, Parser)]
#[command(version = version::LINE, about, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Cli {
    /// The command; without one the daemon runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of every command.
    #[command(flatten)]
    pub options: Options,
}

const AFTER_HELP: &str = "\
Exit codes: 0 success, 1 a run-time failure, 2 an invalid config or a directory that can't be used.
Start with `logzio-api-fetcher demo`: it needs no account.";

/// Options of every command.
#[derive(Args, Debug)]
pub struct Options {
    /// The config file; also by the environment variable LOGZIO_FETCHER_CONFIG [default: src/shared/config.yaml]
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Log level
    #[arg(long, global = true, value_enum, ignore_case = true, default_value = "INFO")]
    pub level: Level,
    /// Log format
    #[arg(long, global = true, value_enum, ignore_case = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Shutdown timeout; set `docker stop -t` to the same value
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = grace)]
    pub grace: Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon (default)
    Run,
    /// Run one iteration of every API, then exit
    Once {
        /// Only this API
        #[arg(long, value_name = "NAME")]
        api: Option<String>,
        /// Ship everything from this date on again, and move no checkpoint; also while a fetcher runs
        #[arg(long, value_name = "DATE", value_parser = date)]
        from: Option<DateTime<Utc>>,
        /// With --from: only what is dated before this
        #[arg(long, value_name = "DATE", value_parser = date, requires = "from")]
        until: Option<DateTime<Utc>>,
        /// With --from: only to this output
        #[arg(long, value_name = "NAME", requires = "from")]
        output: Option<String>,
    },
    /// Check the health of the running fetcher
    Health {
        /// Print JSON: status (healthy, degraded, unhealthy), summary, details
        #[arg(long)]
        json: bool,
    },
    /// Show the status of all APIs in the terminal, live; piped, print it once
    Top {
        /// Ask the status page at this address, not the fetcher that runs on this directory
        #[arg(long, value_name = "URL", value_parser = page_url)]
        url: Option<Url>,
    },
    /// Validate the config (offline)
    Check,
    /// Fetch one page from each API and check the config against it (dry run)
    Probe(ProbeArgs),
    /// Run one iteration of an API without shipping, and print its requests and answers as a cassette
    Record(RecordArgs),
    /// Run a cassette again, offline: print what would be shipped, and where requests differ
    Replay {
        /// The cassette
        file: PathBuf,
        /// Print the cassette with the requests that are made now, whatever it has: for whoever writes one
        #[arg(long)]
        fill: bool,
    },
    /// Show or change checkpoints, also while the fetcher runs
    State {
        /// What to do; without it, show
        #[command(subcommand)]
        command: Option<StateCommand>,
    },
    /// Show the cluster that the config names: its members, and what they own
    Cluster {
        /// What to show
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Show, resend or discard records that could not be delivered
    Undelivered {
        /// What to do; without it, show
        #[command(subcommand)]
        command: Option<UndeliveredCommand>,
    },
    /// Show the services that are built in, and what each needs
    Catalog {
        /// What to show; without it, list
        #[command(subcommand)]
        command: Option<CatalogCommand>,
    },
    /// Print a config of versions 0.2 to 2.1 of the original (`apis`) in the language of this one
    Convert {
        /// The config; without it, that of --config
        file: Option<PathBuf>,
    },
    /// Print the JSON Schema of the config, for editors
    Schema,
    /// Print shell completions
    Completions {
        /// The shell to print them for
        shell: CompletionsOf,
    },
    /// Print the manual page
    Man,
    /// Run the fetcher against built-in mock servers, kill it, and count what arrived; no account needed
    Demo {
        /// Keep running, with a status page to look at, until stopped
        #[arg(long)]
        serve: bool,
    },
}

/// What completions are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionsOf {
    /// The script of a shell.
    Shell(Shell),
    /// The names of the APIs in the config, for the scripts.
    Names,
}

impl ValueEnum for CompletionsOf {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [CompletionsOf; 6] = [
            CompletionsOf::Shell(Shell::Bash),
            CompletionsOf::Shell(Shell::Elvish),
            CompletionsOf::Shell(Shell::Fish),
            CompletionsOf::Shell(Shell::PowerShell),
            CompletionsOf::Shell(Shell::Zsh),
            CompletionsOf::Names,
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Shell(shell) => shell.to_possible_value(),
            Self::Names => Some(PossibleValue::new("names").hide(true)),
        }
    }
}

/// What to ask.
#[derive(Args, Debug)]
pub struct ProbeArgs {
    /// Only this API
    #[arg(long, value_name = "NAME", conflicts_with_all = ["listener", "url"])]
    pub api: Option<String>,
    /// Check that the listener accepts the token, with an empty request
    #[arg(long, conflicts_with = "url")]
    pub listener: bool,
    /// Propose a config for the API that lists its events here; needs no config
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// With --url: user and key for Basic authentication; ${VARIABLE} and ${file:PATH} are filled in
    #[arg(long, value_name = "ID:KEY", requires = "url", conflicts_with_all = ["token_url", "client", "scope"], value_parser = secret)]
    pub basic: Option<Secret>,
    /// With --url: the token endpoint, for OAuth 2.0 client credentials
    #[arg(long, value_name = "URL", requires_all = ["url", "client"])]
    pub token_url: Option<String>,
    /// With --token-url: client id and secret
    #[arg(long, value_name = "ID:SECRET", requires = "token_url", value_parser = secret)]
    pub client: Option<Secret>,
    /// With --token-url: the scope to ask for
    #[arg(long, value_name = "SCOPE", requires = "token_url")]
    pub scope: Option<String>,
    /// With --url: a header of every request, like 'Authorization: Token ${API_TOKEN}'; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "url", value_parser = secret)]
    pub headers: Vec<Secret>,
}

/// What to record.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// The API
    #[arg(long, value_name = "NAME")]
    pub api: String,
    /// Begin at this date, not where a first iteration begins
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Option<DateTime<Utc>>,
    /// How many iterations to record, one after each interval
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub iterations: u32,
    /// Keep the values as they came, without credentials: for yourself alone
    #[arg(long)]
    pub verbatim: bool,
}

/// What to do with the state.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Show the checkpoint of each API; with a name, all that is known of it
    Show {
        /// Only this API
        name: Option<String>,
    },
    /// Move a checkpoint back and send everything since again
    Rewind {
        /// The API
        name: String,
        /// Like 2026-01-31 or 2026-01-31T10:00:00Z
        #[arg(value_parser = date)]
        date: DateTime<Utc>,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Delete a checkpoint; the API starts over
    Forget {
        /// The API
        name: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Undo the last change (up to 10)
    Undo {
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Put what this directory knows into the cluster of the config; what the cluster knows already stays as it is there
    Import,
    /// Write what the cluster of the config knows into this directory; no member may run
    Export,
}

/// What to show of a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show members, owners and what is wrong; exit code 1 where something is
    Status,
}

/// What to show of the catalog.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// List the types, each with its list in the config and what it collects
    List {
        /// Print docs/catalog.md
        #[arg(long, hide = true)]
        markdown: bool,
    },
    /// Show a type: its parameters, an entry to copy, the general entry that it stands for, what is good to know
    Show {
        /// The type
        #[arg(value_name = "TYPE", value_parser = type_names(), hide_possible_values = true)]
        type_name: String,
    },
}

/// The types of the catalog.
fn type_names() -> PossibleValuesParser {
    PossibleValuesParser::new(named_types().map(|named| named.name.as_str()))
}

/// What to do with records that could not be delivered.
#[derive(Debug, Subcommand)]
pub enum UndeliveredCommand {
    /// Show how many there are and why; with a name, show each record of that API
    Show {
        /// Only this API
        name: Option<String>,
    },
    /// Send them again (stop the fetcher first); what is acknowledged leaves the file
    Resend {
        /// Only this API
        name: Option<String>,
        /// Also records of batches that the listener took in part: some may arrive twice
        #[arg(long)]
        all: bool,
    },
    /// Discard them for good (stop the fetcher first)
    Drop {
        /// Only this API
        name: Option<String>,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// Options of every command that say nothing in some: those accept them, and don't show them.
const HIDDEN: [(&str, &[&str]); 4] = [
    ("config", &["replay", "catalog", "schema", "completions", "man", "demo"]),
    ("level", &["check", "catalog", "schema", "completions", "man"]),
    ("log_format", &["check", "catalog", "schema", "completions", "man"]),
    ("grace", &["health", "check", "probe", "replay", "state", "catalog", "schema", "completions", "man"]),
];

impl Cli {
    /// The command line, in which each command shows the options that mean something to it.
    #[must_use]
    pub fn shown() -> clap::Command {
        let mut command = Self::command();
        for (id, commands) in HIDDEN {
            let Some(option) = command.get_arguments().find(|arg| arg.get_id() == id).cloned() else { continue };
            for name in commands {
                command = command.mut_subcommand(name, |below| below.arg(option.clone().hide(true)));
            }
        }
        command
    }

    /// The command line as the completion scripts have it: they take no notice of what is hidden, so it is left out.
    #[must_use]
    pub fn for_scripts() -> clap::Command {
        let command = Self::command();
        let options: Vec<clap::Arg> =
            command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.clone().global(false)).collect();
        let command = command.mut_args(|arg| arg.global(false));
        command.mut_subcommands(|below| {
            let hidden = HIDDEN.iter().filter(|(_, commands)| commands.contains(&below.get_name()));
            let hidden: Vec<&str> = hidden.map(|(id, _)| *id).collect();
            let own: Vec<clap::Arg> =
                options.iter().filter(|option| !hidden.contains(&option.get_id().as_str())).cloned().collect();
            let below = below.args(&own).mut_subcommands(|last| last.args(&own));
            match below.get_name() {
                "completions" => below.mut_arg("shell", |arg| arg.value_parser(clap::value_parser!(Shell))),
                _ => below,
            }
        })
    }

    /// What the process was called with. Ends the process where that can't be understood, or asks for help.
    #[must_use]
    pub fn from_process() -> Self {
        let matches = Self::shown().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut Self::shown()).exit())
    }
}

impl Options {
    /// The config file: by option, by variable, by default.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        let named = std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or(named).unwrap_or_else(|| PathBuf::from(CONFIG_DEFAULT))
    }
}

/// What may hold a secret can't be printed from here on.
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

fn page_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| "it is not a valid URL; like http://localhost:8080".to_owned())
}

fn date(text: &str) -> Result<DateTime<Utc>, String> {
    event_date::parse_written(text).ok_or_else(|| "it is not a valid date; like 2026-01-31T10:00:00Z".to_owned())
}

/// A grace window: seconds where the unit is absent, as `docker stop -t` has it.
fn grace(text: &str) -> Result<Duration, String> {
    let with_unit = if text.trim().parse::<f64>().is_ok() { format!("{}s", text.trim()) } else { text.to_owned() };
    parse_duration(&with_unit).map_err(|what| format!("{what}; like 30s or 2m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_as_a_secret_is_never_printed() {
        for given in [
            &["--basic", "me:the-key"][..],
            &["--token-url", "https://login.example", "--client", "me:the-key"],
            &["--header", "Authorization: the-key"],
        ] {
            let line = ["fetcher", "probe", "--url", "https://api.example"].iter().chain(given);
            let printed = format!("{:?}", Cli::try_parse_from(line).expect("it is understood"));
            assert!(printed.contains("***") && !printed.contains("the-key"), "{printed}");
        }
    }
}
