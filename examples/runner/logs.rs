//! Log lines on stderr.

use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::cli::{LogArgs, LogFormat};
use crate::exit::Exit;

/// Begins to log.
pub(crate) fn start(args: &LogArgs) -> Result<(), Exit> {
    let filter: Targets = args.log.parse().map_err(|error| {
        Exit::usage(format!(
            "--log: {error}; use a level such as info, or target=level pairs with commas between"
        ))
    })?;
    let layer = fmt::layer().with_writer(io::stderr);
    match args.log_format {
        LogFormat::Text => {
            install(layer.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).with_filter(filter))
        }
        LogFormat::Json => install(layer.json().with_filter(filter)),
    }
}

fn install(layer: impl Layer<registry::Registry> + Send + Sync) -> Result<(), Exit> {
    registry().with(layer).try_init().map_err(|error| Exit::failed(format!("logging cannot begin: {error}")))
}
