//! `[[tenants]]`: each tenant's id and name, and the defaults with its overrides applied.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::api::{self, ApiChoice};
use super::app::{AppParts, Context};
use super::kafka;
use super::origin::{File, Spot};
use super::poll::{self, Poll};
use super::problems::{Diagnosis, Problem, Wrong, wrong};
use super::section::{ConfigSection, Owner, Scope};
use crate::core::format::is_wild;
use crate::core::health::failure::one_line;
use crate::core::ids::TenantId;
use crate::settings::{ApiSettings, AppSettings, PollSettings, TenantSettings};

/// What a tenant has unless it says otherwise.
pub(super) struct Defaults {
    pub app: AppParts,
    /// `app`, when it is complete: shared by all tenants without an `[app]` of their own.
    pub shared_app: Option<Arc<AppSettings>>,
    pub api: ApiChoice,
    /// `api` and `poll` as all tenants without their own have them.
    pub shared_api: Arc<ApiSettings>,
    pub poll: Poll,
    pub shared_poll: Arc<PollSettings>,
    pub topic: Arc<str>,
}

/// Reads tenants from any number of files; what must be unique is so over all of them.
pub(super) struct Tenants<'a> {
    defaults: Defaults,
    context: &'a Context<'a>,
    pub taken: Taken,
    lacking: BTreeMap<&'static str, Lacking>,
    read: usize,
    tenants: Vec<TenantSettings>,
}

/// Ids and names that are in use, each with where.
#[derive(Default)]
pub(super) struct Taken {
    pub ids: HashMap<TenantId, Spot>,
    pub names: HashMap<Arc<str>, Spot>,
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

/// Tenants for which a part of the app registration is given nowhere.
struct Lacking {
    first: String,
    count: usize,
}

impl<'a> Tenants<'a> {
    pub fn new(defaults: Defaults, context: &'a Context<'a>) -> Self {
        Self {
            defaults,
            context,
            taken: Taken::default(),
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
            let section = ConfigSection::new(diagnosis, scope, spot, table);
            let tenant = self.read_one(section, position);
            self.tenants.extend(tenant);
        }
    }

    /// The tenants, and the names and ids that are taken. Reports what no single tenant is to blame for: `app` is where
    /// the shared registration is given, or would be.
    pub fn finish(self, app: &Spot, diagnosis: &mut Diagnosis) -> (Vec<TenantSettings>, Taken) {
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
        (self.tenants, self.taken)
    }

    pub fn is_empty(&self) -> bool {
        self.read == 0
    }

    fn read_one(
        &mut self,
        mut section: ConfigSection<'_>,
        position: String,
    ) -> Option<TenantSettings> {
        let id = self.read_id(&mut section);
        let name = self.read_name(&mut section, &id);
        let app = self.read_app(&mut section, &position);
        let (api, poll) = self.read_api_and_poll(&mut section);
        let mut kafka = section.section("kafka");
        let topic = kafka::read_topic(&mut kafka, &self.defaults.topic);
        kafka.finish();
        section.finish();
        Some(TenantSettings {
            id: id.good()?,
            name: name?,
            app: app?,
            api,
            poll,
            topic,
        })
    }

    fn read_id(&mut self, section: &mut ConfigSection<'_>) -> Id {
        let Some(id) = section.parse("id", tenant_id) else {
            if !section.given("id") {
                section.refuse("id", wrong("it is missing", TENANT_ID));
            }
            return Id::Wrong;
        };
        if let Some(other) = self.taken.ids.get(&id) {
            let what = format!("{other} has the same id");
            let remedy = "remove one of the two tenants, or correct its id";
            section.refuse("id", wrong(what, remedy));
            return Id::Doubled;
        }
        let spot = section.given_at("id").unwrap_or(section.spot()).clone();
        self.taken.ids.insert(id, spot);
        Id::Good(id)
    }

    fn read_name(&mut self, section: &mut ConfigSection<'_>, id: &Id) -> Option<Arc<str>> {
        let name: Arc<str> = match section.parse("name", |text| name(text, id.good())) {
            Some(name) => name,
            None if section.given("name") => return None,
            None => id.good()?.to_string().into(),
        };
        let Some(other) = self.taken.names.get(&name) else {
            let spot = section.given_at("name").unwrap_or(section.spot()).clone();
            self.taken.names.insert(Arc::clone(&name), spot);
            return Some(name);
        };
        // A tenant that was copied as a whole is one mistake, and its id is the one reported.
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
    ) -> (Arc<ApiSettings>, Arc<PollSettings>) {
        let defaults = &self.defaults;
        let mut own_api = section.section("api");
        let without_api = own_api.is_empty();
        let mut api = match without_api {
            true => defaults.api.clone(),
            false => api::read(&mut own_api, &defaults.api, self.context),
        };
        own_api.finish();
        let mut own_poll = section.section("poll");
        // The budget follows the source.
        let same_source = api.settings.source == defaults.api.settings.source;
        if own_poll.is_empty() && same_source {
            let api = match without_api {
                true => Arc::clone(&defaults.shared_api),
                false => Arc::new(api.settings),
            };
            return (api, Arc::clone(&defaults.shared_poll));
        }
        let poll = poll::read(&mut own_poll, &defaults.poll, &mut api.settings);
        own_poll.finish();
        (Arc::new(api.settings), Arc::new(poll.settings))
    }
}

/// What to call a tenant in a report, before anything is known to be right: by what could be a name, or an id.
fn label(table: &Map<String, Value>) -> Option<String> {
    let text = |key| match table.get(key).map(|value: &Value| &value.kind) {
        Some(ValueKind::String(text)) => Some(text.trim()),
        _ => None,
    };
    let label = text("name")
        .filter(|text| name(text, None).is_ok())
        .or_else(|| text("id").filter(|text| tenant_id(text).is_ok()));
    label.map(|label| one_line(label, 64))
}

const TENANT_ID: &str =
    "set it to the customer's \"Tenant ID\" from the overview page of Microsoft Entra";

/// # Errors
/// What is wrong with the text, and what to write.
pub(super) fn tenant_id(text: &str) -> Result<TenantId, Wrong> {
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

/// Commands take a tenant's id or its name: a name must not be another's id.
pub(super) fn name(text: &str, id: Option<TenantId>) -> Result<Arc<str>, Wrong> {
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
