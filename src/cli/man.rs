//! `incidentd man`: the manual pages, made from the command line and from what [`MANUAL`] says of all of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as ManPage;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, CommandError, FAILED, INTERNAL, text};

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

/// What holds for the whole program: a heading, and terms with what they mean.
pub struct ManualSection {
    pub heading: &'static str,
    pub entries: &'static [(&'static str, &'static str)],
}

pub const MANUAL: [ManualSection; 4] = [
    ManualSection {
        heading: "Exit codes",
        entries: &[
            ("0", "done; the daemon: stopped as asked"),
            (
                "1",
                "the command's own no: something is not ok (status), would not work (check, token), is in the way (init), or got lost \
                 (demo)",
            ),
            ("64", "the command line can't be understood"),
            (
                "70",
                "something broke that should not have: start it again, and report it",
            ),
            (
                "75",
                "not possible now: no daemon answers (status), Kafka or Microsoft is out of reach (check, token), the ledger is in use \
                 by another process or has no space, the port is taken or its address not there yet",
            ),
            (
                "78",
                "configuration or ledger need an operator; starting again won't help",
            ),
            ("130, 143", "ended at once by a second SIGINT or SIGTERM"),
        ],
    },
    ManualSection {
        heading: "Signals",
        entries: &[
            (
                "SIGTERM, SIGINT",
                "the daemon begins no more sweeps, finishes what it can within 25 seconds, and exits with 0; a second one ends \
                 it at once, and nothing is lost by that either",
            ),
            (
                "SIGHUP",
                "the daemon reads its configuration again: what changed is applied, and with a mistake anywhere nothing is; tenants \
                 that rest after a failure are tried again at once",
            ),
        ],
    },
    ManualSection {
        heading: "Environment",
        entries: &[
            (
                "INCIDENTD__SECTION__KEY",
                "sets a key of the main file, and wins over it: INCIDENTD__KAFKA__BROKERS, INCIDENTD__LOG__LEVEL",
            ),
            (
                "HTTPS_PROXY, NO_PROXY",
                "the proxy to Microsoft, where api.proxy is not set",
            ),
            ("NO_COLOR", "no colours, on a terminal either"),
            (
                "RUST_LOG",
                "is not read: log.level takes the same filters, and a warning says so",
            ),
        ],
    },
    ManualSection {
        heading: "Files",
        entries: &[
            (
                "/etc/incidentd/incidentd.toml",
                "the main file of the configuration; another with --config FILE",
            ),
            (
                "/var/lib/incidentd/ledger",
                "what was published, and how far each tenant is read (ledger.path); copy it only while the daemon is stopped",
            ),
        ],
    },
];

/// The same for `incidentd --help`.
pub fn manual() -> String {
    let mut text = String::new();
    for section in &MANUAL {
        text.push_str(section.heading);
        text.push_str(":\n");
        for (term, meaning) in section.entries {
            text.push_str(&format!("  {term}\n      {meaning}\n"));
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

impl ManCommand {
    pub fn run(self) -> Result<(), CommandError> {
        // Built, each command knows its whole name.
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        let Some(dir) = self.dir else {
            let page = page(&program).context("can't make the page");
            let page = page.map_err(|error| CommandError::new(INTERNAL, error))?;
            return text::print_as_it_is(&page);
        };
        write_all(&program, &dir).map_err(|error| CommandError::new(FAILED, error))
    }
}

fn write_all(program: &Command, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    let pages = std::iter::once(program).chain(program.get_subcommands());
    for command in pages.filter(|command| !command.is_hide_set()) {
        let file = dir.join(ManPage::new(command.clone()).get_filename());
        fs::write(&file, page(command)?)
            .with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}

fn page(command: &Command) -> io::Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let page = ManPage::new(command.clone())
        .manual("incidentd")
        .source(format!("incidentd {version}"));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
        for section in &MANUAL {
            section_of(section).to_writer(&mut text)?;
        }
    } else {
        if command.get_after_long_help().is_some() {
            page.render_extra_section(&mut text)?;
        }
        see_also().to_writer(&mut text)?;
    }
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA", ".SH NOTES");
    Ok(with_one_preamble(&text))
}

/// Each part comes with the definition of the apostrophe. Once is enough.
fn with_one_preamble(text: &str) -> String {
    let defines = |line: &str| line.starts_with(".ie ") || line.starts_with(".el ");
    let (first, rest): (Vec<_>, Vec<_>) = text.lines().enumerate().partition(|(n, _)| *n < 2);
    let rest = rest.into_iter().filter(|(_, line)| !defines(line));
    let lines: Vec<&str> = first
        .into_iter()
        .chain(rest)
        .map(|(_, line)| line)
        .collect();
    lines.join("\n") + "\n"
}

fn section_of(section: &ManualSection) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [section.heading.to_uppercase().as_str()]);
    for (term, meaning) in section.entries {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
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

    /// What `--help` and the page say of the whole program is one text, and fits a terminal that clap does not wrap it for.
    #[test]
    fn the_help_has_what_the_page_has() {
        let help = manual();
        for section in &MANUAL {
            assert!(help.contains(&format!("{}:\n", section.heading)), "{help}");
            for (term, meaning) in section.entries {
                assert!(
                    help.contains(&format!("  {term}\n      {meaning}\n"))
                        || help.ends_with(meaning),
                    "{term}"
                );
            }
        }
    }
}
