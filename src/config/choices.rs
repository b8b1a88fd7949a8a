//! Values that are one of a few words, and the words.

use crate::core::incident::version::Deduplicate;
use crate::core::sources::Cloud;
use crate::settings::{
    LedgerKind, LogFormat, MetricsDetail, RecordFormat, SourceKind, TokenEndpoint,
};

/// A value that is one of a few words.
pub(super) trait Choice: Copy + 'static {
    const NAMES: &'static [(&'static str, Self)];
}

pub(super) fn names<T: Choice>() -> Vec<&'static str> {
    T::NAMES.iter().map(|(name, _)| *name).collect()
}

macro_rules! choices {
    ($($kind:ident { $($name:literal = $variant:ident),* })*) => {$(
        impl Choice for $kind {
            const NAMES: &'static [(&'static str, Self)] = &[$(($name, $kind::$variant)),*];
        }
    )*};
}

choices! {
    SourceKind { "graph" = Graph, "defender" = Defender }
    TokenEndpoint { "v2" = V2, "v1" = V1 }
    Deduplicate { "version" = Version, "id" = Id }
    RecordFormat { "cloudevents" = CloudEvents, "raw" = Raw, "ocsf" = Ocsf, "ecs" = Ecs }
    LedgerKind { "local" = Local, "kafka" = Kafka }
    MetricsDetail { "tenants" = Tenants, "fleet" = Fleet }
    LogFormat { "auto" = Auto, "json" = Json, "text" = Text }
}

impl Choice for Cloud {
    const NAMES: &'static [(&'static str, Self)] = &Cloud::NAMES;
}
