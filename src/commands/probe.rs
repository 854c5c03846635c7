//! `probe`: asks once, and says what came of it. Ships nothing, writes no file; but a refresh token that comes is kept, for
//! which the directory is taken as a fetcher takes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::{StreamExt, stream};
use rustls::pki_types::CertificateDer;
use signal_hook::consts::signal::SIGHUP;
use signal_hook_tokio::Signals;

use super::{Exit, StateFolder, TOKEN_OF_CLUSTER, print};
use crate::cli::ProbeArgs;
use crate::config;
use crate::fetch::TokenCache;
use crate::http::{Clients, Timeouts, clients};
use crate::plan::{Config, Plan};
use crate::probe::{NoProposal, ProbeTarget, Proposal, TargetAuth, examine, explore, id_and_secret, listener_in_words};
use crate::ship::Listener;
use crate::state::{CredentialFile, DirectoryHold};
use crate::text::Secret;
use crate::text::humanize::counted;
use crate::transport::Transport;

/// How many APIs are asked at a time: each answer may be large.
const AT_A_TIME: usize = 4;
/// How long a whole answer may take: somebody sits and waits.
const WHOLE_ANSWER: Duration = Duration::from_secs(120);

/// Does it, unless a signal ends it: at once, as there is nothing to save.
pub(super) async fn probe(path: PathBuf, arguments: ProbeArgs, mut signals: Signals) -> Exit {
    let asking = tokio::spawn(ask(path, arguments));
    let signalled = async {
        // There is nothing that a SIGHUP would make it read again.
        while signals.next().await == Some(SIGHUP) {}
    };
    tokio::select! {
        exit = asking => exit.unwrap_or(Exit::Failed),
        () = signalled => Exit::Failed,
    }
}

async fn ask(path: PathBuf, arguments: ProbeArgs) -> Exit {
    if let Some(url) = &arguments.url {
        return ask_unknown(url, &arguments).await;
    }
    // A file may hang (on a dead mount), and a signal must be heard all the same.
    let directory = StateFolder::of(&path).path;
    let config = match tokio::task::spawn_blocking(move || read(&path)).await {
        Ok(Ok(config)) => config,
        Ok(Err(exit)) => return exit,
        Err(_) => return Exit::Failed,
    };
    let client = match patient_client(&config.extra_roots) {
        Ok(client) => client,
        Err(exit) => return exit,
    };
    match arguments.listener {
        true => ask_listener(client, &config).await,
        false => ask_apis(client.into(), config, arguments.api, &directory).await,
    }
}

/// Reads the config. What is wrong with it, or odd, is logged as `once` logs it.
fn read(path: &Path) -> Result<Config, Exit> {
    let reading = config::load(path);
    reading.diagnostics.log();
    reading.config.ok_or(Exit::Config)
}

fn patient_client(extra_roots: &[CertificateDer<'static>]) -> Result<Clients, Exit> {
    let timeouts = Timeouts { whole: WHOLE_ANSWER, ..Timeouts::default() };
    clients(extra_roots, timeouts).map_err(|error| {
        tracing::error!(cause = %error, "no API can be probed");
        Exit::Config
    })
}

/// An API that no config knows: the config that it asks for goes to stdout, and nothing else does.
async fn ask_unknown(url: &str, arguments: &ProbeArgs) -> Exit {
    let asked = match (target(url, arguments), patient_client(&[])) {
        (Ok(target), Ok(client)) => explore(&client.into(), &target, Utc::now()).await,
        (Err(what), _) => Err(NoProposal::Given(what.to_owned())),
        (_, Err(exit)) => return exit,
    };
    match asked {
        Ok(Proposal { config, is_complete }) => {
            print(config.trim_end());
            if is_complete {
                return Exit::Clean;
            }
            tracing::warn!("the proposal is incomplete; its comments say what is missing and why");
            Exit::Failed
        }
        Err(NoProposal::Given(what)) => {
            tracing::error!("{what}");
            Exit::Config
        }
        Err(NoProposal::Answer(what)) => {
            tracing::error!("{what}");
            Exit::Failed
        }
    }
}

/// What the command line gives; what is wrong with it is told without its values.
fn target(url: &str, arguments: &ProbeArgs) -> Result<ProbeTarget, &'static str> {
    let pair = |given: &Secret, what| id_and_secret(given.expose()).ok_or(what);
    let auth = match (&arguments.basic, &arguments.token_url, &arguments.client) {
        (Some(basic), _, _) => {
            let (id, key) = pair(basic, "--basic should be like 'ID:KEY'")?;
            TargetAuth::Basic { id, key }
        }
        (None, Some(url), Some(client)) => {
            let (id, key) = pair(client, "--client should be like 'ID:SECRET'")?;
            TargetAuth::Token { url: url.clone(), id, key, scope: arguments.scope.clone() }
        }
        _ => TargetAuth::None,
    };
    let header = |given: &Secret| {
        let (name, value) = given.expose().split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let headers: Option<Vec<(String, String)>> = arguments.headers.iter().map(header).collect();
    Ok(ProbeTarget {
        url: url.trim().to_owned(),
        auth,
        headers: headers.ok_or("--header should be like 'NAME: VALUE'")?,
    })
}

async fn ask_listener(client: Clients, config: &Config) -> Exit {
    let mut are_right = true;
    for output in &config.outputs {
        let (words, is_right) = listener_in_words(&Listener::new(client.usual.clone(), output)).await;
        match config.outputs.as_slice() {
            [_] => print(&words),
            _ => print(&format!("{}: {words}", output.name)),
        }
        are_right &= is_right;
    }
    if are_right { Exit::Clean } else { Exit::Failed }
}

/// The APIs that may be asked, where their refresh tokens are kept, and how many may not: a refresh token that is taken once
/// only is that of the fetcher which runs on the directory.
fn with_refresh_tokens(
    asked: Vec<Arc<Plan>>,
    (directory, is_in_cluster): (&Path, bool),
) -> (Vec<Arc<Plan>>, TokenCache, Option<DirectoryHold>, usize) {
    if !asked.iter().any(|plan| plan.has_refresh_token()) {
        return (asked, TokenCache::default(), None, 0);
    }
    let hold = match is_in_cluster {
        true => Err(TOKEN_OF_CLUSTER.to_owned()),
        false => DirectoryHold::take(directory).map_err(|error| error.to_string()),
    };
    match hold {
        Ok(hold) => (asked, TokenCache::new(CredentialFile::of(directory)), Some(hold), 0),
        Err(error) => {
            let (refused, rest): (Vec<_>, Vec<_>) = asked.into_iter().partition(|plan| plan.has_refresh_token());
            for plan in &refused {
                print(&format!("{}\n! token: not asked for, as it needs its refresh token: {error}\n", plan.name));
            }
            (rest, TokenCache::default(), None, refused.len())
        }
    }
}

/// Each API, a few at a time; the reports come in the order of the config.
async fn ask_apis(transport: Transport, config: Config, only: Option<String>, directory: &Path) -> Exit {
    let names: Vec<String> = config.apis.iter().map(|plan| plan.name.clone()).collect();
    let is_in_cluster = config.cluster.is_some();
    let asked: Vec<Arc<Plan>> =
        config.apis.into_iter().filter(|plan| only.as_ref().is_none_or(|only| plan.name == only.trim())).collect();
    if let (Some(only), true) = (&only, asked.is_empty()) {
        tracing::error!("unknown API `{only}`; configured: {}", names.join(", "));
        return Exit::Config;
    }
    let count = asked.len();
    let (asked, tokens, _hold, mut wrong) = with_refresh_tokens(asked, (directory, is_in_cluster));
    let reports = asked.into_iter().map(|plan| {
        let (transport, tokens) = (transport.clone(), tokens.clone());
        // A task of its own: a large answer keeps nobody else waiting.
        tokio::spawn(async move { examine(&transport, &plan, &tokens, Utc::now()).await })
    });
    let mut reports = stream::iter(reports).buffered(AT_A_TIME);
    while let Some(report) = reports.next().await {
        match report {
            Ok(report) => {
                wrong += usize::from(report.is_wrong());
                print(report.text());
            }
            Err(_) => {
                wrong += 1;
                print("! a bug kept an API from being asked; please report it with the lines of the log");
            }
        }
    }
    let apis = counted(count as u64, "API");
    let verdict = match wrong {
        0 => "all well".to_owned(),
        wrong => format!("{wrong} with something wrong, marked with !"),
    };
    print(&format!("{apis} asked, {verdict}; nothing was shipped, nothing was saved"));
    if wrong == 0 { Exit::Clean } else { Exit::Failed }
}
