//! `incidentd consent`: the links through which customers' administrators consent to the app. Uses no network,
//! and no secret.

use std::collections::HashSet;

use clap::Args;

use super::text::{Layout, paragraph, print, table};
use super::{CommandError, ConfigFile, tenant_selection};
use crate::app::inspect::{REDIRECT_URI, consent_link, invitations};
use crate::config;
use crate::core::format::tame;
use crate::settings::TenantSettings;

/// The links through which customers' administrators consent to the app
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
        let settings = self.file.read(config::load_for_reading)?;
        if self.url {
            return print(&for_new(&settings.tenants));
        }
        let tenants = tenant_selection::tenants(&settings, &self.tenants)?;
        print(&for_known(&tenants))
    }
}

fn for_known(tenants: &[&TenantSettings]) -> String {
    let rows = tenants
        .iter()
        .map(|tenant| [tame(&tenant.name), consent_link(tenant)]);
    // Links stay whole, whatever their length.
    let layout = Layout {
        width: usize::MAX,
        name: 0,
        right: &[],
    };
    let mut lines = table(["TENANT", "LINK"], rows, layout);
    lines.push(String::new());
    lines.extend(paragraph(
        "",
        "Have each link opened by an administrator of its tenant who may consent for the whole organization. The page then \
         leads to the Azure portal, whatever the outcome; incidentd check shows whether it worked. Consent again after \
         each change of the app's permissions.",
    ));
    lines.extend(preconditions(tenants.iter().copied()));
    lines.join("\n") + "\n"
}

fn for_new(tenants: &[TenantSettings]) -> String {
    let invitations = invitations(tenants);
    let mut lines = Vec::new();
    for (link, like) in &invitations {
        if invitations.len() > 1 {
            let (name, cloud) = (tame(&like.name), like.api.login_url.host_str());
            lines.extend(paragraph(
                "",
                &format!("As for {name} (at {}):", cloud.unwrap_or_default()),
            ));
        }
        lines.push(link.clone());
    }
    lines.push(String::new());
    lines.extend(paragraph(
        "",
        "Send it to a new customer: an administrator who opens it consents for the tenant of the account that signs \
         in. Where you know the tenant's id, put it in the place of \"organizations\", so that it can be no other tenant. \
         The page then leads to the Azure portal; the address it goes to has the tenant's id behind \"tenant=\". Take it \
         as a hint only: have the customer confirm it, add it as [[tenants]], and run incidentd check --tenant ID.",
    ));
    lines.extend(preconditions(invitations.iter().map(|(_, like)| *like)));
    lines.join("\n") + "\n"
}

/// What the app registration needs before, once for each app and permission.
fn preconditions<'a>(tenants: impl Iterator<Item = &'a TenantSettings>) -> Vec<String> {
    let mut said = HashSet::new();
    let texts = tenants.map(|tenant| {
        let permission = &tenant.api.source.facts().permission;
        format!(
            "The app registration {} needs, before: the application permission \"{}\" of the API \"{}\"; accounts \"in any \
             organizational directory\"; the web redirect URI {REDIRECT_URI}.",
            tenant.app.client_id,
            permission.wanted(),
            permission.api
        )
    });
    texts
        .filter(|text| said.insert(text.clone()))
        .flat_map(|text| paragraph("", &text))
        .collect()
}
