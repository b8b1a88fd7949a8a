//! Microsoft's names of the members that are read: one table for each object, with the spellings of both APIs.
//!
//! Graph's names are those of its resource pages ("incident", "alert", "alertEvidence" and its kinds); Defender's are those
//! of "List incidents API in Microsoft Defender XDR". To read another member, add it here and to the format's mapping.

use Kind::*;
use List::*;
use Place::{Alerts, Comments, Evidence, Into, Text};
use TextMember::*;

/// A text of an incident or an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::record) enum TextMember {
    Id,
    Title,
    Description,
    Summary,
    Created,
    Updated,
    FirstActivity,
    LastActivity,
    Status,
    Severity,
    Classification,
    Determination,
    AssignedTo,
    Comment,
    WebUrl,
    MergedInto,
    PriorityScore,
    Detector,
    DetectionSource,
    ServiceSource,
    Product,
}

impl TextMember {
    pub(super) const COUNT: usize = Product as usize + 1;
}

/// A list of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::record) enum List {
    Tags,
    Categories,
    Techniques,
}

impl List {
    pub(super) const COUNT: usize = Techniques as usize + 1;
}

/// What a text of the evidence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::record) enum Kind {
    Host,
    DeviceId,
    Ip,
    Mac,
    Account,
    UserId,
    GroupName,
    GroupId,
    Email,
    EmailSubject,
    Url,
    FileName,
    FilePath,
    Hash,
    CommandLine,
    RegistryKey,
    RegistryValue,
    Resource,
}

/// Where a member goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Text(TextMember),
    /// A list of texts, or one text.
    Into(List),
    /// Objects, of which the last one's text counts.
    Comments,
    Alerts,
    /// Objects of any kind and shape.
    Evidence,
}

#[rustfmt::skip]
pub(super) static INCIDENT: &[(&str, Place)] = &[
    // Graph                                       Defender, where it differs
    ("id", Text(Id)),                              ("incidentId", Text(Id)),
    ("displayName", Text(Title)),                  ("incidentName", Text(Title)),
    ("description", Text(Description)),
    ("summary", Text(Summary)),
    ("createdDateTime", Text(Created)),            ("createdTime", Text(Created)),
    ("lastUpdateDateTime", Text(Updated)),         ("lastUpdateTime", Text(Updated)),
    ("status", Text(Status)),
    ("severity", Text(Severity)),
    ("classification", Text(Classification)),
    ("determination", Text(Determination)),
    ("assignedTo", Text(AssignedTo)),
    ("incidentWebUrl", Text(WebUrl)),              ("incidentUri", Text(WebUrl)),
    ("redirectIncidentId", Text(MergedInto)),
    ("priorityScore", Text(PriorityScore)),
    ("customTags", Into(Tags)),                    ("tags", Into(Tags)),
    ("systemTags", Into(Tags)),
    ("comments", Comments),
    ("alerts", Alerts),
];

pub(super) static COMMENT: &[(&str, Place)] = &[("comment", Text(Comment))];

#[rustfmt::skip]
pub(super) static ALERT: &[(&str, Place)] = &[
    ("id", Text(Id)),                              ("alertId", Text(Id)),
    ("title", Text(Title)),
    ("severity", Text(Severity)),
    ("createdDateTime", Text(Created)),            ("creationTime", Text(Created)),
    ("lastUpdateDateTime", Text(Updated)),         ("lastUpdatedTime", Text(Updated)),
    ("firstActivityDateTime", Text(FirstActivity)), ("firstActivity", Text(FirstActivity)),
    ("lastActivityDateTime", Text(LastActivity)),  ("lastActivity", Text(LastActivity)),
    ("detectorId", Text(Detector)),
    ("detectionSource", Text(DetectionSource)),
    ("serviceSource", Text(ServiceSource)),
    ("productName", Text(Product)),
    ("alertWebUrl", Text(WebUrl)),
    ("categories", Into(Categories)),              ("category", Into(Categories)),
    ("mitreTechniques", Into(Techniques)),
    ("evidence", Evidence),                        ("entities", Evidence),
                                                   ("devices", Evidence),
];

/// Members of an alert that count only in a record of its own: there it is what the incident is in others.
#[rustfmt::skip]
pub(super) static ALERT_ALONE: &[(&str, Place)] = &[
    ("title", Text(Title)),
    ("description", Text(Description)),
    ("createdDateTime", Text(Created)),            ("creationTime", Text(Created)),
    ("lastUpdateDateTime", Text(Updated)),         ("lastUpdatedTime", Text(Updated)),
    ("status", Text(Status)),
    ("severity", Text(Severity)),
    ("classification", Text(Classification)),
    ("determination", Text(Determination)),
    ("assignedTo", Text(AssignedTo)),
    ("alertWebUrl", Text(WebUrl)),
    ("systemTags", Into(Tags)),
    ("comments", Comments),
];

/// Members of evidence, at any depth: Graph nests accounts and files, Defender does not.
#[rustfmt::skip]
pub(super) static EVIDENCE: &[(&str, Kind)] = &[
    ("deviceDnsName", Host), ("hostName", Host), ("deviceName", Host),
    ("mdeDeviceId", DeviceId), ("mdatpDeviceId", DeviceId), ("deviceId", DeviceId),
    ("azureAdDeviceId", DeviceId), ("aadDeviceId", DeviceId),
    ("ipAddress", Ip), ("ipInterfaces", Ip), ("lastIpAddress", Ip), ("lastExternalIpAddress", Ip), ("ipAddresses", Ip),
    ("senderIp", Ip), ("senderIP", Ip), ("podIp", Ip),
    ("macAddress", Mac),
    ("accountName", Account), ("userPrincipalName", Account), ("upn", Account), ("login", Account),
    ("userSid", UserId), ("azureAdUserId", UserId), ("aadUserId", UserId),
    ("securityGroupName", GroupName), ("friendlyName", GroupName), ("securityGroupId", GroupId),
    ("primaryAddress", Email), ("mailboxAddress", Email), ("emailAddress", Email), ("recipientEmailAddress", Email),
    ("recipient", Email), ("recipients", Email), ("sender", Email), ("senderFromAddress", Email), ("submitter", Email),
    ("email", Email),
    ("subject", EmailSubject),
    ("url", Url), ("urls", Url),
    ("fileName", FileName), ("filePath", FilePath),
    ("sha1", Hash), ("sha256", Hash), ("md5", Hash), ("value", Hash),
    ("processCommandLine", CommandLine),
    ("registryKey", RegistryKey), ("registryValue", RegistryValue),
    ("resourceId", Resource), ("amazonResourceId", Resource), ("fullResourceName", Resource),
];
