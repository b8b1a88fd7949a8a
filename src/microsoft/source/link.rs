//! nextLinks are followed unchanged, and only to the configured host: each request carries a token that reads a customer's
//! incidents.

use url::Url;

use crate::core::health::failure::{Failure, Health, Reaction, Suspect};
use crate::microsoft::scrub::host_without;

/// Most servers refuse longer links.
const MAX_LINK: usize = 16 << 10;

/// `link`, absolute or relative to `list`, if its scheme, host and port are those of `list`. The parser that makes the
/// request also makes the comparison, so a link that only looks right is refused. A refusal names the host, and the
/// scheme if it is http or https; `token` is removed from the host.
pub(super) fn pinned(list: &Url, link: &str, token: &str) -> Result<Url, Failure> {
    if link.len() > MAX_LINK {
        return Err(refused("is longer than 16 KiB"));
    }
    let mut url = list
        .join(link)
        .map_err(|_| refused("can't be understood as an address"))?;
    let same = url.scheme() == list.scheme()
        && url.host() == list.host()
        && url.port_or_known_default() == list.port_or_known_default();
    if !same {
        let scheme = match url.scheme() {
            scheme @ ("http" | "https") => scheme,
            _ => "another scheme",
        };
        let host = host_without(link, Some(list), &[token]);
        return Err(refused(&format!("leads to {host} ({scheme})")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("carries a user name"));
    }
    url.set_fragment(None);
    Ok(url)
}

fn refused(why: &str) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        format!("the API's nextLink {why}: not followed, because the token would go with it"),
        "check api.base_url, and what stands between here and Microsoft: an answer of the API leads to its own host",
    )
    .suspecting(Suspect::Elsewhere)
    .caused_by("nextLink leads elsewhere")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str = "TOKENCANARY";
    const LIST: &str = "https://api.security.microsoft.com/api/incidents";

    fn follow(list: &str, link: &str) -> Result<String, Failure> {
        pinned(&Url::parse(list).unwrap(), link, TOKEN).map(String::from)
    }

    #[test]
    fn links_to_the_configured_host_are_followed_whole() {
        let query = "?$filter=lastUpdateTime%20ge%202020-09-06T12:18:03Z&$skiptoken=a%2Bb+c";
        let whole = format!("{LIST}{query}");
        for link in [
            whole.clone(),
            format!("/api/incidents{query}"),
            format!("incidents{query}"),
            query.to_owned(),
            format!("https://API.Security.Microsoft.COM:443/api/incidents{query}"),
            format!("//api.security.microsoft.com/api/incidents{query}"),
            format!("{whole}#fragment"),
        ] {
            assert_eq!(follow(LIST, &link), Ok(whole.clone()), "{link}");
        }
        let local = "http://127.0.0.1:8080/api/incidents";
        assert_eq!(
            follow(local, "http://127.0.0.1:8080/x?y"),
            Ok("http://127.0.0.1:8080/x?y".into())
        );
    }

    #[test]
    fn links_that_leave_the_configured_host_are_refused() {
        for link in [
            "https://evil.example/api/incidents",
            "//evil.example/api/incidents",
            "\\\\evil.example/api/incidents",
            "/\\evil.example",
            "https:\\\\evil.example\\api",
            "http://api.security.microsoft.com/api/incidents",
            "https://api.security.microsoft.com:8443/api/incidents",
            "https://api.security.microsoft.com@evil.example/",
            "https://api.security.microsoft.com:443@evil.example/",
            "https://user@api.security.microsoft.com/api/incidents",
            "https://:pw@api.security.microsoft.com/api/incidents",
            "https://api.security.microsoft.com.evil.example/",
            "https://evil.example\\@api.security.microsoft.com/",
            "https://evil.example#@api.security.microsoft.com/",
            "https://evil.example?@api.security.microsoft.com/",
            "https://api.security.microsoft.com./api/incidents",
            " https://evil.example/",
            "ht\ntps://evil.example/",
            "ftp://api.security.microsoft.com/",
            "file:///etc/passwd",
            "data:text/plain,x",
            "javascript:alert(1)",
            "https://",
            "https://[::1/",
        ] {
            let failure = follow(LIST, link).expect_err(link);
            assert_eq!(failure.health, Health::Misconfigured, "{link}");
        }
        follow(LIST, &"a".repeat(MAX_LINK + 1)).expect_err("a link of 16 KiB");
    }

    #[test]
    fn a_link_that_repeats_the_token_does_not_show_it() {
        for link in [
            "https://TOKENCANARY/",
            "https://a.TOKENCANARY.example/?a",
            "TOKENCANARY://api.security.microsoft.com/",
            "TOKENCANARY:x",
            "https://tokencanary/",
            "https://TOKEN\tCANARY/",
            "https://%54OKENCANARY/",
            "https://TOKENCANARY@evil.example/",
            "https://evil.example:1/TOKENCANARY?TOKENCANARY#TOKENCANARY",
            "http://api.security.microsoft.com/TOKENCANARY",
            "https://TOKENCANARY@api.security.microsoft.com/",
            "https://:TOKENCANARY@api.security.microsoft.com/",
        ] {
            let failure = follow(LIST, link).expect_err(link);
            let said = format!("{failure:?}").to_lowercase();
            assert!(!said.contains("canary"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_link_leads_elsewhere(link in "\\PC{0,60}|(https?:)?[/\\\\]{0,3}[a-z.@:#?\\\\/]{0,40}") {
            if let Ok(url) = pinned(&Url::parse(LIST).unwrap(), &link, TOKEN) {
                prop_assert_eq!(url.origin(), Url::parse(LIST).unwrap().origin());
                prop_assert!(url.as_str().starts_with("https://api.security.microsoft.com/"), "{}", url);
            }
        }
    }
}
