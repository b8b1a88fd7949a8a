//! What a page's address asks for, and the addresses that pages link to.

use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::core::health::failure::Health;
use crate::core::health::fleet_view::FleetQuery;
use crate::core::ids::TenantId;

/// The parameters of an address, as they came. The limit of a request's head bounds them.
#[derive(Debug, Default, Deserialize)]
pub struct PageParameters {
    q: Option<String>,
    state: Option<String>,
    page: Option<String>,
    refresh: Option<String>,
}

impl PageParameters {
    pub fn refreshes(&self) -> bool {
        self.refresh.as_deref() != Some("off")
    }
}

/// What an address asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAddress {
    pub query: FleetQuery,
    /// Whether the page loads itself anew. A reader who copies a link or uses a screen reader turns it off.
    pub refresh: bool,
}

/// Why there is no page at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    #[error("no tenant can be in this state")]
    State,
    #[error("page is not a number from 1 on")]
    Page,
}

impl TryFrom<PageParameters> for PageAddress {
    type Error = BadAddress;

    fn try_from(parameters: PageParameters) -> Result<Self, BadAddress> {
        let known = |name: String| {
            let mut all = Health::ALL.into_iter();
            all.find(|state| state.as_str() == name)
                .ok_or(BadAddress::State)
        };
        let refresh = parameters.refreshes();
        let state = parameters.state.filter(|state| !state.is_empty());
        let page = parameters.page.filter(|page| !page.is_empty());
        let page = page.map_or(Ok(1), |page| page.parse().map_err(|_| BadAddress::Page))?;
        let search = parameters.q.unwrap_or_default();
        Ok(Self {
            query: FleetQuery::new(&search, state.map(known).transpose()?, page),
            refresh,
        })
    }
}

impl PageAddress {
    /// Whether it asks for the fleet from its beginning, as most readers do.
    pub fn is_front(&self) -> bool {
        self.link() == "/"
    }

    /// This address, in one form only.
    pub fn link(&self) -> String {
        let query = &self.query;
        let mut pairs = Serializer::new(String::new());
        if !query.search().is_empty() {
            pairs.append_pair("q", query.search());
        }
        if let Some(state) = query.state {
            pairs.append_pair("state", state.as_str());
        }
        if query.page > 1 {
            pairs.append_pair("page", &query.page.to_string());
        }
        with_query("/".to_owned(), pairs, self.refresh)
    }

    /// The first page of the tenants in this state, or in any.
    pub fn in_state(&self, state: Option<Health>) -> String {
        self.changed(|query| {
            query.state = state;
            query.page = 1;
        })
    }

    pub fn at_page(&self, page: usize) -> String {
        self.changed(|query| query.page = page)
    }

    pub fn of_tenant(&self, tenant: &TenantId) -> String {
        tenant_link(*tenant, self.refresh)
    }

    /// The same page, which refreshes itself if this one does not.
    pub fn toggled(&self) -> String {
        let refresh = !self.refresh;
        Self {
            refresh,
            ..self.clone()
        }
        .link()
    }

    fn changed(&self, change: impl FnOnce(&mut FleetQuery)) -> String {
        let mut other = self.clone();
        change(&mut other.query);
        other.link()
    }
}

/// The address of a tenant's page.
pub fn tenant_link(tenant: TenantId, refresh: bool) -> String {
    let pairs = Serializer::new(String::new());
    with_query(format!("/tenants/{tenant}"), pairs, refresh)
}

fn with_query(path: String, mut pairs: Serializer<'_, String>, refresh: bool) -> String {
    if !refresh {
        pairs.append_pair("refresh", "off");
    }
    match pairs.finish() {
        query if query.is_empty() => path,
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(q: &str, state: &str, page: usize, refresh: &str) -> PageAddress {
        let parameters = PageParameters {
            q: Some(q.to_owned()),
            state: Some(state.to_owned()),
            page: Some(page.to_string()),
            refresh: Some(refresh.to_owned()),
        };
        parameters.try_into().expect("a state")
    }

    #[test]
    fn an_address_has_one_form() {
        for (address, link) in [
            (address("", "", 0, ""), "/"),
            (address(" a&b=c ", "", 1, ""), "/?q=a%26b%3Dc"),
            (
                address("", "consent", 2, "off"),
                "/?state=consent&page=2&refresh=off",
            ),
        ] {
            assert_eq!(address.link(), link);
            assert_eq!(address.is_front(), link == "/");
        }
        let address = address("x", "ok", 3, "off");
        assert_eq!(address.at_page(1), "/?q=x&state=ok&refresh=off");
        assert_eq!(address.in_state(None), "/?q=x&refresh=off");
        assert_eq!(address.toggled(), "/?q=x&state=ok&page=3");
    }

    #[test]
    fn a_state_or_page_that_does_not_exist_is_refused() {
        let parameters = PageParameters {
            state: Some("broken".to_owned()),
            ..PageParameters::default()
        };
        assert_eq!(PageAddress::try_from(parameters), Err(BadAddress::State));
        for page in ["abc", "-1", "1.5", "99999999999999999999999"] {
            let parameters = PageParameters {
                page: Some(page.to_owned()),
                ..PageParameters::default()
            };
            assert_eq!(PageAddress::try_from(parameters), Err(BadAddress::Page));
        }
    }
}
