//! When a tenant's turn comes next.

use super::*;

impl Dispatcher {
    /// Has the board show the next regular turn, after a sweep: nothing is put into the queue, for that its firing does.
    pub(super) fn foresee(&self, tenant: TenantId) {
        let Some(Post { tenant, .. }) = self.posts.get(&tenant) else {
            return;
        };
        let (now, schedule) = (self.sweeper.clock.now(), &tenant.schedule);
        let turn = |firing: Ticks| firing.plus(offset(tenant.id, schedule.period_after(firing)));
        let fired = self.groups.get(schedule).and_then(|group| group.last);
        let waits = fired.map(turn).filter(|turn| *turn > now);
        if let Some(next) = waits.or_else(|| schedule.next_after(now).map(turn)) {
            self.board.plan(tenant.id, next.since(now));
        }
    }
}
