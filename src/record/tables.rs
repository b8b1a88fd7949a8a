//! What the formats of others say alike of Microsoft's words.

/// The product that an alert comes from, by its `serviceSource`; for alerts without Graph's newer `productName`.
#[rustfmt::skip]
pub(super) static PRODUCTS: &[(&str, &str)] = &[
    // Graph
    ("microsoftDefenderForEndpoint", "Microsoft Defender for Endpoint"),
    ("microsoftDefenderForIdentity", "Microsoft Defender for Identity"),
    ("microsoftDefenderForCloudApps", "Microsoft Defender for Cloud Apps"),
    ("microsoftDefenderForOffice365", "Microsoft Defender for Office 365"),
    ("microsoft365Defender", "Microsoft Defender XDR"),
    ("azureAdIdentityProtection", "Microsoft Entra ID Protection"),
    ("microsoftAppGovernance", "Microsoft App Governance"),
    ("dataLossPrevention", "Microsoft Purview Data Loss Prevention"),
    ("microsoftDefenderForCloud", "Microsoft Defender for Cloud"),
    ("microsoftSentinel", "Microsoft Sentinel"),
    ("microsoftInsiderRiskManagement", "Microsoft Purview Insider Risk Management"),
    ("microsoftThreatIntelligence", "Microsoft Threat Intelligence"),
    ("microsoftSecurityForAI", "Microsoft Security for AI"),
    // Defender
    ("MicrosoftDefenderATP", "Microsoft Defender for Endpoint"),
    ("AzureATP", "Microsoft Defender for Identity"),
    ("MicrosoftCloudAppSecurity", "Microsoft Defender for Cloud Apps"),
    ("OfficeATP", "Microsoft Defender for Office 365"),
    ("MicrosoftThreatProtection", "Microsoft Defender XDR"),
    ("AzureActiveDirectory", "Microsoft Entra ID Protection"),
];

/// The id and the name of a tactic.
pub(super) type Tactic = (&'static str, &'static str);

/// The tactic of MITRE ATT&CK that Microsoft's category of an alert is. Other categories are none.
pub(super) static TACTICS: &[(&str, Tactic)] = &[
    ("Reconnaissance", ("TA0043", "Reconnaissance")),
    ("ResourceDevelopment", ("TA0042", "Resource Development")),
    ("InitialAccess", ("TA0001", "Initial Access")),
    ("Execution", ("TA0002", "Execution")),
    ("Persistence", ("TA0003", "Persistence")),
    ("PrivilegeEscalation", ("TA0004", "Privilege Escalation")),
    ("DefenseEvasion", ("TA0005", "Defense Evasion")),
    ("CredentialAccess", ("TA0006", "Credential Access")),
    ("Discovery", ("TA0007", "Discovery")),
    ("LateralMovement", ("TA0008", "Lateral Movement")),
    ("Collection", ("TA0009", "Collection")),
    ("CommandAndControl", ("TA0011", "Command and Control")),
    ("Exfiltration", ("TA0010", "Exfiltration")),
    ("Impact", ("TA0040", "Impact")),
];

/// What a table says of a word; upper and lower case are equal.
pub(super) fn look_up<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    let row = table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    row.map(|(_, value)| *value)
}
