use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use super::template::Template;
use crate::exit::Exit;

/// The flags of the interface for existing portals.
#[derive(Args, Debug)]
pub(crate) struct BeaconV1Args {
    /// Also answer an existing Beacon portal as it expects: whoever shows no token reads and submits
    /// that portal's jobs. Its Cancel button needs --cancel-policy legacy_open.
    #[arg(long, env = "BEACON_BEACON_V1", value_parser = FalseyValueParser::new())]
    pub(crate) beacon_v1: bool,

    /// Whether specs of a portal must be signed [default: required]; a bad signature is always refused.
    #[arg(long, env = "BEACON_V1_SIGNATURES", value_name = "POLICY")]
    pub(crate) v1_signatures: Option<Signatures>,

    /// What each execution of a portal's job does: a JSON file with executor, input and, optionally,
    /// labels and timeout_seconds, in whose strings {{model}}, {{region}} (us-east), {{area}} (us),
    /// {{question}} and {{prompt}} are replaced [default: a process that repeats the prompt].
    #[arg(long, env = "BEACON_V1_TEMPLATE", value_name = "FILE")]
    pub(crate) v1_template: Option<PathBuf>,
}

/// Whether specs must be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Signatures {
    /// Unsigned ones are taken, too.
    Optional,
    /// Unsigned ones are refused.
    Required,
}

/// How portals are answered.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(super) signatures: Signatures,
    pub(super) template: Template,
}

impl Settings {
    /// Checks the flags. `None` when the interface is off.
    pub(crate) fn from_args(args: &BeaconV1Args, open: bool) -> Result<Option<Self>, Exit> {
        if !args.beacon_v1 {
            let lonely = [
                ("--v1-signatures", args.v1_signatures.is_some()),
                ("--v1-template", args.v1_template.is_some()),
            ];
            return match lonely.iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(Exit::usage(format!(
                    "{flag} is of no use without --beacon-v1; add it, or leave it out"
                ))),
                None => Ok(None),
            };
        }
        if open {
            return Err(Exit::usage(
                "--beacon-v1 with --auth open: a portal is told from other clients by showing no token; use --auth token",
            ));
        }
        let template = match &args.v1_template {
            Some(path) => Template::load(path)
                .map_err(|why| Exit::usage(format!("--v1-template {}: {why}", path.display())))?,
            None => Template::built_in(),
        };
        Ok(Some(Self { signatures: args.v1_signatures.unwrap_or(Signatures::Required), template }))
    }
}
