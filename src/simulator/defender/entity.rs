//! Devices and entities of an alert: flat records, every key present, those that do not apply null.
//!
//! Some alerts leave inapplicable keys out instead; both forms have been seen.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::super::cast::Cast;
use super::super::scene::Scene;
use super::super::time::{self, SECOND};

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

pub(super) fn devices(cast: &Cast, scene: &Scene, at: i64, newer: bool) -> Vec<Device> {
    if !scene.on_device {
        return Vec::new();
    }
    let grouped = cast.process.is_multiple_of(2);
    vec![Device {
        mdatp_device_id: cast.device.clone(),
        aad_device_id: grouped.then(|| cast.guid.to_string()),
        device_dns_name: format!("host{}.{}", cast.process, cast.domain),
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
        first_seen: time::format(at - SECOND * 86_400 * 30 - i64::from(cast.process)),
        tags: newer.then(Vec::new),
        onboarding_status: newer.then_some("Onboarded"),
    }]
}

pub(super) fn entities(cast: &Cast, scene: &Scene, at: i64, newer: bool) -> Vec<Entity> {
    scene
        .entities
        .iter()
        .map(|kind| Entity {
            kind,
            known: known(cast, kind, at),
            sparse: cast.sparse,
            newer: newer.then(|| time::format(at)),
        })
        .collect()
}

fn known(cast: &Cast, kind: &str, at: i64) -> Vec<(&'static str, Value)> {
    let principal = cast.principal();
    match kind {
        "User" => vec![
            // A user entity without an account name has it empty, not null.
            (
                "accountName",
                json!(if cast.sparse { "" } else { cast.user }),
            ),
            ("domainName", json!(cast.domain)),
            (
                "userSid",
                json!(format!("S-1-5-21-1721254763-{}", cast.process)),
            ),
            ("aadUserId", json!(cast.guid)),
            ("userPrincipalName", json!(principal)),
        ],
        "Ip" => vec![("ipAddress", json!(cast.address))],
        "Url" => vec![(
            "url",
            json!(format!("https://{}.example/a?b=c&d=%20", cast.process)),
        )],
        "File" => vec![
            ("sha1", json!(cast.hash)),
            ("fileName", json!("tool.exe")),
            ("filePath", json!("C:\\Users\\Public\\Downloads")),
            ("deviceId", json!(cast.device)),
        ],
        "Process" => vec![
            ("sha1", json!(cast.hash)),
            ("fileName", json!("powershell.exe")),
            ("processId", json!(cast.process)),
            (
                "processCommandLine",
                json!("\"powershell.exe\" -nop -w hidden -enc SQBFAFgA"),
            ),
            ("processCreationTime", json!(time::format(at - SECOND))),
            ("parentProcessId", json!(4)),
            ("deviceId", json!(cast.device)),
        ],
        "MailBox" => vec![
            ("userPrincipalName", json!(principal)),
            ("mailboxDisplayName", json!(cast.user)),
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
            ("securityGroupId", json!(cast.guid)),
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
