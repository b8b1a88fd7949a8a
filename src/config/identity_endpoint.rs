//! Where the tokens of a managed identity come from, as Azure says it in the environment.

use secrecy::SecretString;
use url::{Host, Url};

use super::Environment;
use super::problems::{Wrong, wrong};
use crate::settings::{IdentityEndpoint, SecretSource};

/// The instance metadata service of every machine in Azure.
const IMDS: &str = "http://169.254.169.254";
const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// Moves the metadata service elsewhere, in Azure's own libraries, too.
const HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
const ENDPOINT: &str = "IDENTITY_ENDPOINT";
const HEADER: &str = "IDENTITY_HEADER";
/// Beside `IDENTITY_ENDPOINT` it marks the agent of Azure Arc.
const ARC: &str = "IMDS_ENDPOINT";
/// The agent's folder on Linux.
const ARC_KEYS: &str = "/var/opt/azcmagent/tokens";

/// The endpoint of App Service, Functions or Container Apps, or of Azure Arc, when the environment names one; else the metadata
/// service.
pub(super) fn of_environment(environment: &Environment) -> Result<IdentityEndpoint, Wrong> {
    let get = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    match (get(ENDPOINT), get(HEADER)) {
        (Some(url), Some(header)) => Ok(IdentityEndpoint::AppService {
            url: near(ENDPOINT, url)?,
            header: SecretSource::Env {
                name: HEADER.to_owned(),
                value: SecretString::from(header.clone()),
            },
        }),
        (Some(url), None) if get(ARC).is_some() => Ok(IdentityEndpoint::Arc {
            url: near(ENDPOINT, url)?,
            keys: ARC_KEYS.into(),
        }),
        (Some(_), None) => Err(wrong(
            format!(
                "the environment has {ENDPOINT}, and neither {HEADER} (App Service) nor {ARC} (Azure Arc)"
            ),
            format!(
                "set what Azure sets beside {ENDPOINT}, or unset it; where there is none (Service Fabric), use a certificate \
                 (app.certificate_file)"
            ),
        )),
        (None, _) => {
            let mut url = match get(HOST) {
                Some(host) => near(HOST, host)?,
                None => near(HOST, IMDS)?,
            };
            url.set_path(IMDS_PATH);
            Ok(IdentityEndpoint::Imds(url))
        }
    }
}

/// A URL on this machine, or on a link-local address, which no router passes on; elsewhere tokens need TLS.
fn near(name: &str, text: &str) -> Result<Url, Wrong> {
    let remedy = format!(
        "unset {name}, or set it as Azure does: http on loopback or on a link-local address, or https"
    );
    let wrong = |what: &str| wrong(format!("{name} of the environment {what}"), remedy.clone());
    let url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
    let is_near = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unicast_link_local(),
        None => return Err(wrong("names no host")),
    };
    match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err(wrong("holds a user or a password"))
        }
        "https" => Ok(url),
        "http" if is_near => Ok(url),
        _ => Err(wrong("leads to another machine without https")),
    }
}
