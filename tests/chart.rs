//! The Helm chart and the plain manifests: what Kubernetes' own tools report about them, what they promise, and how the
//! daemon runs with them; and the container image.
//!
//! helm, kubeconform and the schemas come from `tests/chart/tools`. The last test creates a container's root and runs
//! the binary in it according to the rendered manifests, so it needs root; without root only the others run.

mod image;
mod pod;
pub mod render;
mod rules;
mod settings;
mod upgrade;
