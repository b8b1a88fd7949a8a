//! What only the library can tell that a value is for: whether librdkafka knows a property, whether a file holds
//! certificates. It is asked while the configuration is read, so that its answer stands in the same report as all else.

use secrecy::SecretString;

use super::problems::Wrong;

/// Nothing of a value may be in an answer: it may be a password.
pub trait LibraryChecks {
    /// One property of librdkafka's.
    ///
    /// # Errors
    /// It is not known, or its value is not taken.
    fn property(&self, name: &str, value: &str) -> Result<(), Wrong>;

    /// All of librdkafka's properties together, each of which is good by itself.
    ///
    /// # Errors
    /// They contradict each other, or name a file that can't be used.
    fn properties(&self, all: &[(String, SecretString)]) -> Result<(), Wrong>;

    /// Authorities to trust, as PEM.
    ///
    /// # Errors
    /// There is no certificate, or one that can't be used.
    fn authorities(&self, pem: &[u8]) -> Result<(), Wrong>;
}

/// Takes everything: for whoever wants to know only what the files say.
pub struct NoLibraryChecks;

impl LibraryChecks for NoLibraryChecks {
    fn property(&self, _: &str, _: &str) -> Result<(), Wrong> {
        Ok(())
    }

    fn properties(&self, _: &[(String, SecretString)]) -> Result<(), Wrong> {
        Ok(())
    }

    fn authorities(&self, _: &[u8]) -> Result<(), Wrong> {
        Ok(())
    }
}
