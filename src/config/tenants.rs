//! `[[tenants]]`: each tenant's id and name, and the defaults with its overrides applied.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::api::{self, ApiChoice};
use super::app::AppParts;
use super::context::Context;
use super::kafka;
use super::origin::{File, Spot};
use super::poll;
use super::problems::{Diagnosis, Problem, Wrong, wrong};
use super::scope::{Owner, Scope};
use super::section::ConfigSection;
use crate::core::format::is_wild;
use crate::core::health::failure::one_line;
use crate::core::ids::TenantId;
use crate::settings::{ApiSettings, AppSettings, PollSettings, TenantSettings};

/// What tenants share.
pub(super) struct Defaults {
    pub app: AppParts,
    /// `app`, if it is complete: for all tenants without an `[app]` of their own.
    pub shared_app: Option<Arc<AppSettings>>,
    pub api: ApiChoice,
    /// `api` and `poll` of all tenants without their own.
    pub shared_api: Arc<ApiSettings>,
    pub shared_poll: Arc<PollSettings>,
    pub topic: Arc<str>,
    /// The tables of the main file that tenants share.
    pub tables: Map<String, Value>,
}

/// Reads tenants from any number of files. Ids and names are unique over all of them.
pub(super) struct Tenants<'a> {
    defaults: Defaults,
    context: &'a Context<'a>,
    existing: ExistingTenants,
    lacking: BTreeMap<&'static str, Lacking>,
    read: usize,
    tenants: Vec<TenantSettings>,
}

/// The ids and names in use, each with its place, and the folder of new tenants.
#[derive(Default)]
pub struct ExistingTenants {
    /// The folder of tenants' files, if the configuration names one.
    pub tenants_dir: Option<PathBuf>,
    ids: HashMap<TenantId, Spot>,
    names: HashMap<Arc<str>, Spot>,
}

impl ExistingTenants {
    /// Where a tenant of this id is.
    pub fn of_id(&self, id: TenantId) -> Option<String> {
        self.ids.get(&id).map(Spot::to_string)
    }

    /// Where a tenant of this name is.
    pub fn of_name(&self, name: &str) -> Option<String> {
        self.names.get(name).map(Spot::to_string)
    }
}

enum Id {
    Good(TenantId),
    /// Another tenant has it.
    Doubled,
    Wrong,
}

impl Id {
    fn good(&self) -> Option<TenantId> {
        match self {
            Id::Good(id) => Some(*id),
            Id::Doubled | Id::Wrong => None,
        }
    }
}

/// Tenants that lack a part of the app registration.
struct Lacking {
    first: String,
    count: usize,
}

impl<'a> Tenants<'a> {
    pub fn new(defaults: Defaults, context: &'a Context<'a>) -> Self {
        Self {
            defaults,
            context,
            existing: ExistingTenants::default(),
            lacking: BTreeMap::new(),
            read: 0,
            tenants: Vec::new(),
        }
    }

    pub fn read_all(
        &mut self,
        tables: Vec<(Spot, Map<String, Value>)>,
        file: &File,
        diagnosis: &mut Diagnosis,
    ) {
        for (index, (spot, table)) in tables.into_iter().enumerate() {
            let label = label(&table);
            let position = match &label {
                Some(label) => format!("{label} ({spot})"),
                None => spot.to_string(),
            };
            let scope = Scope {
                file: file.clone(),
                owner: Owner::Tenant {
                    index,
                    number: self.read,
                    label,
                },
            };
            self.read += 1;
            let shared = std::mem::take(&mut self.defaults.tables);
            let section = ConfigSection::new(diagnosis, &scope, spot, table).over(&shared);
            let tenant = self.read_one(section, &position);
            self.defaults.tables = shared;
            self.tenants.extend(tenant);
        }
    }

    /// The tenants, and the names and ids in use. Reports missing parts of the app registration once for all tenants,
    /// at the place `app` of the shared one.
    pub fn finish(
        self,
        app: &Spot,
        diagnosis: &mut Diagnosis,
    ) -> (Vec<TenantSettings>, ExistingTenants) {
        for (key, Lacking { first, count }) in self.lacking {
            let who = match count {
                1 => format!("{first} has none of its own"),
                _ => format!("{count} tenants have none of their own, the first is {first}"),
            };
            let remedy = match key {
                "client_id" => {
                    "set it to the \"Application (client) ID\" on the app registration's overview page in Microsoft Entra"
                }
                _ => {
                    "set it to the path of a file that holds the secret's Value, or set app.client_secret_env or \
                     app.federated_token_file"
                }
            };
            let wrong = wrong(format!("it is missing, and {who}"), remedy);
            diagnosis
                .problems
                .push(Problem::at(app, format!("app.{key}"), wrong));
        }
        (self.tenants, self.existing)
    }

    pub fn is_empty(&self) -> bool {
        self.read == 0
    }

    fn read_one(
        &mut self,
        mut section: ConfigSection<'_>,
        position: &str,
    ) -> Option<TenantSettings> {
        let id = self.read_id(&mut section);
        let name = self.read_name(&mut section, &id);
        let app = self.read_app(&mut section, position);
        let api_and_poll = self.read_api_and_poll(&mut section);
        let mut kafka = section.section("kafka");
        let topic = kafka.own("topic", kafka::topic_name);
        kafka.finish();
        section.finish();
        let (api, poll) = api_and_poll?;
        Some(TenantSettings {
            id: id.good()?,
            name: name?,
            app: app?,
            api,
            poll,
            topic: topic.unwrap_or_else(|| Arc::clone(&self.defaults.topic)),
        })
    }

    fn read_id(&mut self, section: &mut ConfigSection<'_>) -> Id {
        let Some(id) = section.own("id", tenant_id) else {
            if !section.given("id") {
                section.refuse("id", wrong("it is missing", TENANT_ID));
            }
            return Id::Wrong;
        };
        if let Some(other) = self.existing.of_id(id) {
            let what = format!("{other} has the same id");
            let remedy = "remove one of the two tenants, or correct its id";
            section.refuse("id", wrong(what, remedy));
            return Id::Doubled;
        }
        let spot = section
            .given_at("id")
            .unwrap_or_else(|| section.spot().clone());
        self.existing.ids.insert(id, spot);
        Id::Good(id)
    }

    fn read_name(&mut self, section: &mut ConfigSection<'_>, id: &Id) -> Option<Arc<str>> {
        let name: Arc<str> = match section.own("name", |text| tenant_name(text, id.good())) {
            Some(name) => name,
            None if section.given("name") => return None,
            None => id.good()?.to_string().into(),
        };
        let Some(other) = self.existing.of_name(&name) else {
            let spot = section
                .given_at("name")
                .unwrap_or_else(|| section.spot().clone());
            self.existing.names.insert(Arc::clone(&name), spot);
            return Some(name);
        };
        // For a tenant that was copied as a whole, only its id is reported.
        if !matches!(id, Id::Doubled) {
            let what = format!("{other} has the same name");
            section.refuse("name", wrong(what, "rename one of the two"));
        }
        None
    }

    fn read_app(
        &mut self,
        section: &mut ConfigSection<'_>,
        position: &str,
    ) -> Option<Arc<AppSettings>> {
        let mut own = section.section("app");
        if own.is_empty() && self.defaults.shared_app.is_some() {
            return self.defaults.shared_app.clone();
        }
        let app = AppParts::read(&mut own, &self.defaults.app, self.context);
        own.finish();
        for key in app.missing() {
            let first = || Lacking {
                first: position.into(),
                count: 0,
            };
            self.lacking.entry(key).or_insert_with(first).count += 1;
        }
        app.complete().map(Arc::new)
    }

    fn read_api_and_poll(
        &self,
        section: &mut ConfigSection<'_>,
    ) -> Option<(Arc<ApiSettings>, Arc<PollSettings>)> {
        let defaults = &self.defaults;
        let mut own = section.section("api");
        let without_api = own.is_empty();
        let mut api = match without_api {
            true => defaults.api.settings.clone(),
            false => api::read(&mut own, Some(&defaults.api), self.context)?.settings,
        };
        own.finish();
        let mut own = section.section("poll");
        let shared_source = defaults.api.settings.source;
        // The budget follows the source.
        if own.is_empty() && api.source == shared_source {
            let api = match without_api {
                true => Arc::clone(&defaults.shared_api),
                false => Arc::new(api),
            };
            return Some((api, Arc::clone(&defaults.shared_poll)));
        }
        let poll = poll::read(&mut own, &mut api, Some(shared_source))?;
        own.finish();
        Some((Arc::new(api), Arc::new(poll)))
    }
}

/// The name of a tenant in a report, before anything is checked: what could be a name or an id.
fn label(table: &Map<String, Value>) -> Option<String> {
    let text = |key| match table.get(key).map(|value: &Value| &value.kind) {
        Some(ValueKind::String(text)) => Some(text.trim()),
        _ => None,
    };
    let label = text("name")
        .filter(|text| tenant_name(text, None).is_ok())
        .or_else(|| text("id").filter(|text| tenant_id(text).is_ok()));
    label.map(|label| one_line(label, 64))
}

const TENANT_ID: &str =
    "set it to the customer's \"Tenant ID\" from the overview page of Microsoft Entra";

/// A tenant's id.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn tenant_id(text: &str) -> Result<TenantId, Wrong> {
    let id: TenantId = text
        .parse()
        .map_err(|_| wrong("it is not a GUID", TENANT_ID))?;
    match id.as_bytes() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => {
            Err(wrong("it is a placeholder", TENANT_ID))
        }
        _ => Ok(id),
    }
}

/// A tenant's name. Commands take an id or a name, so a name must not be another tenant's id.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn tenant_name(text: &str, id: Option<TenantId>) -> Result<Arc<str>, Wrong> {
    let what = match text.chars().count() {
        0 => Some("it is empty"),
        65.. => Some("it is longer than 64 characters"),
        _ if text.contains(is_wild) => Some("it has characters that can't be printed"),
        _ => None,
    };
    if let Some(what) = what {
        return Err(wrong(what, "give a short name, or leave it out"));
    }
    match text.parse::<TenantId>() {
        Ok(other) if Some(other) != id => Err(wrong(
            "it is the id of another tenant",
            "give a name, or leave it out",
        )),
        Ok(other) => Ok(other.to_string().into()),
        Err(_) => Ok(text.into()),
    }
}
