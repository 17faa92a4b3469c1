//! Wires: logs to standard error, reports to standard output, the result to an exit code.

use std::{env, error::Error, process::ExitCode, time::Duration};

use landfall_agent::{clock::Instant, reporter::Reporter, run};
use landfall_api::Event;
use tracing::{error, level_filters::LevelFilter};

/// How long a reader that does not read may hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let started = Instant::now();
    // One word and not a filter: the language of filters would be an eighth of this program.
    let level =
        env::var("LANDFALL_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).init();
    let reporter = match Reporter::start() {
        Ok(reporter) => reporter,
        Err(error) => {
            error!(%error, "cannot start the reporter");
            return ExitCode::FAILURE;
        }
    };
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(run::Error::Runtime)
        .and_then(|runtime| {
            let result = runtime.block_on(run::run(started, &reporter));
            // A read of standard input that never returns must not keep the process.
            runtime.shutdown_background();
            result
        });
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            let message = told(&error);
            error!("{message}");
            reporter.report(Event::Fatal { message });
            code
        }
    };
    reporter.flush(LAST_WORDS);
    code
}

/// An error and what it comes from, on one line.
fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}
