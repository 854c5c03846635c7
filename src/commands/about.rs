//! What the tool says of itself: the config's schema, the manual page. All of it goes to stdout; nothing is read, and nobody
//! is asked.

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{Exit, print};
use crate::cli::{CONFIG_DEFAULT, Cli};
use crate::config::schema;
use crate::process::version;

pub(super) fn schema() -> Exit {
    print(&schema::text());
    Exit::Clean
}

pub(super) fn man() -> Exit {
    match page() {
        Ok(page) => {
            print(String::from_utf8_lossy(&page).trim_end());
            Exit::Clean
        }
        Err(cause) => {
            tracing::error!(%cause, "the manual page can't be made");
            Exit::Failed
        }
    }
}

/// One page for the tool with all of its commands, as there is one binary.
fn page() -> std::io::Result<Vec<u8>> {
    let mut command = Cli::shown().subcommand_value_name("COMMAND");
    command.build();
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    describe(&mut commands, &command, &[]);
    examples(&mut commands);
    files(&mut commands);
    commands.control("SH", ["NOTES"]);
    for line in command.get_after_help().map(ToString::to_string).unwrap_or_default().lines() {
        commands.control("PP", []);
        commands.text([roman(line)]);
    }
    let source = format!("{} {}", command.get_name(), version::VERSION);
    let man = Man::new(command).source(source).date(version::BUILT);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    commands.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// What to type for what is done most often.
const EXAMPLES: [(&str, &str); 9] = [
    (
        "Write a config for an API, from its answers:",
        "probe --url https://api.example.com/v1/events --basic 'me:${API_KEY}' > config.yaml",
    ),
    ("See what a type of the catalog needs, with an entry to copy:", "catalog show okta"),
    ("Validate the config, offline:", "check --config config.yaml"),
    ("See what each API answers; nothing is sent to Logz.io:", "probe --config config.yaml"),
    ("Check the listener and the shipping token:", "probe --listener --config config.yaml"),
    ("Run the daemon:", "run --config config.yaml"),
    ("Ship a span again, without moving a checkpoint:", "once --api events --from 2026-01-31 --until 2026-02-01"),
    ("Show all that is known of one API:", "state show events"),
    (
        "Complete commands and names of APIs in bash:",
        "completions bash > ~/.local/share/bash-completion/completions/logzio-api-fetcher",
    ),
];

/// The files that are read and written.
const FILES: [(&str, &str); 5] = [
    (
        CONFIG_DEFAULT,
        "The config, unless --config or LOGZIO_FETCHER_CONFIG names another. The other files are beside it.",
    ),
    ("last_start_dates.txt", "The checkpoint of each API. It may be edited while no fetcher runs."),
    (
        "undelivered.ndjson",
        "Records that could not be delivered; see the command undelivered. Readable for its owner only.",
    ),
    (".logzio-api-fetcher.store", "What was delivered. Deleting it costs duplicates, never records."),
    (".logzio-api-fetcher.sock", "The socket through which state asks a running fetcher."),
];

fn examples(roff: &mut Roff) {
    roff.control("SH", ["EXAMPLES"]);
    for (what, line) in EXAMPLES {
        roff.control("PP", []);
        roff.text([roman(what)]);
        roff.control("RS", ["4"]);
        roff.control("PP", []);
        roff.text([bold(format!("logzio-api-fetcher {line}"))]);
        roff.control("RE", []);
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (file, what) in FILES {
        roff.control("TP", []);
        roff.text([italic(file)]);
        roff.text([roman(what)]);
    }
}

/// The commands below one, each with its arguments.
fn describe(roff: &mut Roff, parent: &Command, way: &[&str]) {
    for command in parent.get_subcommands().filter(|command| !command.is_hide_set()) {
        let way = [way, &[command.get_name()]].concat();
        let own = || command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set());
        // Of `--help`, once is enough.
        let own = || own().filter(|arg| arg.get_id() != "help");
        let heading = own().flat_map(|arg| [roman(" ")].into_iter().chain(called(arg)));
        roff.control("TP", []);
        roff.text([bold(way.join(" "))].into_iter().chain(heading).collect::<Vec<_>>());
        roff.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
        roff.control("RS", []);
        for arg in own() {
            roff.control("TP", []);
            roff.text(called(arg));
            let values: Vec<String> = arg
                .get_possible_values()
                .iter()
                .filter(|value| !value.is_hide_set() && !arg.is_hide_possible_values_set())
                .map(|value| value.get_name().to_owned())
                .collect();
            let values = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
            roff.text([roman(arg.get_help().map(ToString::to_string).unwrap_or_default() + &values)]);
        }
        roff.control("RE", []);
        describe(roff, command, &way);
    }
}

/// An argument as it is written: `NAME`, `[--api NAME]`.
fn called(arg: &Arg) -> Vec<Inline> {
    let value =
        arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    match arg.get_long() {
        Some(long) if !arg.get_action().takes_values() => vec![roman("["), bold(format!("--{long}")), roman("]")],
        Some(long) => vec![roman("["), bold(format!("--{long}")), roman(" "), italic(value), roman("]")],
        None => vec![italic(value)],
    }
}
