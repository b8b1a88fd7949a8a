//! `incidentd completions`: the completion script of a shell, made from the command line's definition.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, CommandError, text};

/// A script with which a shell completes this command line
#[derive(Args, Debug)]
#[command(after_long_help = "\
To try them in the present shell:
  bash: source <(incidentd completions bash)
  zsh:  source <(incidentd completions zsh)
  fish: incidentd completions fish | source
To have them always, write them where the shell looks:
  bash: /etc/bash_completion.d/incidentd
  zsh:  _incidentd in a folder of $fpath
  fish: /etc/fish/completions/incidentd.fish
The Debian package has done so.")]
pub struct CompletionsCommand {
    /// The shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "incidentd", &mut script);
        text::print_as_it_is(&String::from_utf8_lossy(&script))
    }
}
