//! TLS with a certificate and a key from two files that are reloaded when they change.
//!
//! To renew the pair, replace the files or the target of a symbolic link. Open connections continue; new ones get the
//! new certificate. An unusable pair is rejected, and the previous one stays in use.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use chrono::{DateTime, Utc};
use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode as _, Reader as _, SliceReader, Tag};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{Config, TlsConfig};

/// How often both files are read. Modification times are unreliable for symbolic links and mounted secrets.
const CERTIFICATE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The certificate of new connections.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Files,
    /// The pair in the files when the router started.
    initial: Pair,
    current: RwLock<Arc<CertifiedKey>>,
}

#[derive(Debug)]
struct Files {
    certificate: Box<Path>,
    key: Box<Path>,
}

/// The contents of both files.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The contents of both files, or the error message.
type ReadResult = Result<Pair, String>;

impl Certificate {
    /// Loads the configured certificate; `None` without TLS.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Option<Arc<Self>>> {
        let TlsConfig {
            tls_certificate: Some(certificate),
            tls_key: Some(key),
            ..
        } = &config.tls
        else {
            return Ok(None);
        };
        ensure!(
            config.public_url.scheme() == "https",
            "with --tls-certificate, --public-url must begin with https: but is {}",
            config.public_url
        );
        let files = Files {
            certificate: certificate.as_path().into(),
            key: key.as_path().into(),
        };
        let initial = files.read()?;
        let current = RwLock::new(Arc::new(initial.load()?));
        Ok(Some(Arc::new(Self {
            files,
            initial,
            current,
        })))
    }

    /// TLS 1.2 and 1.3, with this certificate.
    pub(crate) fn server_config(self: &Arc<Self>) -> ServerConfig {
        ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(self.clone())
    }

    /// Polls both files. A change is applied after two identical reads, so that a half-written pair is not loaded.
    pub(crate) async fn watch(self: Arc<Self>) {
        self.announce("TLS enabled");
        let mut last_applied: ReadResult = Ok(self.initial.clone());
        let mut previous = last_applied.clone();
        loop {
            tokio::time::sleep(CERTIFICATE_POLL_INTERVAL).await;
            let read = self.files.read().map_err(|error| format!("{error:#}"));
            if read == previous && read != last_applied {
                self.apply(&read);
                last_applied.clone_from(&read);
            }
            previous = read;
        }
    }

    fn apply(&self, read: &ReadResult) {
        let loaded = read
            .as_ref()
            .map_err(|reason| anyhow!("{reason}"))
            .and_then(Pair::load);
        match loaded {
            Ok(key) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                self.announce("certificate reloaded");
            }
            Err(reason) => tracing::warn!(
                reason = format!("{reason:#}"),
                "the new certificate is invalid; the previous one stays in use"
            ),
        }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reports the expiry of the certificate in the log and in the metrics.
    fn announce(&self, what: &str) {
        let Ok(end) = end(&self.current()) else { return };
        let until = end.to_rfc3339();
        if end < Utc::now() {
            tracing::warn!(
                until,
                "{what}; the certificate has expired, and browsers will reject it"
            );
        } else {
            tracing::info!(until, "{what}");
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 have 33 bits")]
        metrics::gauge!("proofsheet_tls_certificate_expiry_timestamp_seconds").set(end.timestamp() as f64);
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<Pair> {
        let read =
            |file: &Path| std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
        Ok(Pair {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }
}

impl Pair {
    /// Parses the pair. Fails if the key does not belong to the certificate.
    fn load(&self) -> anyhow::Result<CertifiedKey> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .context("the certificate is not PEM")?;
        ensure!(!chain.is_empty(), "the certificate file contains no certificate");
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).context("the key file contains no PEM private key")?;
        let provider = CryptoProvider::get_default().context("no crypto provider is installed")?;
        let pair = CertifiedKey::from_der(chain, key, provider)
            .context("the certificate and the key do not belong together")?;
        end(&pair)?;
        Ok(pair)
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pair(…)")
    }
}

/// The expiry of the certificate.
fn end(pair: &CertifiedKey) -> anyhow::Result<DateTime<Utc>> {
    let leaf = pair.cert.first().context("there is no certificate")?;
    let end = not_after(leaf).context("cannot read the expiry of the certificate")?;
    DateTime::from_timestamp(end.as_secs().try_into()?, 0)
        .context("the expiry of the certificate is out of range")
}

/// The field `notAfter` of a certificate (RFC 5280, section 4.1), as time since 1970.
fn not_after(certificate: &[u8]) -> der::Result<Duration> {
    let certificate = AnyRef::from_der(certificate)?;
    let to_be_signed = AnyRef::decode(&mut SliceReader::new(certificate.value())?)?;
    let mut fields = SliceReader::new(to_be_signed.value())?;
    // Version 1 certificates have no version field.
    if fields.peek_tag()?.is_context_specific() {
        AnyRef::decode(&mut fields)?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        AnyRef::decode(&mut fields)?;
    }
    let validity = AnyRef::decode(&mut fields)?;
    let mut times = SliceReader::new(validity.value())?;
    AnyRef::decode(&mut times)?;
    // Years until 2049 have two digits (UTCTime), later ones four (GeneralizedTime).
    match times.peek_tag()? {
        Tag::UtcTime => Ok(UtcTime::decode(&mut times)?.to_unix_duration()),
        _ => Ok(GeneralizedTime::decode(&mut times)?.to_unix_duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(end: Option<(i32, u8, u8)>) -> Pair {
        let mut parameters = rcgen::CertificateParams::new(["photos.example".to_owned()]).unwrap();
        if let Some((year, month, day)) = end {
            parameters.not_after = rcgen::date_time_ymd(year, month, day);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Pair {
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        }
    }

    fn refusal(pair: &Pair) -> String {
        format!("{:#}", pair.load().unwrap_err())
    }

    #[test]
    fn the_expiry_is_read_in_both_formats() {
        hive_router::init_rustls_crypto_provider();
        for (date, text) in [
            ((2049, 12, 31), "2049-12-31T00:00:00+00:00"),
            ((2050, 1, 1), "2050-01-01T00:00:00+00:00"),
        ] {
            let pair = pair(Some(date)).load().unwrap();
            assert_eq!(end(&pair).unwrap().to_rfc3339(), text);
        }
    }

    #[test]
    fn invalid_pairs_are_rejected_with_the_reason() {
        hive_router::init_rustls_crypto_provider();
        let (one, other) = (pair(None), pair(None));
        let mixed = Pair {
            certificate: one.certificate.clone(),
            key: other.key,
        };
        assert!(refusal(&mixed).starts_with("the certificate and the key do not belong together"));
        let swapped = Pair {
            certificate: one.key.clone(),
            key: one.certificate.clone(),
        };
        assert_eq!(refusal(&swapped), "the certificate file contains no certificate");
        let half = Pair {
            key: one.key[..one.key.len() / 2].to_vec(),
            ..one.clone()
        };
        assert!(refusal(&half).starts_with("the key file contains no PEM"));
        assert!(!format!("{one:?}").contains("PRIVATE"));
    }
}
