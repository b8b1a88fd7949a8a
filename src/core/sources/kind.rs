//! Which API a tenant's incidents are read from.

/// An API that shows incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SourceKind {
    /// The Defender XDR API, which ends on 2027-02-01 by Microsoft's notice MC1220762.
    Defender,
    /// Microsoft Graph.
    #[default]
    Graph,
}
