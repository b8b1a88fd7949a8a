//! `incidentd init`: a commented configuration to start from, or one tenant's file, and what to do next.
//!
//! It never changes an existing file: it names the file and ends with 1.

mod new_tenant;
mod template;

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use uuid::Uuid;

use super::{CONFIGURATION, CommandError, ConfigFile, DEFAULT_CONFIG, FAILED, text};
use crate::config;
use crate::core::ids::TenantId;
use crate::core::naming::{shell_word, tenant_word};
use template::{MainTemplate, TENANTS_DIR, line_of};

/// These files hold no secrets, and the daemon's user has to read them.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// Writes a commented configuration to start from, or the file of one customer; never over anything
#[derive(Args, Debug)]
pub struct Init {
    #[command(flatten)]
    file: ConfigFile,
    /// Write the file of one customer, into the configuration's tenants_dir
    #[arg(long, value_name = "TENANT_ID")]
    tenant: Option<TenantId>,
    /// What to call the customer
    // A customer's name may begin with a hyphen.
    #[arg(long, requires = "tenant", allow_hyphen_values = true)]
    name: Option<String>,
    /// "Application (client) ID" of the app registration
    #[arg(long, value_name = "GUID", conflicts_with = "tenant")]
    client_id: Option<Uuid>,
    /// Kafka's host:port, several separated by commas
    #[arg(long, value_parser = config::brokers, conflicts_with = "tenant")]
    brokers: Option<String>,
}

impl Init {
    pub fn run(self) -> Result<(), CommandError> {
        match self.tenant {
            None => self.main(),
            Some(id) => self.tenant(id),
        }
    }

    fn main(&self) -> Result<(), CommandError> {
        let path = &self.file.config;
        let text = MainTemplate {
            client_id: self.client_id.map(|id| id.to_string()),
            brokers: self.brokers.as_deref(),
            is_service: self.is_service(),
        }
        .text();
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut made = make_folder(folder)?;
        let in_the_way = "edit it, or name another file with --config; a customer is added with: \
                          incidentd init --tenant TENANT_ID --name NAME";
        write_new(path, &text, in_the_way)?;
        let tenants = folder.join(TENANTS_DIR);
        made.extend(make_folder(&tenants)?);

        text::print(&format!(
            "Wrote {}{}.\n\n{}",
            path.display(),
            also_made(&made),
            self.steps(&text, &folder.join("client-secret"))
        ))
    }

    /// The next steps after a new main file of this text.
    fn steps(&self, text: &str, secret: &Path) -> String {
        let (option, secret) = (self.option(), shell_word(&secret.display().to_string()));
        let keys: Vec<String> = [
            ("client_id", self.client_id.is_none()),
            ("brokers", self.brokers.is_none()),
        ]
        .into_iter()
        .filter(|(_, missing)| *missing)
        .map(|(key, _)| format!("{key} (line {})", line_of(text, key)))
        .collect();
        let edit = match keys.is_empty() {
            true => "Look through the file".to_owned(),
            false => format!(
                "Set {} in it, and look through the rest",
                keys.join(" and ")
            ),
        };
        let start = match self.is_service() {
            true => "systemctl enable --now incidentd".to_owned(),
            false => format!("incidentd run{option}"),
        };
        format!(
            "Next:\n\
             \x20 1. {edit}.\n\
             \x20    Paste the client secret's Value (not its ID) into\n\
             \x20      (umask 077; cat > {secret})\n\
             \x20    and end that with Enter and Ctrl-D.\n\
             \x20 2. Add each customer:\n\
             \x20      incidentd init --tenant TENANT_ID --name NAME{option}\n\
             \x20 3. Try it, then start it:\n\
             \x20      incidentd check{option}\n\
             \x20      {start}\n"
        )
    }

    fn tenant(&self, id: TenantId) -> Result<(), CommandError> {
        let main = &self.file.config;
        let existing = self.file.read(config::existing_tenants)?;
        let name = self.name.as_deref().map(str::trim);
        let Some(folder) = &existing.tenants_dir else {
            let error = format!(
                "{} names no folder for tenants\n    add this line at its top, above the first line in brackets: \
                 tenants_dir = \"{TENANTS_DIR}\"",
                main.display()
            );
            return Err(CommandError::saying(CONFIGURATION, error));
        };
        if let Some(objection) = new_tenant::objection(&existing, id, name) {
            return Err(CommandError::saying(FAILED, objection));
        }
        let made = make_folder(folder)?;
        let file = format!("{}.toml", file_name(id, name));
        let path = folder.join(file);
        let in_the_way = "edit it, or give another name with --name";
        write_new(&path, &template::tenant(id, name), in_the_way)?;

        let (option, tenant) = (self.option(), tenant_word(name.unwrap_or_default(), id));
        let reload = match self.is_service() {
            true => "systemctl reload incidentd".to_owned(),
            false => "kill -HUP PID".to_owned(),
        };
        text::print(&format!(
            "Wrote {}{}.\n\nNext:\n\
             \x20 1. Have the customer's administrator open the link that this prints:\n\
             \x20      incidentd consent {tenant}{option}\n\
             \x20 2. See whether it works:\n\
             \x20      incidentd check --tenant {tenant}{option}\n\
             \x20 3. If the daemon runs, have it take the customer up:\n\
             \x20      {reload}\n",
            path.display(),
            also_made(&made),
        ))
    }

    fn is_service(&self) -> bool {
        self.file.config == Path::new(DEFAULT_CONFIG)
    }

    /// ` --config FILE` for the next commands, if it is needed.
    fn option(&self) -> String {
        let path = self.file.config.display().to_string();
        match self.is_service() {
            true => String::new(),
            false => format!(" --config {}", shell_word(&path)),
        }
    }
}

/// Writes a new file.
fn write_new(path: &Path, text: &str, in_the_way: &str) -> Result<(), CommandError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let written = options.open(path).and_then(|mut file| {
        // Set afterwards: a strict umask would keep the daemon's user from reading it.
        let written = file
            .set_permissions(Permissions::from_mode(FILE_MODE))
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a file would be in the way of the next attempt. If it can't be removed, that attempt says so.
            let _ = fs::remove_file(path);
        }
        written
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CommandError::saying(
            FAILED,
            format!(
                "{} is there already, and stays as it is\n    {in_the_way}",
                path.display()
            ),
        ),
        _ => cannot("write", path, &error),
    })
}

/// Makes a folder and those above it. Returns the new ones.
fn make_folder(path: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let made: Vec<PathBuf> = path
        .ancestors()
        .take_while(is_missing)
        .map(Path::to_owned)
        .collect();
    if !made.is_empty() {
        let opened =
            |folder: &PathBuf| fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE));
        fs::create_dir_all(path)
            .and_then(|()| made.iter().try_for_each(opened))
            .map_err(|error| cannot("make the folder", path, &error))?;
    }
    Ok(made.into_iter().rev().collect())
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> CommandError {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "run it as root, or name another place with --config",
        io::ErrorKind::NotADirectory => "name a place below a folder with --config",
        _ => "mend that, or name another place with --config",
    };
    CommandError::saying(
        FAILED,
        format!("can't {what} {}: {error}\n    {remedy}", path.display()),
    )
}

fn also_made(folders: &[PathBuf]) -> String {
    let names: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!(", and made the folder {one}"),
        more => format!(", and made the folders {}", more.join(", ")),
    }
}

/// The customer's name as a file's name: letters, digits, and `-`, `_`, `.` between them; the id if nothing is left.
fn file_name(id: TenantId, name: Option<&str>) -> String {
    let name = name.unwrap_or_default().to_lowercase();
    let words = name.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    // A hidden file is not read.
    let name = words.join("-");
    match name.trim_matches(['.', '-']) {
        "" => id.to_string(),
        name => name.into(),
    }
}
