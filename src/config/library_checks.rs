//! Checks that need the library which uses a value: whether librdkafka knows a property, whether a file holds
//! certificates. They run while the configuration is read, so that one report holds all mistakes.

use secrecy::SecretString;

use super::problems::Wrong;
use crate::settings::LedgerKind;

/// An answer must not contain the value, which may be a password. Without an own answer everything is accepted.
pub trait LibraryChecks {
    /// One property of librdkafka.
    ///
    /// # Errors
    /// librdkafka does not know it, or does not accept the value.
    fn property(&self, _name: &str, _value: &str) -> Result<(), Wrong> {
        Ok(())
    }

    /// All properties of librdkafka together, for the clients of this kind of ledger, too; each is accepted alone.
    ///
    /// # Errors
    /// They contradict each other, or name a file that can't be used.
    fn properties(
        &self,
        _all: &[(String, SecretString)],
        _ledger: LedgerKind,
    ) -> Result<(), Wrong> {
        Ok(())
    }

    /// An app's certificate and its private key, as PEM.
    ///
    /// # Errors
    /// They can't be used together.
    fn certificate(&self, _certificate: &[u8], _key: &[u8]) -> Result<(), WrongCertificate> {
        Ok(())
    }

    /// Authorities to trust, as PEM.
    ///
    /// # Errors
    /// There is no certificate, or one that can't be used.
    fn authorities(&self, _pem: &[u8]) -> Result<(), Wrong> {
        Ok(())
    }
}

/// What is wrong with a certificate or its key. In the remedy, `{place}` stands for the file.
pub struct WrongCertificate {
    /// It is about the file of the key.
    pub of_key: bool,
    pub wrong: Wrong,
}

/// Accepts everything, for commands that need only the content of the files.
pub struct NoLibraryChecks;

impl LibraryChecks for NoLibraryChecks {}
