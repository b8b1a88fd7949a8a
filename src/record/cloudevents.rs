//! The context attributes of a CloudEvent, as headers: "Kafka Protocol Binding for CloudEvents", version 1.0.

use super::{CE_ID, CONTENT_TYPE};

/// A CloudEvent's context attributes.
pub(super) struct Attributes {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) time: String,
}

impl Attributes {
    pub(super) fn headers(
        self,
        source: &str,
        content_type: &str,
        tenant: [(&'static str, String); 2],
    ) -> Vec<(&'static str, String)> {
        let [tenant_id, tenant_name] = tenant;
        vec![
            ("ce_specversion", "1.0".to_owned()),
            (CE_ID, self.id),
            ("ce_source", source.to_owned()),
            ("ce_type", self.kind),
            ("ce_subject", self.subject),
            ("ce_time", self.time),
            (CONTENT_TYPE, content_type.to_owned()),
            tenant_id,
            tenant_name,
        ]
    }
}
