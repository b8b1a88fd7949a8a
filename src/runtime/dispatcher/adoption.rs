//! What a new fleet means for tenants at work, at rest and in the queue; the first fleet included.

use super::*;

impl Dispatcher {
    /// Takes the fleet as it is now.
    pub(super) fn adopt(&mut self) {
        let fleet = self.fleet.now();
        self.log.adopt(fleet.len());
        let present: HashSet<TenantId> = fleet.iter().map(|tenant| tenant.id).collect();
        let gone: Vec<_> = self
            .posts
            .keys()
            .filter(|tenant| !present.contains(tenant))
            .copied()
            .collect();
        for tenant in gone {
            self.dismiss(tenant);
        }
        let fresh: Vec<_> = fleet
            .iter()
            .filter(|tenant| self.appoint(tenant))
            .cloned()
            .collect();
        self.regroup();
        self.first_turns(&fresh);
    }

    fn dismiss(&mut self, tenant: TenantId) {
        let over = self.board.leave(tenant);
        let uptime = self.sweeper.started.elapsed();
        self.log.forget(tenant, over, uptime);
        let Some(post) = self.posts.get_mut(&tenant) else {
            return;
        };
        post.gone = true;
        post.give_way.cancel();
        if post.running.is_none() {
            self.posts.remove(&tenant);
        }
    }

    /// Gives `tenant` its post. Whether it is to have a first turn: it is new, or has new settings, and nothing is running
    /// for it that comes to rest before.
    fn appoint(&mut self, tenant: &Arc<Tenant>) -> bool {
        let mut post = self.posts.get_mut(&tenant.id);
        if post
            .as_ref()
            .is_some_and(|post| Arc::ptr_eq(&post.tenant, tenant) && !post.gone)
        {
            return false;
        }
        self.board.enter(tenant);
        let uptime = self.sweeper.started.elapsed();
        let memory = match &mut post {
            // One that is running gives its memory back when it ends.
            Some(post) => post
                .memory
                .take()
                .map(|memory| memory.succeed(&post.tenant, tenant, uptime)),
            None => Some(Memory::new(&tenant.rules, uptime)),
        };
        let running = post.and_then(|post| {
            post.give_way.cancel();
            post.running
        });
        let post = Post {
            running,
            ..Post::new(tenant.clone(), memory)
        };
        self.posts.insert(tenant.id, post);
        running.is_none()
    }

    /// Schedules that stay keep the memory of their last firing.
    fn regroup(&mut self) {
        let fleet = self.fleet.now();
        let mut before = std::mem::take(&mut self.groups);
        for schedule in distinct_schedules(&fleet) {
            let last = before.remove(&schedule).and_then(|group| group.last);
            self.groups.insert(
                schedule,
                Group {
                    tenants: Vec::new(),
                    last,
                },
            );
        }
        for tenant in fleet.iter() {
            if let Some(group) = self.groups.get_mut(&tenant.schedule) {
                group.tenants.push(tenant.id);
            }
        }
    }

    /// The first turns don't wait for a firing: who starts the daemon, or adds a tenant, wants to see it work, also at
    /// "every 6h". A few are read at once; many are spread as ever.
    fn first_turns(&mut self, fresh: &[Arc<Tenant>]) {
        let (now, crowd) = (self.sweeper.clock.now(), crowd(fresh.len()));
        for tenant in fresh {
            let window = tenant.schedule.period_after(now).min(crowd);
            self.enqueue(tenant.id, offset(tenant.id, window), false);
        }
    }
}
