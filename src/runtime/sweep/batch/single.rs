//! Incidents that come by themselves, or are put together from several answers.

use bytes::Bytes;

use super::BatchBuilder;
use crate::core::codec::raw_hash;
use crate::core::health::failure::Failure;
use crate::core::incident::reading::read;
use crate::core::incident::version::Reading;
use crate::runtime::limits::{Permit, do_work};
use crate::runtime::sweep::Halt;

impl BatchBuilder<'_> {
    /// The reading of `raw`, which is not taken in. `None`: it is no incident.
    pub(in crate::runtime) async fn peek(&self, raw: &[u8]) -> Option<Reading> {
        let shape = self.tenant.source.shape();
        do_work(raw.len(), || read(raw, shape)).await.ok()
    }

    /// Whether `listed` was published whole, in the state in which it was listed.
    pub(in crate::runtime) async fn knows_whole(&self, listed: &Reading) -> Result<bool, Failure> {
        let ids = [listed.id];
        let known = self.sweeper.outlet.known(self.tenant.id, &ids).await?;
        let mut known = known.iter().flatten();
        Ok(known.any(|seen| seen.whole && seen.updated == listed.updated))
    }

    /// Takes one incident that came by itself, or whose alerts were put together; `whole`: none of them is missing. Its
    /// reading, unless it can't be read.
    pub(in crate::runtime) async fn take_single(
        &mut self,
        raw: Bytes,
        whole: bool,
        permit: &mut Permit,
    ) -> Result<Option<Reading>, Halt> {
        self.account.received += 1;
        let shape = self.tenant.source.shape();
        let reading = match do_work(raw.len(), || read(&raw, shape)).await {
            Ok(reading) if whole => reading,
            Ok(reading) => reading.without_alerts(),
            Err(why) => {
                self.bury(raw_hash(&raw), &why, &raw).await?;
                return Ok(None);
            }
        };
        self.decide(vec![(reading, raw)], permit).await?;
        self.settle(0, permit).await?;
        Ok(Some(reading))
    }
}
