//! What happens in the simulated tenants: random changes, and now and then a change that a short demo might not show.

use uuid::Uuid;

use crate::simulator::World;

#[derive(Debug, Default)]
pub struct Script {
    changes: u64,
    resolved: Option<(Uuid, u64)>,
}

impl Script {
    /// Makes the next change. One that the world refuses (for example, nothing to merge) is skipped.
    pub fn next(&mut self, world: &World) {
        world.evolve(1);
        self.changes += 1;
        match self.changes % 24 {
            8 => self.resolved = resolve(world),
            12 => merge(world),
            20 => {
                if let Some((tenant, incident)) = self.resolved.take() {
                    let _ = world.reopen(tenant, incident);
                }
            }
            _ => {}
        }
    }
}

fn resolve(world: &World) -> Option<(Uuid, u64)> {
    let mut versions = world.current().into_iter();
    versions
        .find(|version| world.resolve(version.tenant, version.incident).is_ok())
        .map(|version| (version.tenant, version.incident))
}

fn merge(world: &World) {
    let versions = world.current();
    let pairs = versions
        .iter()
        .flat_map(|one| versions.iter().map(move |other| (one, other)));
    // The first pair that can be merged.
    let _ = pairs
        .filter(|(one, other)| one.tenant == other.tenant)
        .any(|(one, other)| {
            world
                .merge(one.tenant, one.incident, other.incident)
                .is_ok()
        });
}
