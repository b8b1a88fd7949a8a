//! Who and what an alert is about: drawn from the alert's seed, and the same in both APIs.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use uuid::Uuid;

/// Who and what one alert is about.
pub(super) struct Cast {
    pub user: &'static str,
    pub domain: &'static str,
    pub device: String,
    pub guid: Uuid,
    pub address: String,
    pub hash: String,
    pub process: u32,
    pub sparse: bool,
}

impl Cast {
    pub fn draw(rng: &mut StdRng) -> Self {
        let users = [
            "adele.vance",
            "alex.wilber",
            "jörg.müller",
            "svc-backup",
            "岡本",
        ];
        let domains = ["contoso.com", "europe.corp.contoso.com", "fabrikam.example"];
        Self {
            user: users.choose(rng).unwrap_or(&users[0]),
            domain: domains.choose(rng).unwrap_or(&domains[0]),
            device: format!("{:032x}{:08x}", rng.random::<u128>(), rng.random::<u32>()),
            guid: Uuid::from_u128(rng.random()),
            address: format!("203.0.113.{}", rng.random_range(1..255)),
            hash: format!("{:032x}{:08x}", rng.random::<u128>(), rng.random::<u32>()),
            process: rng.random_range(4..60_000),
            sparse: rng.random_bool(0.2),
        }
    }

    pub fn principal(&self) -> String {
        format!("{}@{}", self.user, self.domain)
    }
}
