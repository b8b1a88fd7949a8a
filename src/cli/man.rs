//! `incidentd man`: the manual pages, made from the command line's definition and [`MANUAL`].

use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as ManPage;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, CommandError, FAILED, INTERNAL, OrExit, text};

/// The manual page; or all of them, into a folder
#[derive(Args, Debug)]
#[command(after_long_help = "\
To read the main page:
  incidentd man | man -l -
To have all of them where man looks:
  incidentd man /usr/local/share/man/man1")]
pub struct ManCommand {
    /// A folder to write one page for each command into, made if need be; without it, the main page is printed
    dir: Option<PathBuf>,
}

/// What holds for the whole program: headings, terms (two spaces), and their meaning (six spaces). It is the end of
/// `incidentd --help`, and part of the main page.
pub const MANUAL: &str = include_str!("man.txt");

/// The name of the main page.
const PROGRAM: &str = "incidentd";

impl ManCommand {
    pub fn run(self) -> Result<(), CommandError> {
        // A command knows its whole name only after this.
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        let Some(dir) = self.dir else {
            let page = page(&program).context("can't make the page");
            return text::print_as_it_is(&page.or_exit(INTERNAL)?);
        };
        write_all(&program, &dir).or_exit(FAILED)
    }
}

fn write_all(program: &Command, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    for command in with_those_below(program) {
        let file = dir.join(ManPage::new(command.clone()).get_filename());
        fs::write(&file, page(command)?)
            .with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}

/// A command and those below it, at any depth, without hidden ones and clap's `help`.
fn with_those_below(command: &Command) -> Vec<&Command> {
    let is_shown = |below: &&Command| !below.is_hide_set() && below.get_name() != "help";
    let below = command.get_subcommands().filter(is_shown);
    iter::once(command)
        .chain(below.flat_map(with_those_below))
        .collect()
}

fn page(command: &Command) -> io::Result<String> {
    let (command, last_sections) = match command.get_name() == PROGRAM {
        // Without clap's sections of the version, and of the manual as one text.
        true => (
            command.clone().version(None).after_long_help(None),
            manual(),
        ),
        false => (command.clone(), see_also()),
    };
    let mut page = Vec::new();
    ManPage::new(command)
        .manual("incidentd")
        .source(concat!("incidentd ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).replace(".SH EXTRA", ".SH NOTES");
    // The first two lines define the apostrophe, which the page has done.
    for line in last_sections.render().lines().skip(2) {
        page.push_str(line);
        page.push('\n');
    }
    Ok(page)
}

fn manual() -> Roff {
    let mut roff = Roff::new();
    for line in MANUAL.lines().filter(|line| !line.is_empty()) {
        if let Some(meaning) = line.strip_prefix("      ") {
            roff.text([roman(meaning)]);
        } else if let Some(term) = line.strip_prefix("  ") {
            roff.control("TP", []);
            roff.text([bold(term)]);
        } else {
            let heading = line.trim_end_matches(':').to_uppercase();
            roff.control("SH", [heading.as_str()]);
        }
    }
    roff
}

fn see_also() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        bold("incidentd"),
        roman("(1), for exit codes, signals, environment and files"),
    ]);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        program
    }

    #[test]
    fn the_main_page_has_every_section_once() {
        let page = page(&program()).unwrap();
        let headings: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .collect();
        assert_eq!(
            headings,
            [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "SUBCOMMANDS",
                "\"EXIT CODES\"",
                "SIGNALS",
                "ENVIRONMENT",
                "FILES"
            ]
        );
        assert_eq!(page.matches(".el .ds Aq").count(), 1, "{page}");
    }

    #[test]
    fn each_command_has_a_page_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        write_all(&program(), folder.path()).unwrap();
        for command in program().get_subcommands() {
            let name = command.get_name();
            let file = folder.path().join(format!("incidentd-{name}.1"));
            let page = fs::read_to_string(&file).unwrap_or_else(|_| panic!("no {file:?}"));
            let title = format!(".TH incidentd-{name} 1");
            assert!(page.contains(&title), "{page}");
            assert!(page.contains(".SH \"SEE ALSO\""), "{page}");
        }
        assert!(folder.path().join("incidentd.1").is_file());
        assert!(!folder.path().join("incidentd-help.1").exists());
    }

    #[test]
    fn a_command_below_a_command_has_a_page_without_the_manual() {
        let show = Command::new("show").about("Shows it");
        let below = Command::new("ledger").subcommand(show);
        let mut program = Command::new(PROGRAM).subcommand(below);
        program.build();
        let folder = tempfile::tempdir().unwrap();
        write_all(&program, folder.path()).unwrap();
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(read("incidentd.1").contains("EXIT CODES"));
        for file in ["incidentd-ledger.1", "incidentd-ledger-show.1"] {
            assert!(read(file).contains("SEE ALSO"), "{file}");
            assert!(!read(file).contains("EXIT CODES"), "{file}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    /// What `--help` and the page say of the whole program is one text.
    #[test]
    fn the_help_has_what_the_page_has() {
        let help = program().get_after_long_help().map(ToString::to_string);
        assert_eq!(help.as_deref(), Some(MANUAL.trim_end()));
        let page = page(&program()).unwrap();
        let meanings = MANUAL
            .lines()
            .filter_map(|line| line.strip_prefix("      "));
        let plain = page.replace("\\-", "-").replace("\\*(Aq", "'");
        for meaning in meanings {
            assert!(plain.contains(meaning), "{meaning} in {plain}");
        }
    }
}
