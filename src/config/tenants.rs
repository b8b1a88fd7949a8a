//! `[[tenants]]`: each tenant's id and name, and the defaults with its overrides applied.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::Arc;

use super::api::{self, ApiChoice};
use super::app::{self, AppChoice};
use super::kafka;
use super::origin::{Spot, Table};
use super::poll;
use super::problems::{Diagnosis, Problem, Wrong, quoted_text, require, wrong};
use super::scope::{Context, Owner, Scope, TenantPlace};
use super::section::Section;
use crate::core::format::is_wild;
use crate::core::health::failure::one_line;
use crate::core::ids::TenantId;
use crate::settings::{PollSettings, RecordFormat, TenantSettings};

/// What a tenant may override, as it holds for all tenants or for one.
#[derive(Clone)]
pub(super) struct TenantParts {
    app: AppChoice,
    pub api: ApiChoice,
    poll: Arc<PollSettings>,
    pub topic: Arc<str>,
    pub alerts_topic: Option<Arc<str>>,
    format: RecordFormat,
}

impl TenantParts {
    /// Reads the main file's table, or a tenant's. `shared`: for a tenant, what all tenants have. `None` only if a default
    /// can't be read.
    pub fn read(root: &mut Section<'_>, shared: Option<&TenantParts>) -> Option<Self> {
        let app = match shared {
            Some(shared) if !root.given("app") => shared.app.clone(),
            _ => root.within("app", |own| {
                AppChoice::read(own, shared.map(|all| &all.app))
            }),
        };
        let (api, poll) = match shared {
            Some(shared) if !root.given("api") && !root.given("poll") => {
                (shared.api.clone(), Arc::clone(&shared.poll))
            }
            _ => {
                let shared = shared.map(|all| &all.api);
                let mut api = root.within("api", |own| api::read(own, shared))?;
                let source = shared.map(|all| all.settings.source);
                let settings = Arc::make_mut(&mut api.settings);
                let poll = root.within("poll", |own| poll::read(own, settings, source))?;
                (api, Arc::new(poll))
            }
        };
        let (topic, alerts_topic, format) = root.within("kafka", |own| {
            let topic = match shared {
                Some(shared) if !own.given("topic") => Some(Arc::clone(&shared.topic)),
                _ => own.read("topic", kafka::topic_name),
            };
            let alerts_topic = own.read("alerts_topic", kafka::topic_name);
            (topic, alerts_topic, own.get("format"))
        });
        Some(Self {
            app,
            api,
            poll,
            topic: topic?,
            alerts_topic,
            format: format?,
        })
    }
}

/// Reads tenants from any number of files. Ids and names are unique over all of them.
pub(super) struct Tenants<'a> {
    shared: &'a TenantParts,
    /// The main file's and the environment's tables, of which `shared` is made.
    tables: &'a Table,
    pub context: Context<'a>,
    existing: ExistingTenants,
    /// Keys of the app registration: the first tenant that lacks each, and how many do.
    lacking: BTreeMap<&'static str, (String, usize)>,
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

impl<'a> Tenants<'a> {
    pub fn new(shared: &'a TenantParts, tables: &'a Table, context: Context<'a>) -> Self {
        Self {
            shared,
            tables,
            context,
            existing: ExistingTenants::default(),
            lacking: BTreeMap::new(),
            read: 0,
            tenants: Vec::new(),
        }
    }

    pub fn read_all(&mut self, tables: Vec<(Spot, Table)>, file: &Spot, diagnosis: &mut Diagnosis) {
        for (index, (spot, table)) in tables.into_iter().enumerate() {
            let label = label(&table);
            let position = match &label {
                Some(label) => format!("{label} ({spot})"),
                None => spot.to_string(),
            };
            let owner = Owner::Tenant(TenantPlace {
                index,
                number: self.read,
                label,
            });
            let scope = Scope {
                context: self.context,
                file: file.clone(),
                owner,
                shared: Some(self.tables),
            };
            self.read += 1;
            let section = Section::new(diagnosis, &scope, spot, table);
            let tenant = self.read_one(section, &position);
            self.tenants.extend(tenant);
        }
    }

    /// The tenants, and the names and ids in use. Reports missing parts of the app registration once for all tenants,
    /// at the place of the shared one.
    pub fn finish(
        self,
        tenants_dir: Option<PathBuf>,
        diagnosis: &mut Diagnosis,
    ) -> (Vec<TenantSettings>, ExistingTenants) {
        for (key, (first, count)) in self.lacking {
            let who = match count {
                1 => format!("{first} has none of its own"),
                _ => format!("{count} tenants have none of their own, the first is {first}"),
            };
            let wrong = wrong(format!("it is missing, and {who}"), app::remedy(key));
            let problem = Problem::at(&self.shared.app.spot, format!("app.{key}"), wrong);
            diagnosis.problems.push(problem);
        }
        let existing = ExistingTenants {
            tenants_dir,
            ..self.existing
        };
        (self.tenants, existing)
    }

    pub fn is_empty(&self) -> bool {
        self.read == 0
    }

    fn read_one(&mut self, mut section: Section<'_>, position: &str) -> Option<TenantSettings> {
        let (id, name) = self.read_identity(&mut section);
        let parts = TenantParts::read(&mut section, Some(self.shared));
        section.finish();
        let TenantParts {
            app,
            api,
            poll,
            topic,
            alerts_topic,
            format,
        } = parts?;
        for key in app.missing {
            let first = || (position.to_owned(), 0);
            self.lacking.entry(key).or_insert_with(first).1 += 1;
        }
        Some(TenantSettings {
            id: id?,
            name: name?,
            app: app.settings?,
            api: api.settings,
            poll,
            topic,
            alerts_topic,
            format,
        })
    }

    /// Id and name. For a tenant that was copied as a whole, only its id is reported.
    fn read_identity(&mut self, section: &mut Section<'_>) -> (Option<TenantId>, Option<Arc<str>>) {
        let id = section.own("id", tenant_id);
        let ids = &mut self.existing.ids;
        let copied = id.and_then(|id| claim(ids, id, section.place_of("id")));
        if let Some(other) = &copied {
            let what = format!("{other} has the same id");
            let remedy = "remove one of the two tenants, or correct its id";
            section.refuse("id", wrong(what, remedy));
        } else if !section.given("id") {
            section.refuse("id", wrong("it is missing", TENANT_ID));
        }
        let name = match section.given("name") {
            true => section.own("name", |text| tenant_name(text, id)),
            false => id.map(|id| id.to_string().into()),
        };
        let (names, place) = (&mut self.existing.names, section.place_of("name"));
        let other = name.clone().and_then(|name| claim(names, name, place));
        if let (Some(other), None) = (other, copied) {
            let what = format!("{other} has the same name");
            section.refuse("name", wrong(what, "rename one of the two"));
        }
        (id, name)
    }
}

/// Takes an id or a name. Returns where another tenant has it, if one has.
fn claim<K: Eq + Hash>(used: &mut HashMap<K, Spot>, key: K, spot: Spot) -> Option<Spot> {
    match used.entry(key) {
        Entry::Occupied(other) => Some(other.get().clone()),
        Entry::Vacant(free) => {
            free.insert(spot);
            None
        }
    }
}

/// The name of a tenant in a report, before anything is checked: what could be a name or an id.
fn label(table: &Table) -> Option<String> {
    let text = |key| Some(quoted_text(table.get(key)?)?.trim());
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
    let not_one = |_| wrong("it is not a GUID", TENANT_ID);
    let id: TenantId = text.parse().map_err(not_one)?;
    require(id.as_bytes() != &[0; 16], "it is a placeholder", TENANT_ID)?;
    Ok(id)
}

/// A tenant's name. Commands take an id or a name, so a name must not be another tenant's id.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn tenant_name(text: &str, id: Option<TenantId>) -> Result<Arc<str>, Wrong> {
    let remedy = "give a short name, or leave it out";
    require(!text.is_empty(), "it is empty", remedy)?;
    let length = text.chars().count();
    require(length <= 64, "it is longer than 64 characters", remedy)?;
    let is_printable = !text.contains(is_wild);
    require(
        is_printable,
        "it has characters that can't be printed",
        remedy,
    )?;
    let Ok(as_id) = text.parse::<TenantId>() else {
        return Ok(text.into());
    };
    let remedy = "give a name, or leave it out";
    require(Some(as_id) == id, "it is the id of another tenant", remedy)?;
    Ok(as_id.to_string().into())
}
