//! What the tool says of itself: its version, completions and the manual page.

use std::io::ErrorKind;
use std::os::unix::fs::chown;
use std::process::{Command, Stdio};

use logzio_api_fetcher::process::version;

use crate::harness::Fetcher;

const FETCHER: &str = env!("CARGO_BIN_EXE_logzio-api-fetcher");

fn printed(command: &str, arguments: &[&str]) -> String {
    Fetcher::new("").arguments(arguments).run_bare(command).assert_code(0).stdout
}

/// What bash offers where the last of these words is being typed.
fn offered(script: &str, words: &[&str]) -> Vec<String> {
    let way = tempfile::tempdir().unwrap();
    let file = way.path().join("completions");
    std::fs::write(&file, script).unwrap();
    let ask = r#"
        source "$1"; shift
        spec=$(complete -p "$1") || exit 3
        [[ $spec =~ -F\ ([^ ]+) ]] || exit 4
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        "${BASH_REMATCH[1]}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let line = ["--norc", "--noprofile", "-c", ask, "bash"];
    // The script asks the fetcher for names: for those, it must be found.
    let path =
        format!("{}:{}", std::path::Path::new(FETCHER).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(line).arg(file).arg("logzio-api-fetcher").args(words).env("PATH", path);
    let output = bash.env_remove("LOGZIO_FETCHER_CONFIG").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{:?}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The commit that the build should have found, by the order in which it looks.
fn commit() -> Option<String> {
    if let Some(given) = option_env!("LOGZIO_FETCHER_COMMIT").filter(|given| !given.is_empty()) {
        return Some(given.chars().take(12).collect());
    }
    let root = env!("CARGO_MANIFEST_DIR");
    if !std::path::Path::new(root).join(".git").exists() {
        return None;
    }
    let output = Command::new("git").args(["-C", root, "rev-parse", "--short=12", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn the_version_names_the_commit_and_the_day() {
    assert_eq!(version::COMMIT.map(str::to_owned), commit());
    assert!(chrono::NaiveDate::parse_from_str(version::BUILT, "%Y-%m-%d").is_ok(), "{}", version::BUILT);
    let of_commit = version::COMMIT.map(|commit| format!("{commit}, ")).unwrap_or_default();
    let expected = format!("logzio-api-fetcher {} ({of_commit}built {})\n", version::VERSION, version::BUILT);
    assert_eq!(printed("--version", &[]), expected);
    assert_eq!(printed("-V", &[]), expected);
    assert!(printed("man", &[]).contains(version::BUILT), "the manual page has no date");
}

#[test]
fn bash_offers_commands_options_and_values() {
    let script = printed("completions", &["bash"]);
    let commands = ["run", "once", "health", "check", "state", "schema", "completions", "man", "demo"];
    let all = offered(&script, &[""]);
    for command in commands {
        assert!(all.iter().any(|offer| offer == command), "`{command}` is missing in {all:?}");
    }
    for (words, expected) in [
        (["st"].as_slice(), ["state"].as_slice()),
        (&["state", "re"], &["rewind"]),
        (&["completions", "z"], &["zsh"]),
        (&["once", "--a"], &["--api"]),
        (&["--log-format", "j"], &["json"]),
    ] {
        assert_eq!(offered(&script, words), expected, "{words:?}");
    }
}

/// Names with what shells split at, one that would be filled in, and errors, for which names are completed all the same.
const NAMED: &str = "auth_apis:\n- name: events\n- {name: my api, tokn: the-secret}\n- name: a:b:c\n- name: ${HOME}\n- 7\n\
                     oauth_apis:\n- name: extra\n  credentials: {id: the-secret}\n";

#[test]
fn bash_offers_the_names_of_the_apis_where_one_belongs() {
    let script = printed("completions", &["bash"]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, NAMED).unwrap();
    let config = config.to_str().unwrap();
    let all = ["events", r"my\ api", "a:b:c", "extra"];
    for (words, expected) in [
        (&["once", "--api", ""][..], &all[..]),
        (&["once", "--api", "=", "e"], &["events", "extra"]),
        (&["probe", "--api", "ev"], &["events"]),
        (&["state", "show", ""], &all),
        (&["state", "rewind", "my"], &[r"my\ api"]),
        (&["state", "forget", "'my a"], &["my api"]),
        (&["undelivered", "show", "a", ":"], &["b:c"]),
        (&["undelivered", "resend", "a", ":", "b"], &["b:c"]),
        (&["undelivered", "drop", "a", ":", "b", ":", ""], &["c"]),
        (&["once", "--api", "none-like-it"], &[""]),
    ] {
        for option in [&["--config", config][..], &["--config", "=", config]] {
            assert_eq!(offered(&script, &[option, words].concat()), expected, "{words:?}");
        }
    }
    for words in [&["state", "rewind", "events", ""][..], &["once", ""], &["--level", ""], &["completions", ""]] {
        let offers = offered(&script, &[&["--config", config], words].concat());
        assert!(!offers.iter().any(|offer| offer == "extra" || offer == "names"), "{words:?}: {offers:?}");
    }
    // Without a config there are no names, and no error.
    assert_eq!(offered(&script, &["--config", "/nowhere/config.yaml", "once", "--api", ""]), [""]);
}

#[test]
fn names_are_printed_for_scripts_without_anything_that_may_be_secret() {
    let outcome = Fetcher::new(NAMED).arguments(&["names"]).run("completions").assert_code(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("events\nmy api\na:b:c\nextra\n", ""));
    for config in
        ["", "- a\n", "auth_apis: {a: b}\n", "auth_apis: [{name: [x]}, {name: ' '}, {name: \"a\\nb\"}]\n", "\t: {"]
    {
        let outcome = Fetcher::new(config).arguments(&["names"]).run("completions").assert_code(0);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "{config}");
    }
}

#[test]
fn zsh_and_fish_ask_for_names_where_one_belongs() {
    let zsh = printed("completions", &["zsh"]);
    // Of once, probe, record, and the commands of state and undelivered.
    assert_eq!(zsh.matches(":_logzio_api_fetcher_names'").count(), 9, "{zsh}");
    assert_eq!(zsh.matches("\n_logzio_api_fetcher_names() {\n").count(), 1, "{zsh}");
    assert!(zsh.starts_with("#compdef logzio-api-fetcher\n"), "{zsh}");
    let fish = printed("completions", &["fish"]);
    assert_eq!(fish.matches(" -f -a \"(_logzio_api_fetcher_names)\"").count(), 9, "{fish}");
    assert_eq!(fish.matches("\nfunction _logzio_api_fetcher_names\n").count(), 1, "{fish}");
}

#[test]
fn a_command_shows_the_options_that_mean_something_to_it_and_accepts_the_others() {
    let script = printed("completions", &["bash"]);
    for (command, shown, hidden) in [
        ("once", &["--config", "--level", "--log-format", "--grace"][..], &[][..]),
        ("probe", &["--config", "--level", "--log-format"], &["--grace"]),
        ("check", &["--config"], &["--level", "--log-format", "--grace"]),
        ("schema", &[], &["--config", "--level", "--log-format", "--grace"]),
        ("demo", &["--level", "--log-format", "--grace"], &["--config"]),
    ] {
        let help = printed(command, &["--help"]);
        let offers = offered(&script, &[command, "--"]);
        for option in shown {
            assert!(help.contains(option) && offers.iter().any(|offer| offer == option), "{command} {option}: {help}");
        }
        for option in hidden {
            assert!(
                !help.contains(option) && !offers.iter().any(|offer| offer == option),
                "{command} {option}: {help}"
            );
        }
    }
    let all = ["--config", "/nowhere", "--level", "error", "--log-format", "json", "--grace", "3s"];
    printed("schema", &all);
    assert!(Fetcher::new("").arguments(&all).run_bare("check").assert_code(2).stdout.contains("/nowhere"));
}

#[test]
fn every_shell_has_completions_and_no_other_word_has() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed("completions", &[shell]);
        assert!(script.contains("logzio-api-fetcher") && script.contains("rewind"), "{shell}: {script}");
    }
    Fetcher::new("").arguments(&["tcsh"]).run_bare("completions").assert_code(2).assert_says("powershell");
}

#[test]
fn the_manual_page_has_each_command_with_its_arguments() {
    let page = printed("man", &[]);
    assert!(page.contains("\n.TH logzio-api-fetcher 1 "), "{page}");
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXAMPLES", "FILES", "NOTES", "VERSION"] {
        assert_eq!(page.lines().filter(|line| *line == format!(".SH {section}")).count(), 1, "{section}: {page}");
    }
    for line in [
        "\\fBonce\\fR [\\fB\\-\\-api\\fR \\fINAME\\fR] [\\fB\\-\\-from\\fR \\fIDATE\\fR] [\\fB\\-\\-until\\fR \\fIDATE\\fR] [\\fB\\-\\-output\\fR \\fINAME\\fR]",
        "\\fBstate rewind\\fR \\fINAME\\fR \\fIDATE\\fR [\\fB\\-\\-yes\\fR]",
        "\\fBcompletions\\fR \\fISHELL\\fR",
        "The shell to print them for: bash, elvish, fish, powershell, zsh",
        "[\\fB\\-\\-listener\\fR]",
        "\\fBdemo\\fR [\\fB\\-\\-serve\\fR]",
        "\\fBlogzio\\-api\\-fetcher check \\-\\-config config.yaml\\fR",
        "\\fIundelivered.ndjson\\fR",
    ] {
        assert!(page.lines().any(|known| known == line), "`{line}` is missing in {page}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("logzio-api-fetcher.1");
    std::fs::write(&file, &page).unwrap();
    // A formatter says more, where there is one.
    match Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(file).output() {
        Ok(output) => assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), "".into())),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
    }
}

const ABOUT: [&[&str]; 3] = [&["schema"], &["completions", "zsh"], &["man"]];

#[test]
fn nothing_but_stdout_is_touched_not_even_as_root() {
    for line in ABOUT {
        let directory = tempfile::tempdir().unwrap();
        // Where this is root, other commands would become the owner.
        let _ = chown(directory.path(), Some(12_345), Some(12_345));
        let config = directory.path().join("config.yaml");
        let mut command = Command::new(FETCHER);
        command.args(line).args(["--level", "debug", "--config"]).arg(&config).current_dir(directory.path());
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), "".into()), "{line:?}");
        assert!(!output.stdout.is_empty(), "{line:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{line:?}");
    }
}

/// Half of a config or of a script is worse than none.
#[test]
fn a_disk_that_is_full_is_a_failure() {
    for line in ABOUT {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(FETCHER).args(line).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("stdout can't be written"), "{line:?}: {said}");
    }
}

#[test]
fn a_reader_that_has_gone_away_does_not_matter() {
    for line in ABOUT {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(FETCHER).args(line).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), "".into()), "{line:?}");
    }
}

/// Each example of the manual page is understood: what is wrong with it is never its arguments.
#[test]
fn the_examples_of_the_manual_page_are_understood() {
    let page = printed("man", &[]).replace('\\', "");
    let examples: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("fBlogzio-api-fetcher ")?.strip_suffix("fR")).collect();
    assert!(examples.len() > 5, "{page}");
    for example in examples {
        let words = example.split(" > ").next().unwrap().split(' ').map(|word| word.trim_matches('\''));
        let line = std::iter::once("logzio-api-fetcher").chain(words);
        let parsed = logzio_api_fetcher::cli::Cli::shown().try_get_matches_from(line);
        assert!(parsed.is_ok(), "{example}: {parsed:?}");
    }
}
