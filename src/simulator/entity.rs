//! Devices and entities of an alert: flat records, every key present, those that do not apply null.
//!
//! Some alerts leave inapplicable keys out instead; both forms have been seen.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;

use super::scene::Scene;
use super::time::{self, SECOND};

const ENTITY_KEYS: [&str; 30] = [
    "sha1",
    "sha256",
    "fileName",
    "filePath",
    "processId",
    "processCommandLine",
    "processCreationTime",
    "parentProcessId",
    "parentProcessCreationTime",
    "ipAddress",
    "url",
    "accountName",
    "domainName",
    "userSid",
    "aadUserId",
    "userPrincipalName",
    "mailboxDisplayName",
    "mailboxAddress",
    "clusterBy",
    "sender",
    "recipient",
    "subject",
    "deliveryAction",
    "securityGroupId",
    "securityGroupName",
    "registryHive",
    "registryKey",
    "registryValueType",
    "registryValue",
    "deviceId",
];

/// A piece of evidence.
pub(super) struct Entity {
    kind: &'static str,
    known: Vec<(&'static str, Value)>,
    /// Leaves out the keys that do not apply.
    sparse: bool,
    /// What newer answers add.
    newer: Option<String>,
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("entityType", self.kind)?;
        if let Some(seen) = &self.newer {
            map.serialize_entry("evidenceCreationTime", seen)?;
            map.serialize_entry("verdict", "Suspicious")?;
            map.serialize_entry("remediationStatus", "None")?;
        }
        for key in ENTITY_KEYS {
            match self.known.iter().find(|(known, _)| *known == key) {
                Some((_, value)) => map.serialize_entry(key, value)?,
                None if self.sparse => {}
                None => map.serialize_entry(key, &Value::Null)?,
            }
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    mdatp_device_id: String,
    aad_device_id: Option<String>,
    device_dns_name: String,
    os_platform: &'static str,
    version: &'static str,
    os_processor: &'static str,
    os_build: u32,
    health_status: &'static str,
    risk_score: &'static str,
    rbac_group_name: Option<&'static str>,
    rbac_group_id: u32,
    first_seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    onboarding_status: Option<&'static str>,
}

/// Who and what one alert is about.
pub(super) struct Cast {
    user: &'static str,
    domain: &'static str,
    device: String,
    guid: Uuid,
    address: String,
    hash: String,
    process: u32,
    sparse: bool,
}

impl Cast {
    pub fn draw(rng: &mut StdRng) -> Self {
        let users = [
            "adele.vance",
            "alex.wilber",
            "jörg.müller",
            "svc-backup",
            "岡本",
        ];
        let domains = ["contoso.com", "europe.corp.contoso.com", "fabrikam.example"];
        Self {
            user: users.choose(rng).unwrap_or(&users[0]),
            domain: domains.choose(rng).unwrap_or(&domains[0]),
            device: format!("{:032x}{:08x}", rng.random::<u128>(), rng.random::<u32>()),
            guid: Uuid::from_u128(rng.random()),
            address: format!("203.0.113.{}", rng.random_range(1..255)),
            hash: format!("{:032x}{:08x}", rng.random::<u128>(), rng.random::<u32>()),
            process: rng.random_range(4..60_000),
            sparse: rng.random_bool(0.2),
        }
    }

    pub fn principal(&self) -> String {
        format!("{}@{}", self.user, self.domain)
    }

    pub fn devices(&self, scene: &Scene, at: i64, newer: bool) -> Vec<Device> {
        if !scene.on_device {
            return Vec::new();
        }
        let grouped = self.process.is_multiple_of(2);
        vec![Device {
            mdatp_device_id: self.device.clone(),
            aad_device_id: grouped.then(|| self.guid.to_string()),
            device_dns_name: format!("host{}.{}", self.process, self.domain),
            os_platform: if grouped {
                "Windows11"
            } else {
                "WindowsServer2022"
            },
            version: "21H2",
            os_processor: "x64",
            os_build: 20348,
            health_status: "Active",
            risk_score: "High",
            rbac_group_name: grouped.then_some("WDATP-Ring0"),
            rbac_group_id: if grouped { 9 } else { 0 },
            first_seen: time::format(at - SECOND * 86_400 * 30 - i64::from(self.process)),
            tags: newer.then(Vec::new),
            onboarding_status: newer.then_some("Onboarded"),
        }]
    }

    pub fn entities(&self, scene: &Scene, at: i64, newer: bool) -> Vec<Entity> {
        scene
            .entities
            .iter()
            .map(|kind| Entity {
                kind,
                known: self.evidence(kind, at),
                sparse: self.sparse,
                newer: newer.then(|| time::format(at)),
            })
            .collect()
    }

    fn evidence(&self, kind: &str, at: i64) -> Vec<(&'static str, Value)> {
        let principal = self.principal();
        match kind {
            "User" => vec![
                // A user entity without an account name has it empty, not null.
                (
                    "accountName",
                    json!(if self.sparse { "" } else { self.user }),
                ),
                ("domainName", json!(self.domain)),
                (
                    "userSid",
                    json!(format!("S-1-5-21-1721254763-{}", self.process)),
                ),
                ("aadUserId", json!(self.guid)),
                ("userPrincipalName", json!(principal)),
            ],
            "Ip" => vec![("ipAddress", json!(self.address))],
            "Url" => vec![(
                "url",
                json!(format!("https://{}.example/a?b=c&d=%20", self.process)),
            )],
            "File" => vec![
                ("sha1", json!(self.hash)),
                ("fileName", json!("tool.exe")),
                ("filePath", json!("C:\\Users\\Public\\Downloads")),
                ("deviceId", json!(self.device)),
            ],
            "Process" => vec![
                ("sha1", json!(self.hash)),
                ("fileName", json!("powershell.exe")),
                ("processId", json!(self.process)),
                (
                    "processCommandLine",
                    json!("\"powershell.exe\" -nop -w hidden -enc SQBFAFgA"),
                ),
                ("processCreationTime", json!(time::format(at - SECOND))),
                ("parentProcessId", json!(4)),
                ("deviceId", json!(self.device)),
            ],
            "MailBox" => vec![
                ("userPrincipalName", json!(principal)),
                ("mailboxDisplayName", json!(self.user)),
                ("mailboxAddress", json!(principal)),
            ],
            "MailMessage" => vec![
                ("sender", json!("billing@fabrikam.example")),
                ("recipient", json!(principal)),
                ("subject", json!("[EXTERNAL] Attention")),
                ("deliveryAction", json!("Delivered")),
            ],
            "MailCluster" => vec![("clusterBy", json!("Subject;P2SenderDomain;ContentType"))],
            "SecurityGroup" => vec![
                ("securityGroupId", json!(self.guid)),
                ("securityGroupName", json!("Domain Admins")),
            ],
            _ => vec![
                ("registryHive", json!("HKEY_CURRENT_USER")),
                (
                    "registryKey",
                    json!("Software\\Microsoft\\Windows\\CurrentVersion\\Run"),
                ),
                ("registryValueType", json!("String")),
                ("registryValue", json!("C:\\ProgramData\\u.exe")),
            ],
        }
    }
}
