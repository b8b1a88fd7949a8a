//! `incidentd config`: the configuration in force, and where each value comes from; or what it may be, for editors.

use clap::Args;

use super::{CommandError, ConfigFile, USAGE, text};
use crate::app::Libraries;
use crate::config;

/// The configuration in force, and where each value comes from
#[derive(Args, Debug)]
pub struct ConfigCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Show all that holds for this tenant, by its name or id
    tenant: Option<String>,
    /// Print the configuration's JSON Schema for editors; no file is read
    #[arg(long, conflicts_with_all = ["tenant", "config"])]
    schema: bool,
}

impl ConfigCommand {
    pub fn run(self) -> Result<(), CommandError> {
        if self.schema {
            return text::print_as_it_is(&config::schema());
        }
        let effective = self.file.read(|file, environment| {
            config::effective(file, environment, &Libraries::default())
        })?;
        for warning in effective.warnings() {
            text::print_error(&format!("warning: {warning}"));
        }
        let Some(tenant) = self.tenant else {
            return text::print(&effective.all());
        };
        let text = effective.of_tenant(&tenant).ok_or_else(|| {
            let error = format!(
                "there is no tenant of the name or id {tenant:?}; incidentd config without it shows all of them"
            );
            CommandError::saying(USAGE, error)
        })?;
        text::print(&text)
    }
}
