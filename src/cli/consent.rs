//! `incidentd consent`: the links through which customers' administrators consent to the app. Uses no network,
//! and no secret.

use std::collections::HashSet;

use clap::Args;

use super::text::{Layout, paragraph, print, table};
use super::{CONFIGURATION, CommandError, ConfigFile, tenant_selection};
use crate::app::inspect::{Asks, Invitation, REDIRECT_URI, TenantConsent, consents, invitations};
use crate::config::{self, process_environment};
use crate::core::format::tame;

#[derive(Args, Debug)]
pub struct ConsentCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Only these tenants, by id or name
    #[arg(value_name = "TENANT")]
    tenants: Vec<String>,
    /// A link for a customer who is not configured yet
    #[arg(long, conflicts_with = "tenants")]
    url: bool,
}

impl ConsentCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let settings = config::load_for_reading(&self.file.config, &process_environment())
            .map_err(|errors| CommandError::new(CONFIGURATION, errors))?;
        if self.url {
            return print(&for_new(&invitations(&settings.tenants)));
        }
        let tenants = tenant_selection::tenants(&settings, &self.tenants)?;
        print(&for_known(&consents(&tenants)))
    }
}

fn for_known(links: &[TenantConsent]) -> String {
    let mut rows = vec![["TENANT".to_owned(), "LINK".to_owned()]];
    rows.extend(
        links
            .iter()
            .map(|link| [tame(&link.name), link.link.clone()]),
    );
    // Links stay whole, whatever their length.
    let layout = Layout {
        width: usize::MAX,
        name: 0,
        right: &[],
    };
    let mut lines = table(rows, layout);
    lines.push(String::new());
    lines.extend(paragraph(
        "",
        "Have each link opened by an administrator of its tenant who may consent for the whole organization. The page then \
         leads to the Azure portal, whatever the outcome; incidentd check shows whether it worked. Consent again after \
         each change of the app's permissions.",
    ));
    lines.extend(preconditions(links.iter().map(|link| &link.asks)));
    lines.join("\n") + "\n"
}

fn for_new(invitations: &[Invitation]) -> String {
    let mut lines = Vec::new();
    for invitation in invitations {
        if invitations.len() > 1 {
            let like = format!(
                "As for {} (at {}):",
                tame(&invitation.like),
                invitation.cloud
            );
            lines.extend(paragraph("", &like));
        }
        lines.push(invitation.link.clone());
    }
    lines.push(String::new());
    lines.extend(paragraph(
        "",
        "Send it to a new customer: an administrator who opens it consents for the tenant of the account that signs \
         in. Where you know the tenant's id, put it in the place of \"organizations\", so that it can be no other tenant. \
         The page then leads to the Azure portal; the address it goes to has the tenant's id behind \"tenant=\". Take it \
         as a hint only: have the customer confirm it, add it as [[tenants]], and run incidentd check --tenant ID.",
    ));
    lines.extend(preconditions(
        invitations.iter().map(|invitation| &invitation.asks),
    ));
    lines.join("\n") + "\n"
}

/// What the app registration needs before, once for each app and permission.
fn preconditions<'a>(asks: impl Iterator<Item = &'a Asks>) -> Vec<String> {
    let mut said = HashSet::new();
    let new = asks.filter(|asks| said.insert(*asks));
    let line = |asks: &Asks| {
        format!(
            "The app registration {} needs, before: the application permission \"{}\" of the API \"{}\"; accounts \"in any \
             organizational directory\"; the web redirect URI {REDIRECT_URI}.",
            asks.client_id, asks.permission, asks.api
        )
    };
    new.flat_map(|asks| paragraph("", &line(asks))).collect()
}
