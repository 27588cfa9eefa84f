//! One flag for each configuration field, out of the table of fields.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::fields::{FIELDS, Sample};
use crate::exit::Exit;

/// The flags that were given, by the name of their field.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    pub(super) fn into_values(self) -> BTreeMap<&'static str, String> {
        self.0
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        FIELDS.iter().fold(command, |command, field| {
            let default = match field.sample {
                Sample::Default(value) => format!(" [default: {}]", value.trim_matches('"')),
                Sample::Required(_) | Sample::Unset(_) => String::new(),
            };
            command.arg(
                Arg::new(field.key)
                    .long(field.flag())
                    .value_name(field.placeholder())
                    .help(format!("{}{default} [env: {}]", field.doc, field.variable()))
                    .help_heading("Settings, each over the one in the configuration file")
                    .hide_short_help(true)
                    .global(true),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for field in FIELDS {
            if let Some(value) = matches.get_one::<String>(field.key) {
                self.0.insert(field.key, value.clone());
            }
        }
        Ok(())
    }
}

/// The table of exit codes for the help.
pub(super) fn exit_codes() -> String {
    let mut text = String::from("Exit status:");
    for exit in Exit::ALL {
        text.push_str(&format!("\n  {}  {}", exit.number(), exit.meaning()));
    }
    text
}
