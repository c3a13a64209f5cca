//! The flags of the engine, built from the catalog so that none can be missing or differ.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

use super::keys::{Form, KEYS, Key};

/// What `serve` and `echo` have in common. Values are texts still: what is wrong with one is told
/// in the same words wherever it comes from.
#[derive(Clone, Debug, Default)]
pub struct EngineArgs {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The flags that were given, with their values.
    pub flags: Vec<(&'static Key, Vec<String>)>,
}

impl Args for EngineArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Read settings from this TOML file [env: RINGWIRE_CONFIG]");
        KEYS.iter().fold(command.next_line_help(true).arg(config), |command, key| {
            command.arg(argument(key))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for EngineArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut args = EngineArgs::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.config = matches.get_one("config").cloned();
        let given = |key: &'static Key| {
            let values = matches.get_many::<String>(key.flag)?;
            Some((key, values.cloned().collect()))
        };
        self.flags = KEYS.iter().filter_map(given).collect();
        Ok(())
    }
}

fn argument(key: &'static Key) -> Arg {
    let help = format!("{} [default: {}] [env: {}]", key.help, key.default_text(), key.variable());
    let action = if key.is_list() { ArgAction::Append } else { ArgAction::Set };
    let argument = Arg::new(key.flag)
        .long(key.flag)
        .value_name(key.value_name)
        .action(action)
        .allow_negative_numbers(true)
        .help(help);
    if matches!(key.form, Form::Switch(_)) {
        return argument.num_args(0..=1).require_equals(true).default_missing_value("true");
    }
    argument
}
