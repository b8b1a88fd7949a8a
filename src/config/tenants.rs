//! `[[tenants]]`: each tenant's id and name, and the defaults with its overrides applied.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::api::{self, Api};
use super::app::{AppParts, World};
use super::kafka;
use super::poll::{self, Poll};
use super::problems::{Findings, Problem, Wrong, wrong};
use super::section::{Place, Section};
use super::settings::{ApiSettings, AppSettings, PollSettings, TenantSettings};
use crate::core::failure::one_line;
use crate::core::ids::TenantId;

/// What a tenant has unless it says otherwise.
pub(super) struct Defaults {
    pub app: AppParts,
    /// `app`, when it is complete: shared by all tenants without an `[app]` of their own.
    pub shared_app: Option<Arc<AppSettings>>,
    pub api: Api,
    /// `api` and `poll` as all tenants without their own have them.
    pub shared_api: Arc<ApiSettings>,
    pub poll: Poll,
    pub shared_poll: Arc<PollSettings>,
    pub topic: Arc<str>,
}

/// Reads tenants from any number of files; what must be unique is so over all of them.
pub(super) struct Tenants<'a> {
    defaults: Defaults,
    world: &'a World<'a>,
    ids: HashMap<TenantId, String>,
    names: HashMap<Arc<str>, String>,
    lacking: BTreeMap<&'static str, Lacking>,
    read: usize,
    tenants: Vec<TenantSettings>,
}

/// Tenants for which a part of the app registration is given nowhere.
struct Lacking {
    first: String,
    count: usize,
}

impl<'a> Tenants<'a> {
    pub fn new(defaults: Defaults, world: &'a World<'a>) -> Self {
        Self {
            defaults,
            world,
            ids: HashMap::new(),
            names: HashMap::new(),
            lacking: BTreeMap::new(),
            read: 0,
            tenants: Vec::new(),
        }
    }

    pub fn read_all(
        &mut self,
        tables: Vec<Map<String, Value>>,
        file: &Arc<str>,
        findings: &mut Findings,
    ) {
        for (index, table) in tables.into_iter().enumerate() {
            let place = Place {
                file: Arc::clone(file),
                tenant: label(&table),
            };
            let path = format!("tenants[{index}]");
            let position = format!("{path} of {file}");
            let section = Section::new(findings, place, path, table);
            self.read += 1;
            let tenant = self.read_one(section, position);
            self.tenants.extend(tenant);
        }
    }

    /// The tenants. Reports what no single tenant is to blame for.
    pub fn finish(self, main: &str, findings: &mut Findings) -> Vec<TenantSettings> {
        for (key, Lacking { first, count }) in self.lacking {
            findings.problems.push(Problem {
                origin: main.into(),
                key: format!("app.{key}"),
                tenant: None,
                value: None,
                what: format!("it is missing; tenants that need it: {count}, the first is {first}"),
                remedy: match key {
                    "client_id" => "set it to the \"Application (client) ID\" of the app registration".into(),
                    _ => "set it to the path of a file that holds the secret's value, or set app.client_secret_env or app.federated_token_file".into(),
                },
            });
        }
        if self.read == 0 {
            findings.file(
                main,
                "there is no tenant",
                "add [[tenants]] with id = \"…\" here, or in a file of tenants_dir",
            );
        }
        self.tenants
    }

    fn read_one(&mut self, mut section: Section<'_>, position: String) -> Option<TenantSettings> {
        let id = self.read_id(&mut section, &position);
        let name = self.read_name(&mut section, id, &position);
        let app = self.read_app(&mut section, &position);
        let (api, poll) = self.read_api_and_poll(&mut section);
        let mut kafka = section.section("kafka");
        let topic = kafka::read_topic(&mut kafka);
        kafka.finish();
        section.finish();
        Some(TenantSettings {
            id: id?,
            name: name?,
            app: app?,
            api,
            poll,
            topic: topic.unwrap_or_else(|| Arc::clone(&self.defaults.topic)),
        })
    }

    fn read_id(&mut self, section: &mut Section<'_>, position: &str) -> Option<TenantId> {
        let remedy =
            "set it to the customer's \"Tenant ID\" from the overview page of Microsoft Entra";
        let parsed = section.parse("id", |text| {
            text.parse::<TenantId>()
                .map_err(|_| wrong("it is not a GUID", remedy))
        });
        let Some(id) = parsed else {
            if !section.given("id") {
                section.refuse("id", wrong("it is missing", remedy));
            }
            return None;
        };
        if let Some(other) = self.ids.get(&id) {
            section.refuse(
                "id",
                wrong(format!("{other} has the same id"), "remove one of the two"),
            );
            return None;
        }
        self.ids.insert(id, position.into());
        Some(id)
    }

    fn read_name(
        &mut self,
        section: &mut Section<'_>,
        id: Option<TenantId>,
        position: &str,
    ) -> Option<Arc<str>> {
        let name: Arc<str> = match section.parse("name", |text| name(text, id)) {
            Some(name) => name,
            None if section.given("name") => return None,
            None => id?.to_string().into(),
        };
        if let Some(other) = self.names.get(&name) {
            section.refuse(
                "name",
                wrong(
                    format!("{other} has the same name"),
                    "rename one of the two",
                ),
            );
            return None;
        }
        self.names.insert(Arc::clone(&name), position.into());
        Some(name)
    }

    fn read_app(&mut self, section: &mut Section<'_>, position: &str) -> Option<Arc<AppSettings>> {
        let mut own = section.section("app");
        if own.is_empty() && self.defaults.shared_app.is_some() {
            return self.defaults.shared_app.clone();
        }
        let app = AppParts::read(&mut own, &self.defaults.app, self.world);
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
        section: &mut Section<'_>,
    ) -> (Arc<ApiSettings>, Arc<PollSettings>) {
        let defaults = &self.defaults;
        let mut own_api = section.section("api");
        let without_api = own_api.is_empty();
        let mut api = match without_api {
            true => defaults.api.clone(),
            false => api::read(&mut own_api, &defaults.api, self.world),
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

/// What to call a tenant in a report, before anything is known to be right.
fn label(table: &Map<String, Value>) -> Option<String> {
    let text = |key| match table.get(key).map(|value: &Value| &value.kind) {
        Some(ValueKind::String(text)) if !text.is_empty() => Some(one_line(text, 64)),
        _ => None,
    };
    text("name").or_else(|| text("id"))
}

/// Commands take a tenant's id or its name: a name must not be another's id.
fn name(text: &str, id: Option<TenantId>) -> Result<Arc<str>, Wrong> {
    let length = text.chars().count();
    if !(1..=64).contains(&length) || text.chars().any(char::is_control) {
        return Err(wrong(
            "it is empty, longer than 64 characters, or not printable",
            "give a short name",
        ));
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
