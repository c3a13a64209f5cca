//! What a package carries beside the command: manual pages and completions for shells, made from
//! the command's own definition so that they can't say anything else.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, CliError};

/// Prints what a shell reads to complete the command.
#[derive(Clone, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the manual page, or writes those of all subcommands.
#[derive(Clone, Debug, clap::Args)]
pub struct ManArgs {
    /// Write ringwire.1 and a page for each subcommand into this folder
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// Prints the completions.
pub fn completions(args: &CompletionsArgs, output: &mut dyn Write) -> Result<(), CliError> {
    let mut command = Cli::command();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ringwire", &mut text);
    output.write_all(&text).map_err(CliError::runtime)
}

/// Prints or writes the manual.
pub fn man(args: &ManArgs, output: &mut dyn Write) -> Result<(), CliError> {
    let mut command = Cli::command();
    command.build();
    match &args.folder {
        None => Man::new(command).render(output).map_err(CliError::runtime),
        Some(folder) => pages(command, folder),
    }
}

fn pages(command: clap::Command, folder: &Path) -> Result<(), CliError> {
    let write = |command: clap::Command| {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let path = folder.join(format!("{name}.1"));
        let problem =
            |error: std::io::Error| CliError::runtime(format!("{}: {error}", path.display()));
        let mut file = File::create(&path).map_err(problem)?;
        Man::new(command).render(&mut file).map_err(problem)
    };
    let subcommands = command.get_subcommands().filter(|command| command.get_name() != "help");
    subcommands.cloned().try_for_each(write)?;
    write(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_has_a_page_and_is_completed_by_every_shell() {
        let folder = std::env::temp_dir().join(format!("ringwire-man-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        man(&ManArgs { folder: Some(folder.clone()) }, &mut Vec::new()).expect("written");
        let command = Cli::command();
        for name in command.get_subcommands().map(clap::Command::get_name) {
            let page = folder.join(format!("ringwire-{name}.1"));
            let page = std::fs::read_to_string(page).expect("there is one");
            assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{name}: {page}");
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                let mut text = Vec::new();
                completions(&CompletionsArgs { shell }, &mut text).expect("text");
                assert!(String::from_utf8(text).expect("text").contains(name), "{shell}: {name}");
            }
        }
        std::fs::remove_dir_all(&folder).expect("removed");
        let mut page = Vec::new();
        man(&ManArgs { folder: None }, &mut page).expect("printed");
        assert!(String::from_utf8(page).expect("text").contains("ringwire\\-serve(1)"));
    }
}
