//! What the tool says of itself: the config's schema, a shell's completions, the manual page. All of it goes to stdout;
//! nothing is read, and nobody is asked.

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{Exit, print};
use crate::cli::Cli;
use crate::config::schema;
use crate::version;

pub(super) fn schema() -> Exit {
    print(&schema::text());
    Exit::Clean
}

pub(super) fn completions(shell: Shell) -> Exit {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    // Not right to stdout: the generator takes a reader that has gone away for a bug.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut script);
    // For bash, clap_complete 4.6 spells the hyphens of a tool's name in two ways, and then offers nothing after a
    // command. Where it spells them in one, this changes nothing.
    let script = String::from_utf8_lossy(&script).replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
    print(script.trim_end());
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
    let mut command = Cli::command().subcommand_value_name("COMMAND");
    command.build();
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    describe(&mut commands, &command, &[]);
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
            let values: Vec<String> =
                arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
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
