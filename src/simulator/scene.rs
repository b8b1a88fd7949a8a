//! What happens in the world: the kinds of attack that its incidents tell of.

use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::cast::Cast;

/// One kind of attack.
pub(super) struct Scene {
    pub title: &'static str,
    story: &'static str,
    pub category: &'static str,
    pub service: &'static str,
    pub detection: &'static str,
    /// The same two in Graph's words.
    pub graph_service: &'static str,
    pub graph_detection: &'static str,
    /// `productName`, which only Graph has.
    pub graph_product: &'static str,
    /// The incident's; its alerts may have another, as in Microsoft's own sample.
    pub severity: &'static str,
    pub alert_severity: &'static str,
    pub family: Option<&'static str>,
    pub techniques: &'static [&'static str],
    pub on_device: bool,
    pub entities: &'static [&'static str],
    /// Evidence that only Graph shows.
    pub graph_evidence: &'static [&'static str],
}

pub(super) const SCENES: [Scene; 9] = [
    Scene {
        title: "Ransomware activity",
        story: "changed 99 files within a minute, their new names all ending in one uncommon extension. \
                So many changes in so little time point to encryption by ransomware.",
        category: "Impact",
        service: "MicrosoftCloudAppSecurity",
        detection: "MCAS",
        graph_service: "microsoftDefenderForCloudApps",
        graph_detection: "cloudAppSecurity",
        graph_product: "Microsoft Defender for Cloud Apps",
        severity: "Medium",
        alert_severity: "Medium",
        family: None,
        techniques: &["T1486"],
        on_device: false,
        entities: &["User", "Ip"],
        graph_evidence: &[],
    },
    Scene {
        title: "'Mimikatz' hacktool was detected on one endpoint",
        story: "ran a tool that reads credentials from memory.\n\nSuch tools serve testers as well as intruders.\n\n\
                Look for the processes and files next to it before closing this alert.",
        category: "CredentialAccess",
        service: "MicrosoftDefenderATP",
        detection: "WindowsDefenderAv",
        graph_service: "microsoftDefenderForEndpoint",
        graph_detection: "antivirus",
        graph_product: "Microsoft Defender for Endpoint",
        severity: "High",
        alert_severity: "Low",
        family: Some("Mimikatz"),
        techniques: &["T1003", "T1003.001"],
        on_device: true,
        entities: &["File", "Process", "User"],
        graph_evidence: &[],
    },
    Scene {
        title: "Email reported by user as malware or phish",
        story: "reported a message as malware or phish -V1.0.0.2",
        category: "InitialAccess",
        service: "OfficeATP",
        detection: "OfficeATP",
        graph_service: "microsoftDefenderForOffice365",
        graph_detection: "microsoftDefenderForOffice365",
        graph_product: "Microsoft Defender for Office 365",
        severity: "Low",
        alert_severity: "Informational",
        family: None,
        techniques: &[],
        on_device: false,
        entities: &["MailBox", "MailMessage", "MailCluster", "Url"],
        graph_evidence: &[],
    },
    Scene {
        title: "Suspicious sign-in from an unfamiliar location",
        story: "signed in from an address and a country never seen before, minutes after signing in elsewhere.",
        category: "InitialAccess",
        service: "AzureActiveDirectory",
        detection: "AzureActiveDirectory",
        graph_service: "azureAdIdentityProtection",
        graph_detection: "azureAdIdentityProtection",
        graph_product: "Microsoft Entra ID Protection",
        severity: "Medium",
        alert_severity: "Medium",
        family: None,
        techniques: &["T1078.004"],
        on_device: false,
        entities: &["User", "Ip"],
        graph_evidence: &[],
    },
    Scene {
        title: "Persistence through a run key",
        story: "wrote a value under a key that Windows executes at sign-in; the file it names is unsigned.",
        category: "Persistence",
        service: "MicrosoftDefenderATP",
        detection: "WindowsDefenderAtp",
        graph_service: "microsoftDefenderForEndpoint",
        graph_detection: "microsoftDefenderForEndpoint",
        graph_product: "Microsoft Defender for Endpoint",
        severity: "Informational",
        alert_severity: "Medium",
        family: None,
        techniques: &["T1547.001"],
        on_device: true,
        entities: &["Registry", "Process"],
        graph_evidence: &[],
    },
    Scene {
        title: "Sensitive group changed – „Domänen-Admins“",
        story: "added a member to a sensitive group outside of working hours. ∎ \"Quoted\" \\ and \u{1F6A8}.",
        category: "PrivilegeEscalation",
        service: "AzureATP",
        detection: "AzureATP",
        graph_service: "microsoftDefenderForIdentity",
        graph_detection: "microsoftDefenderForIdentity",
        graph_product: "Microsoft Defender for Identity",
        severity: "High",
        alert_severity: "High",
        family: None,
        techniques: &["T1098"],
        on_device: false,
        entities: &["User", "SecurityGroup"],
        graph_evidence: &[],
    },
    Scene {
        title: "Access from a suspicious address to a key vault",
        story: "read every secret of a key vault from an address that is known for attacks.",
        category: "CredentialAccess",
        service: "MicrosoftDefenderForCloud",
        detection: "MicrosoftDefenderForCloud",
        graph_service: "microsoftDefenderForCloud",
        graph_detection: "microsoftDefenderForCloud",
        graph_product: "Microsoft Defender for Cloud",
        severity: "Medium",
        alert_severity: "Medium",
        family: None,
        techniques: &["T1555.006"],
        on_device: false,
        entities: &["Ip", "User"],
        graph_evidence: &["AzureResource", "Unheard"],
    },
    // Of the next two, section 9 has Graph's service source alone; the Defender API's words are taken to be the same.
    Scene {
        title: "A scheduled rule of Microsoft Sentinel found many failed sign-ins",
        story: "failed to sign in 50 times within five minutes, to as many accounts, from one address.",
        category: "CredentialAccess",
        service: "MicrosoftSentinel",
        detection: "MicrosoftSentinel",
        graph_service: "microsoftSentinel",
        graph_detection: "unknown",
        graph_product: "Microsoft Sentinel",
        severity: "Medium",
        alert_severity: "Medium",
        family: None,
        techniques: &["T1110.003"],
        on_device: false,
        entities: &["User", "Ip"],
        graph_evidence: &[],
    },
    Scene {
        title: "An agent was asked to ignore its instructions",
        story: "sent a prompt that tells an agent to disregard its instructions and to list customers' data.",
        category: "InitialAccess",
        service: "MicrosoftSecurityForAI",
        detection: "MicrosoftSecurityForAI",
        graph_service: "microsoftSecurityForAI",
        graph_detection: "unknown",
        graph_product: "Microsoft Security for AI",
        severity: "Low",
        alert_severity: "Medium",
        family: None,
        techniques: &[],
        on_device: false,
        entities: &["User"],
        graph_evidence: &["Unheard"],
    },
];

/// Prose without end, for incidents that must have a size.
const FILLER: &str = "The activity was seen again on the same host and by the same account. ";

impl Scene {
    /// Each product numbers its alerts in its own way.
    pub fn alert_id(&self, rng: &mut StdRng) -> String {
        let guid = Uuid::from_u128(rng.random());
        match self.service {
            "MicrosoftDefenderATP" => {
                format!(
                    "da{}_{}",
                    rng.random_range(600_000_000_000_000_000..u64::MAX / 8),
                    rng.random::<i32>()
                )
            }
            "MicrosoftCloudAppSecurity" => format!("ca{}", guid.to_string().to_uppercase()),
            "OfficeATP" => format!("fa{guid}"),
            "AzureATP" => format!("aa{guid}"),
            _ => format!("ad{}", guid.simple()),
        }
    }

    pub fn description(&self, cast: &Cast, padding: usize) -> String {
        let mut text = format!("The user {} {}", cast.principal(), self.story);
        let whole = text.len() + padding;
        while text.len() < whole {
            let missing = (whole - text.len()).min(FILLER.len());
            text.push_str(&FILLER[..missing]);
        }
        text
    }
}
