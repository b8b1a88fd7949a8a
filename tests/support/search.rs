//! A search for secrets and tokens in all that left the program, and the proof that it would find them.

use memchr::memmem::Finder;

use super::daemon::Daemon;
use super::tell;

/// Secrets with characters that forms, JSON and URLs write in other ways.
pub const RIGHT: &str = "canary/right+1&2=3%41~never.seen\"quoted\"";
pub const WRONG: &str = "canary/wrong+1&2=3%41~never.seen";
/// A value of librdkafka's: where an operator's password stands.
pub const KAFKA: &str = "canary/kafka+7&8=9%43~never.seen\\back";
/// What all secrets begin with, and how each token begins: a part of one is a leak as well.
pub const BEGINNINGS: [&str; 2] = ["canary", "eyJhbGciOi"];
/// Of each place, so much is searched for what is planted.
const SAMPLE: usize = 64 << 10;

/// What is searched for, and where.
pub struct Search {
    words: Vec<String>,
    places: Vec<(String, Vec<u8>)>,
}

impl Search {
    /// For these words, and for how all secrets and tokens begin.
    pub fn new(words: &[&str]) -> Self {
        let words = words.iter().chain(&BEGINNINGS);
        Self {
            words: words.map(|word| (*word).to_owned()).collect(),
            places: Vec::new(),
        }
    }

    pub fn add(&mut self, place: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.places.push((place.into(), content.into()));
    }

    /// Of each token a part that no other has.
    pub fn tokens(&mut self, tokens: &[String]) {
        for token in tokens {
            assert!(
                token.starts_with(BEGINNINGS[1]),
                "how tokens begin: {token}"
            );
            let signature = token.rsplit('.').next().expect("a part");
            self.words.push(signature[..40].to_owned());
        }
    }

    pub async fn endpoints(&mut self, of: &str, daemon: &Daemon) {
        for path in ["/", "/livez", "/readyz", "/metrics", "/api/status"] {
            self.add(format!("{of}: {path}"), daemon.get(path).await.1);
        }
    }

    /// Looks for every word in every place, and fails where one stands. Then each of `planted` is put into each place in
    /// each of its spellings, and has to be found: a search that can't find proves nothing.
    pub fn run(&self, planted: &[&str]) {
        let finders = Finders::of(&self.words);
        let bytes: usize = self.places.iter().map(|(_, bytes)| bytes.len()).sum();
        tell(format_args!(
            "{} secrets, tokens and beginnings searched in {} places, {bytes} bytes",
            self.words.len(),
            self.places.len(),
        ));
        let found: Vec<String> = self
            .places
            .iter()
            .flat_map(|(place, bytes)| {
                let hits = finders.hits(bytes);
                hits.map(move |(word, at)| format!("{place}: {word} in {:?}", around(bytes, at)))
            })
            .collect();
        assert!(found.is_empty(), "{found:#?}");
        for (place, bytes) in &self.places {
            for spelling in planted.iter().flat_map(|word| spellings(word)) {
                let sample = &bytes[..bytes.len().min(SAMPLE)];
                let (before, after) = sample.split_at(sample.len() / 2);
                let with = [before, spelling.as_bytes(), after].concat();
                assert!(
                    finders.hits(&with).next().is_some(),
                    "{spelling} planted in {place} is not found"
                );
            }
        }
    }
}

/// The words in all their spellings, made ready to be looked for many times.
struct Finders(Vec<(String, Finder<'static>)>);

impl Finders {
    fn of(words: &[String]) -> Self {
        let spelled = words.iter().flat_map(|word| spellings(word));
        let finder = |word: String| (word.clone(), Finder::new(word.as_bytes()).into_owned());
        Self(spelled.map(finder).collect())
    }

    /// The spellings that stand in `bytes`, and where.
    fn hits<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a str, usize)> {
        let all = self.0.iter();
        all.filter_map(|(word, finder)| Some((word.as_str(), finder.find(bytes)?)))
    }
}

/// What stands before and behind a hit, for the message.
fn around(bytes: &[u8], at: usize) -> String {
    let (from, to) = (at.saturating_sub(120), (at + 120).min(bytes.len()));
    String::from_utf8_lossy(&bytes[from..to]).into_owned()
}

/// A word as it is, as a form or a URL encodes it, and as a JSON string has it.
fn spellings(word: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
    let json = serde_json::Value::from(word).to_string();
    let mut all = vec![word.to_owned(), form, json[1..json.len() - 1].to_owned()];
    all.sort();
    all.dedup();
    all
}
