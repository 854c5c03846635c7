//! Completions: the script of a shell, and the names of the config's APIs, for which the scripts ask.
//!
//! `clap_complete` writes the scripts; what completes names is added to those of bash, zsh and fish. Its own dynamic
//! completions would do the same, but are unstable. Everything goes to stdout.

use std::path::Path;

use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;

use super::{Exit, print};
use crate::cli::{Cli, CompletionsOf};
use crate::config;

/// What is put before the script of bash.
const BASH: &str = include_str!("names.bash");
/// What is put into the script of zsh, before what it does when it is loaded.
const ZSH: &str = include_str!("names.zsh");
/// What is put behind the script of fish.
const FISH: &str = include_str!("names.fish");
/// The line of zsh's script that comes before its first function.
const ZSH_START: &str = "autoload -U is-at-least\n";
/// The function for names in the scripts of zsh and fish.
const NAMES: &str = "_logzio_api_fetcher_names";

pub(super) fn completions(of: CompletionsOf, config: &Path) -> Exit {
    match of {
        CompletionsOf::Shell(shell) => print(script(shell).trim_end()),
        // A shell that completes wants names or nothing: a config that can't be read has none.
        CompletionsOf::Names => {
            let text = config::read_file(config).unwrap_or_default();
            config::api_names(&text).iter().for_each(|name| print(name));
        }
    }
    Exit::Clean
}

fn script(shell: Shell) -> String {
    let mut command = Cli::for_scripts();
    let name = command.get_name().to_owned();
    // Not right to stdout: the generator takes a reader that has gone away for a bug.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        // For bash, clap_complete 4.6 spells the hyphens of a tool's name in two ways, and then offers nothing after a
        // command. Where it spells them in one, this changes nothing.
        Shell::Bash => in_bash(&script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__")), &command),
        Shell::Zsh => in_zsh(&script),
        Shell::Fish => in_fish(&script, &command),
        _ => script,
    }
}

/// Whether an argument takes the name of an API.
fn is_api_name(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "api" | "name")
}

/// The commands that take the name of an API by its place, each with the commands above it.
fn named(command: &Command, above: &[String], found: &mut Vec<Vec<String>>) {
    for command in command.get_subcommands() {
        let words = [above, &[command.get_name().to_owned()]].concat();
        if command.get_positionals().any(is_api_name) {
            found.push(words.clone());
        }
        named(command, &words, found);
    }
}

/// The options of all commands that take a value.
fn valued(command: &Command, found: &mut Vec<String>) {
    let own = command.get_arguments().filter(|arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append));
    found.extend(own.filter_map(Arg::get_long).map(|long| format!("--{long}")));
    command.get_subcommands().for_each(|below| valued(below, found));
    found.sort();
    found.dedup();
}

/// The generated function stays, and is called for everything but names.
fn in_bash(script: &str, command: &Command) -> String {
    let (mut commands, mut options) = (Vec::new(), Vec::new());
    named(command, &[], &mut commands);
    valued(command, &mut options);
    let commands: Vec<String> = commands.iter().map(|words| format!("\" {}\"", words.join(" "))).collect();
    let names = BASH.replace("@COMMANDS@", &commands.join(" | ")).replace("@OPTIONS@", &options.join(" | "));
    format!("{}\n{names}", script.replace("complete -F _logzio__api__fetcher ", "complete -F _logzio_api_fetcher "))
}

fn in_zsh(script: &str) -> String {
    let takes_name = |line: &str| ["'--api=", "--api=[", "':name ", "'::name "].iter().any(|part| line.contains(part));
    let lines = script.lines().map(|line| match takes_name(line) {
        true => line.replace(":_default'", &format!(":{NAMES}'")),
        false => line.to_owned(),
    });
    let script: String = lines.map(|line| line + "\n").collect();
    script.replacen(ZSH_START, &format!("{ZSH_START}\n{ZSH}"), 1)
}

fn in_fish(script: &str, command: &Command) -> String {
    let offer = format!("-f -a \"({NAMES})\"");
    let lines = script.lines().map(|line| match line.contains(" -l api ") {
        true => format!("{line} {offer}\n"),
        false => format!("{line}\n"),
    });
    let mut commands = Vec::new();
    named(command, &[], &mut commands);
    let conditions = commands.iter().map(|words| {
        let seen: Vec<String> = words.iter().map(|word| format!("__fish_seen_subcommand_from {word}")).collect();
        format!("complete -c {} -n \"{}\" {offer}\n", command.get_name(), seen.join("; and "))
    });
    let all: String = lines.chain(conditions).collect();
    format!("{FISH}{all}")
}
