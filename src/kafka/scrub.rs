//! Removes the values of the operator's properties from librdkafka's texts.

use secrecy::{ExposeSecret, SecretString};

/// Shorter values of properties without secrets are numbers and switches, which occur in other words too.
const SHORTEST: usize = 5;
/// Names of protocols: no secrets, and an operator has to read them.
const OPEN: [&str; 3] = ["security.protocol", "sasl.mechanism", "sasl.mechanisms"];
/// A property with one of these words in its name holds a secret, however short.
const SECRETS: [&str; 7] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "pem",
    "jaas",
    "oauthbearer.config",
];

/// Values that must not appear in any text, each with the name of its property.
pub(super) struct Scrubber(Vec<(String, SecretString)>);

impl Scrubber {
    pub(super) fn new(properties: &[(String, SecretString)]) -> Self {
        let mut closed = Vec::new();
        for (name, value) in properties {
            if OPEN.contains(&name.as_str()) {
                continue;
            }
            let least = match SECRETS.iter().any(|word| name.contains(word)) {
                true => 1,
                false => SHORTEST,
            };
            let value = value.expose_secret();
            // In lists, librdkafka reads a backslash as an escape and shows the value without it.
            let spelled = value.replace('\\', "");
            let second = (spelled != value).then_some(spelled);
            for spelling in std::iter::once(value.to_owned()).chain(second) {
                if spelling.len() >= least {
                    closed.push((name.clone(), SecretString::from(spelling)));
                }
            }
        }
        closed.sort_by_key(|(_, value)| std::cmp::Reverse(value.expose_secret().len()));
        Self(closed)
    }

    /// The text with each value replaced by the name of its property; of the longest value where several overlap.
    ///
    /// Every byte that belongs to any value is removed. The replacements are not searched again.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut owner: Vec<Option<usize>> = vec![None; text.len()];
        for (n, (_, value)) in self.0.iter().enumerate() {
            for at in starts(text, value.expose_secret()) {
                let covered = owner.iter_mut().skip(at).take(value.expose_secret().len());
                covered.for_each(|place| *place = place.or(Some(n)));
            }
        }
        let mut clean = String::with_capacity(text.len());
        let mut last = None;
        for (at, letter) in text.char_indices() {
            match owner.get(at).copied().flatten() {
                None => {
                    clean.push(letter);
                    last = None;
                }
                found if found == last => {}
                found => {
                    let name = found.and_then(|n| self.0.get(n)).map(|(name, _)| name);
                    clean.push_str(&format!("[value of {}]", name.map_or("", |name| name)));
                    last = found;
                }
            }
        }
        clean
    }
}

/// Where `value` begins in `text`, overlaps included.
fn starts<'a>(text: &'a str, value: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.char_indices()
        .map(|(at, _)| at)
        .filter(move |at| text.get(*at..).is_some_and(|rest| rest.starts_with(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scrubber(properties: &[(&str, &str)]) -> Scrubber {
        let owned = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)));
        Scrubber::new(&owned.collect::<Vec<_>>())
    }

    #[test]
    fn a_short_password_is_cut_out_and_a_number_is_not() {
        let scrubber = scrubber(&[("sasl.password", "7xQ"), ("linger.ms", "5")]);
        assert_eq!(
            scrubber.clean("login with 7xQ failed after 5 ms"),
            "login with [value of sasl.password] failed after 5 ms"
        );
    }

    #[test]
    fn a_value_within_another_leaves_nothing_of_the_longer_one() {
        for order in [[0, 1], [1, 0]] {
            let both = [
                ("sasl.username", "incident"),
                ("sasl.password", "incident-42-secret"),
            ];
            let clean = scrubber(&order.map(|n| both[n])).clean("bad incident-42-secret.");
            assert_eq!(clean, "bad [value of sasl.password].");
        }
    }

    proptest! {
        #[test]
        fn no_password_is_left_in_any_text(
            passwords in proptest::collection::vec("[abc]{1,4}", 1..4),
            text in "[abcd ]{0,40}",
        ) {
            let named: Vec<_> = passwords.iter().map(|value| ("ssl.key.password", value.as_str())).collect();
            let clean = scrubber(&named).clean(&text);
            let outside = clean.replace("[value of ssl.key.password]", "|");
            for password in &passwords {
                prop_assert!(!outside.contains(password), "{password} in {clean}");
            }
        }

        #[test]
        fn any_text_can_be_cleaned(value in "\\PC{0,3}", text in "\\PC{0,40}") {
            scrubber(&[("sasl.password", &value), ("client.id", &text)]).clean(&text);
        }
    }
}
