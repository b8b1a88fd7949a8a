//! The evidence of an alert: many types, told apart by `@odata.type`, and one that nobody has heard of yet.

use serde_json::{Value, json};

use super::super::cast::Cast;
use super::super::scene::Scene;

pub(super) fn evidence(cast: &Cast, scene: &Scene, at: String) -> Vec<Value> {
    let device = scene.on_device.then_some("Device");
    let kinds = device
        .iter()
        .chain(scene.entities)
        .chain(scene.graph_evidence);
    kinds
        .map(|kind| {
            let (name, particulars) = particulars(cast, kind, &at);
            piece(name, particulars, &at)
        })
        .collect()
}

/// What all types have, with what only this one has.
fn piece(name: &str, particulars: Value, at: &str) -> Value {
    let mut piece = json!({
        "@odata.type": format!("#microsoft.graph.security.{name}"),
        "createdDateTime": at,
        "verdict": "unknown",
        "remediationStatus": "none",
        "remediationStatusDetails": null,
        "roles": [],
        "detailedRoles": [],
        "tags": [],
    });
    if let (Value::Object(piece), Value::Object(mut particulars)) = (&mut piece, particulars) {
        piece.append(&mut particulars);
    }
    piece
}

fn particulars(cast: &Cast, kind: &str, at: &str) -> (&'static str, Value) {
    match kind {
        "Device" => ("deviceEvidence", device(cast, at)),
        "User" => ("userEvidence", json!({"userAccount": account(cast)})),
        "Ip" => (
            "ipEvidence",
            json!({"ipAddress": cast.address, "countryLetterCode": null}),
        ),
        "Url" => (
            "urlEvidence",
            json!({"url": format!("https://{}.example/a?b=c&d=%20", cast.process)}),
        ),
        "File" => (
            "fileEvidence",
            json!({
                "detectionStatus": "detected",
                "mdeDeviceId": cast.device,
                "fileDetails": file(cast, "tool.exe"),
            }),
        ),
        "Process" => ("processEvidence", process(cast, at)),
        "MailBox" => (
            "mailboxEvidence",
            json!({
                "primaryAddress": cast.principal(),
                "displayName": cast.user,
                "userAccount": account(cast),
            }),
        ),
        "MailMessage" => (
            "analyzedMessageEvidence",
            json!({
                "recipientEmailAddress": cast.principal(),
                "subject": "[EXTERNAL] Attention",
                "deliveryAction": "delivered",
                "p1Sender": {"emailAddress": "billing@fabrikam.example", "displayName": null},
            }),
        ),
        "MailCluster" => (
            "mailClusterEvidence",
            json!({"clusterBy": "Subject;P2SenderDomain;ContentType", "emailCount": 3}),
        ),
        "SecurityGroup" => (
            "securityGroupEvidence",
            json!({"securityGroupId": cast.guid, "displayName": "Domain Admins"}),
        ),
        "Registry" => (
            "registryValueEvidence",
            json!({
                "registryHive": "HKEY_CURRENT_USER",
                "registryKey": "Software\\Microsoft\\Windows\\CurrentVersion\\Run",
                "registryValueType": "String",
                "registryValue": "C:\\ProgramData\\u.exe",
                "mdeDeviceId": cast.device,
            }),
        ),
        "AzureResource" => (
            "azureResourceEvidence",
            json!({"resourceId": format!("/subscriptions/{}/vaults/v", cast.guid)}),
        ),
        _ => (
            "entanglementEvidence",
            json!({"entangledWith": {"spin": 0.5, "id": cast.guid}, "remediationStatus": "undone"}),
        ),
    }
}

fn device(cast: &Cast, at: &str) -> Value {
    json!({
        "firstSeenDateTime": at,
        "mdeDeviceId": cast.device,
        "azureAdDeviceId": null,
        "deviceDnsName": format!("host{}.{}", cast.process, cast.domain),
        "osPlatform": "Windows11",
        "osBuild": 20348,
        "version": "21H2",
        "healthStatus": "active",
        "riskScore": "high",
        "rbacGroupId": 9,
        "rbacGroupName": "WDATP-Ring0",
        "onboardingStatus": "onboarded",
        "defenderAvStatus": "unknown",
        "ipInterfaces": [cast.address],
        "loggedOnUsers": [{"accountName": cast.user, "domainName": cast.domain}],
        "roles": ["compromised"],
        "vmMetadata": null,
    })
}

fn process(cast: &Cast, at: &str) -> Value {
    json!({
        "processId": cast.process,
        "parentProcessId": 4,
        "processCommandLine": "\"powershell.exe\" -nop -w hidden -enc SQBFAFgA",
        "processCreationDateTime": at,
        "parentProcessCreationDateTime": at,
        "detectionStatus": "detected",
        "mdeDeviceId": cast.device,
        "imageFile": file(cast, "powershell.exe"),
    })
}

fn file(cast: &Cast, name: &str) -> Value {
    json!({
        "sha1": cast.hash,
        "sha256": null,
        "fileName": name,
        "filePath": "C:\\Users\\Public\\Downloads",
        "fileSize": 6_136_392,
        "filePublisher": null,
        "signer": null,
        "issuer": null,
    })
}

fn account(cast: &Cast) -> Value {
    json!({
        "accountName": if cast.sparse { "" } else { cast.user },
        "domainName": cast.domain,
        "userSid": format!("S-1-5-21-1721254763-{}", cast.process),
        "azureAdUserId": cast.guid,
        "userPrincipalName": cast.principal(),
    })
}
