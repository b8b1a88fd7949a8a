//! `[[tenants]]`: each tenant's id and name, and the defaults with its overrides applied.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::Arc;

use super::api::{self, ApiChoice};
use super::app::AppParts;
use super::kafka;
use super::origin::{File, Spot, Table};
use super::poll::{self, PollChoice};
use super::problems::{Diagnosis, Problem, Wrong, quoted_text, wrong};
use super::scope::{Context, Owner, Scope};
use super::section::Section;
use crate::core::format::is_wild;
use crate::core::health::failure::one_line;
use crate::core::ids::TenantId;
use crate::settings::{ApiSettings, AppSettings, PollSettings, TenantSettings};

/// What tenants share.
pub(super) struct Defaults {
    pub app: AppParts,
    /// Where `[app]` is.
    pub app_spot: Spot,
    /// `app`, if it is complete: for all tenants without an `[app]` of their own.
    pub shared_app: Option<Arc<AppSettings>>,
    pub api: ApiChoice,
    pub poll: PollChoice,
    pub topic: Arc<str>,
}

/// Reads tenants from any number of files. Ids and names are unique over all of them.
pub(super) struct Tenants<'a> {
    defaults: &'a Defaults,
    pub context: Context<'a>,
    existing: ExistingTenants,
    /// Keys of the app registration, and the tenants that lack them.
    lacking: BTreeMap<&'static str, Vec<String>>,
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

/// Why a tenant has no id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NoId {
    /// Another tenant has it.
    Doubled,
    Wrong,
}

impl<'a> Tenants<'a> {
    pub fn new(defaults: &'a Defaults, context: Context<'a>) -> Self {
        Self {
            defaults,
            context,
            existing: ExistingTenants::default(),
            lacking: BTreeMap::new(),
            read: 0,
            tenants: Vec::new(),
        }
    }

    pub fn read_all(&mut self, tables: Vec<(Spot, Table)>, file: &File, diagnosis: &mut Diagnosis) {
        for (index, (spot, table)) in tables.into_iter().enumerate() {
            let label = label(&table);
            let position = match &label {
                Some(label) => format!("{label} ({spot})"),
                None => spot.to_string(),
            };
            let owner = Owner::Tenant {
                index,
                number: self.read,
                label,
            };
            let scope = Scope::new(self.context, file.clone(), owner);
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
        for (key, tenants) in self.lacking {
            let first = tenants.first().map_or("", String::as_str);
            let who = match tenants.len() {
                1 => format!("{first} has none of its own"),
                count => format!("{count} tenants have none of their own, the first is {first}"),
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
            let problem = Problem::at(&self.defaults.app_spot, format!("app.{key}"), wrong);
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
        let id = self.read_id(&mut section);
        let name = self.read_name(&mut section, id);
        let app = section.within("app", |own| self.read_app(own, position));
        let api_and_poll = self.read_api_and_poll(&mut section);
        let topic = section.within("kafka", |own| own.own("topic", kafka::topic_name));
        section.finish();
        let (api, poll) = api_and_poll?;
        Some(TenantSettings {
            id: id.ok()?,
            name: name?,
            app: app?,
            api,
            poll,
            topic: topic.unwrap_or_else(|| Arc::clone(&self.defaults.topic)),
        })
    }

    fn read_id(&mut self, section: &mut Section<'_>) -> Result<TenantId, NoId> {
        let Some(id) = section.own("id", tenant_id) else {
            if !section.given("id") {
                section.refuse("id", wrong("it is missing", TENANT_ID));
            }
            return Err(NoId::Wrong);
        };
        claim(&mut self.existing.ids, id, section.place_of("id")).map_err(|other| {
            let what = format!("{other} has the same id");
            let remedy = "remove one of the two tenants, or correct its id";
            section.refuse("id", wrong(what, remedy));
            NoId::Doubled
        })?;
        Ok(id)
    }

    fn read_name(
        &mut self,
        section: &mut Section<'_>,
        id: Result<TenantId, NoId>,
    ) -> Option<Arc<str>> {
        let name: Arc<str> = match section.own("name", |text| tenant_name(text, id.ok())) {
            Some(name) => name,
            None if section.given("name") => return None,
            None => id.ok()?.to_string().into(),
        };
        let (names, place) = (&mut self.existing.names, section.place_of("name"));
        let claimed = claim(names, Arc::clone(&name), place);
        if let Err(other) = &claimed
            // For a tenant that was copied as a whole, only its id is reported.
            && id != Err(NoId::Doubled)
        {
            let what = format!("{other} has the same name");
            section.refuse("name", wrong(what, "rename one of the two"));
        }
        claimed.is_ok().then_some(name)
    }

    fn read_app(&mut self, own: &mut Section<'_>, position: &str) -> Option<Arc<AppSettings>> {
        if own.is_empty() && self.defaults.shared_app.is_some() {
            return self.defaults.shared_app.clone();
        }
        let app = AppParts::read(own, &self.defaults.app);
        for key in app.missing() {
            let lacking = self.lacking.entry(key).or_default();
            lacking.push(position.to_owned());
        }
        app.complete().map(Arc::new)
    }

    fn read_api_and_poll(
        &self,
        section: &mut Section<'_>,
    ) -> Option<(Arc<ApiSettings>, Arc<PollSettings>)> {
        let shared = &self.defaults.api;
        let api = section.within("api", |own| match own.is_empty() {
            true => Some(shared.clone()),
            false => api::read(own, Some(shared)),
        });
        let mut api = api?.settings;
        // The budget follows the source.
        let poll = section.within("poll", |own| {
            match own.is_empty() && api.source == shared.settings.source {
                true => Some(self.defaults.poll.clone()),
                false => poll::read(own, &mut api, Some(&self.defaults.poll)),
            }
        });
        Some((api, poll?.settings))
    }
}

/// Takes an id or a name that no other tenant has. The error is where another has it.
fn claim<K: Eq + Hash>(used: &mut HashMap<K, Spot>, key: K, spot: Spot) -> Result<(), Spot> {
    match used.entry(key) {
        Entry::Occupied(other) => Err(other.get().clone()),
        Entry::Vacant(free) => {
            free.insert(spot);
            Ok(())
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
    let id: TenantId = text
        .parse()
        .map_err(|_| wrong("it is not a GUID", TENANT_ID))?;
    match id.as_bytes() == &[0; 16] {
        true => Err(wrong("it is a placeholder", TENANT_ID)),
        false => Ok(id),
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
