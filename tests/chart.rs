//! The Helm chart and the plain manifests: what Kubernetes' own tools say of them, what they promise, and the daemon as
//! they start it.
//!
//! helm, kubeconform and the schemas come from `tests/chart/tools`. The last test lays a container's root out and runs the
//! binary in it as the rendered manifests say, so it needs root; a machine where nobody is root runs the others.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "chart/pod.rs"]
mod pod;
#[path = "chart/render.rs"]
mod render;
#[path = "chart/rules.rs"]
mod rules;
mod support;
