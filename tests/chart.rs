//! The Helm chart and the plain manifests: what Kubernetes' own tools say of them, what they promise, and the daemon as
//! they start it.
//!
//! helm, kubeconform and the schemas come from `tests/chart/tools`. The last test lays a container's root out and runs the
//! binary in it as the rendered manifests say, so it needs root; a machine where nobody is root runs the others.

mod pod;
pub mod render;
mod rules;
mod settings;
