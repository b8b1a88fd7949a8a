//! The kinds of attack that incidents report.

use std::sync::LazyLock;

use serde::Deserialize;

/// One kind of attack. Section 9 has Graph's service source only for Sentinel and Security for AI; their words at the
/// Defender API are assumed to be the same.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Attack {
    pub title: String,
    /// What the user did; follows "The user NAME".
    pub story: String,
    pub category: String,
    pub service: String,
    pub detection: String,
    /// The same two in Graph's words.
    pub graph_service: String,
    pub graph_detection: String,
    /// `productName`, which only Graph has.
    pub graph_product: String,
    /// The incident's; its alerts may have another, as in Microsoft's own sample.
    pub severity: String,
    pub alert_severity: String,
    pub family: Option<String>,
    pub techniques: Vec<String>,
    pub on_device: bool,
    pub entities: Vec<String>,
    /// Evidence that only Graph shows.
    pub graph_evidence: Vec<String>,
}

static ATTACKS: LazyLock<Vec<Attack>> = LazyLock::new(|| {
    let attacks = serde_json::from_str(include_str!("attacks.json"));
    // Never empty, so that one can always be chosen. A test reads the file.
    attacks.unwrap_or_else(|_| vec![Attack::default()])
});

pub(super) fn attacks() -> &'static [Attack] {
    &ATTACKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_attacks_can_be_read() {
        assert_eq!(attacks().len(), 9);
        assert!(attacks().iter().all(|attack| !attack.title.is_empty()));
    }
}
