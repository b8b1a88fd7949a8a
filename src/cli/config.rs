//! `incidentd config`: the configuration in force, and where each value comes from.

use anyhow::anyhow;
use clap::Args;

use super::{CONFIGURATION, CommandError, ConfigFile, USAGE, text};
use crate::app::Libraries;
use crate::config::{self, process_environment};

#[derive(Args, Debug)]
pub struct ConfigCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Show all that holds for this tenant, by its name or id
    tenant: Option<String>,
}

impl ConfigCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let effective = config::effective(&self.file.config, &process_environment(), &Libraries)
            .map_err(|errors| CommandError::new(CONFIGURATION, errors))?;
        for warning in effective.warnings() {
            text::print_error(&format!("warning: {warning}"));
        }
        let Some(tenant) = self.tenant else {
            return text::print(&effective.all());
        };
        let text = effective.of_tenant(&tenant).ok_or_else(|| {
            let error = anyhow!(
                "there is no tenant of the name or id {tenant:?}; incidentd config without it shows all of them"
            );
            CommandError::new(USAGE, error)
        })?;
        text::print(&text)
    }
}
