//! Items with short texts, and an encoder for them, for the tests of both outlets.

use std::sync::Arc;

use bytes::Bytes;

use super::FakeEncoder;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{Change, ContentHash, Phase, Reading};
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;
use crate::ports::*;

pub fn tenant() -> TenantId {
    TenantId::from_bytes([1; 16])
}

/// A new incident.
pub fn incident(id: u64, value: &'static str) -> Item {
    let reading = Reading {
        id: IncidentId(id),
        updated: Ticks(5),
        phase: Phase::Open,
        hash: ContentHash(id),
        origin: SourceKind::Graph,
        whole: true,
    };
    Item::Version {
        reading,
        change: Change::Created,
        seen: reading.seen(None),
        compared: Default::default(),
        raw: Bytes::from_static(value.as_bytes()),
    }
}

/// A dead letter. Once accepted, its content is remembered as accepted.
pub fn letter(content: u64, value: &'static str) -> Item {
    Item::DeadLetter {
        content: ContentHash(content),
        letter: Letter {
            met: Ticks(5),
            accepted: true,
        },
        why: "no id".to_owned(),
        raw: Bytes::from_static(value.as_bytes()),
    }
}

/// Its records have only a short key besides their bytes. `letters` is the topic of dead letters.
pub fn short_encoder(letters: &'static str) -> Arc<dyn Encoder> {
    let encode = move |item: &Item| {
        let (topic, key) = match item {
            Item::Version { reading, .. } => ("incidents", reading.id.0),
            Item::DeadLetter { content, .. } => (letters, content.0),
            Item::Adopted { .. } | Item::Unreadable { .. } => return None,
        };
        Some(Record {
            topic: topic.into(),
            key: key.to_string(),
            headers: Vec::new(),
            value: item.raw().to_vec(),
            raw: 0..item.raw().len(),
        })
    };
    Arc::new(FakeEncoder {
        encode,
        takes_dead_letters: true,
    })
}
