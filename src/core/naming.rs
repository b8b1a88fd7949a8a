//! The tenants' names on a command line: what people type, and what they paste.

use super::format::counted;
use super::ids::TenantId;

/// At most this many names are listed.
const MOST_LISTED: usize = 8;

/// A tenant that a command line can name.
pub trait Nameable {
    fn id(&self) -> TenantId;
    fn name(&self) -> &str;
}

/// The tenant that `named` means: by its id, by its exact name, or else by its name in other upper and lower case.
///
/// # Errors
/// The names that `named` can mean in other upper and lower case: none, or several.
pub fn find<'a, T: Nameable>(tenants: &'a [T], named: &str) -> Result<&'a T, Vec<&'a str>> {
    let by_id = |tenant: &&T| tenant.id().to_string().eq_ignore_ascii_case(named);
    let exact = tenants.iter().find(by_id);
    let exact = exact.or_else(|| tenants.iter().find(|tenant| tenant.name() == named));
    if let Some(tenant) = exact {
        return Ok(tenant);
    }
    let lower = named.to_lowercase();
    let alike = tenants
        .iter()
        .filter(|tenant| tenant.name().to_lowercase() == lower);
    match alike.collect::<Vec<_>>().as_slice() {
        [one] => Ok(one),
        several => Err(several.iter().map(|tenant| tenant.name()).collect()),
    }
}

/// The question that several names raise.
pub fn which(names: &[&str]) -> String {
    let listed: Vec<String> = names
        .iter()
        .take(MOST_LISTED)
        .map(|name| format!("{name:?}"))
        .collect();
    format!(
        "it may mean {}: {}; give the name in its own upper and lower case, or the id",
        counted(names.len(), "tenant"),
        listed.join(", ")
    )
}

/// The word for the tenant on a command line: the name, if a shell and the command line take it as it is, else the id.
pub fn tenant_word(name: &str, id: TenantId) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        true => name.to_owned(),
        false => id.to_string(),
    }
}

/// A word for a POSIX shell, which takes it as it is.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    struct Tenant(u128, &'static str);

    impl Nameable for Tenant {
        fn id(&self) -> TenantId {
            Uuid::from_u128(self.0).to_string().parse().expect("an id")
        }

        fn name(&self) -> &str {
            self.1
        }
    }

    #[test]
    fn an_exact_name_wins_and_one_that_may_mean_several_is_refused() {
        let tenants = [
            Tenant(1, "contoso"),
            Tenant(2, "Contoso"),
            Tenant(0xab, "Fabrikam"),
        ];
        let found = |named: &str| find(&tenants, named).map(|tenant| tenant.0);
        assert_eq!(found("contoso"), Ok(1));
        assert_eq!(found("Contoso"), Ok(2));
        assert_eq!(found("fabrikam"), Ok(0xab));
        assert_eq!(found("00000000-0000-0000-0000-0000000000AB"), Ok(0xab));
        assert_eq!(found("CONTOSO"), Err(vec!["contoso", "Contoso"]));
        assert_eq!(found("adatum"), Err(vec![]));
        let which = which(&["contoso", "Contoso"]);
        assert!(
            which.contains("2 tenants: \"contoso\", \"Contoso\""),
            "{which}"
        );
    }

    #[test]
    fn a_word_is_safe_to_paste() {
        let id = Tenant(7, "").id();
        for plain in ["contoso", "Contoso-2.eu_x"] {
            assert_eq!(tenant_word(plain, id), plain);
        }
        for odd in [
            "", "-dash", "a b", "$HOME", "`id`", "!x", "a\"b", "a'b", "Müller",
        ] {
            assert_eq!(tenant_word(odd, id), id.to_string(), "{odd}");
        }
    }

    #[test]
    fn a_shell_takes_each_word_as_it_is() {
        for (text, word) in [
            ("", "''"),
            ("/etc/x-1.toml", "/etc/x-1.toml"),
            ("a b", "'a b'"),
            ("$HOME `id` !x \\", "'$HOME `id` !x \\'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
