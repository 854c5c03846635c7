//! The binary: reads the command line, begins to log, and runs the command to its exit code.

use logzio_api_fetcher::cli::Cli;
use logzio_api_fetcher::commands;
use logzio_api_fetcher::process::logging;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Two threads at least, so that a file that hangs keeps nobody from hearing a signal.
const WORKER_THREADS_MIN: usize = 2;

fn main() {
    let cli = Cli::from_process();
    // What is written holds records and state: it is for its owner alone.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // While there is one thread, and before anything is read or sent.
    let given_up = commands::give_up_root(&cli);
    let progress = logging::init(cli.options.level, cli.options.log_format);
    given_up.tell();
    allow_open_files();
    let threads = std::thread::available_parallelism().map_or(WORKER_THREADS_MIN, |n| n.get().max(WORKER_THREADS_MIN));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let (exit, left) = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(commands::dispatch(cli, progress));
            // A thread that hangs in a system call is left behind.
            runtime.shutdown_background();
            ended
        }
        Err(cause) => {
            tracing::error!(%cause, "no threads can be started");
            (commands::Exit::Failed, None)
        }
    };
    logging::flush(left.unwrap_or(logging::FLUSH_WITHIN).min(logging::FLUSH_WITHIN));
    std::process::exit(exit.code());
}

/// Every API under way needs a connection, and shells allow 1,024 open files unless they are asked for more.
fn allow_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(cause) = raised {
        tracing::debug!(%cause, "the limit of open files stays as it is");
    }
}
