//! https: a certificate and its key, from two files that are looked at again while the router serves.
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

/// How often the files are looked at. They are small, and links and secrets that are exchanged have no reliable date.
const EVERY: Duration = Duration::from_secs(1);

/// The certificate that new connections are shown.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Files,
    /// The pair in the files when the router started.
    first: Pair,
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

/// The pair, or why there is none, in words.
type Look = Result<Pair, String>;

impl Certificate {
    /// Reads the pair, if there is to be one.
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
            "with --tls-certificate the router speaks https, so --public-url must begin with https: and not be {}",
            config.public_url
        );
        let files = Files {
            certificate: certificate.as_path().into(),
            key: key.as_path().into(),
        };
        let first = files.read()?;
        let current = RwLock::new(Arc::new(first.load()?));
        Ok(Some(Arc::new(Self {
            files,
            first,
            current,
        })))
    }

    /// TLS 1.2 and 1.3, with this certificate.
    pub(crate) fn server_config(self: &Arc<Self>) -> ServerConfig {
        ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(self.clone())
    }

    /// Looks at the files for ever. A change counts once it was seen twice, because two files are not written at the
    /// same moment.
    pub(crate) async fn watch(self: Arc<Self>) {
        self.announce("https");
        let mut settled: Look = Ok(self.first.clone());
        let mut before = settled.clone();
        loop {
            tokio::time::sleep(EVERY).await;
            let look = self.files.read().map_err(|error| format!("{error:#}"));
            if look == before && look != settled {
                self.take(&look);
                settled.clone_from(&look);
            }
            before = look;
        }
    }

    fn take(&self, look: &Look) {
        let loaded = look
            .as_ref()
            .map_err(|reason| anyhow!("{reason}"))
            .and_then(Pair::load);
        match loaded {
            Ok(key) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                self.announce("the certificate was renewed");
            }
            Err(reason) => tracing::warn!(
                reason = format!("{reason:#}"),
                "the new certificate is not used; the one before stays"
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
                "{what}; it is no longer valid, and browsers will refuse it"
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
    /// The pair as it is used, if it is one.
    fn load(&self) -> anyhow::Result<CertifiedKey> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .context("the certificate is not PEM")?;
        ensure!(!chain.is_empty(), "there is no certificate in its file");
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).context("there is no private key as PEM in its file")?;
        let provider = CryptoProvider::get_default().context("no cryptography was chosen")?;
        let pair = CertifiedKey::from_der(chain, key, provider)
            .context("the certificate and the key are no pair that can be used")?;
        end(&pair)?;
        Ok(pair)
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pair(…)")
    }
}

/// When the certificate ends.
fn end(pair: &CertifiedKey) -> anyhow::Result<DateTime<Utc>> {
    let leaf = pair.cert.first().context("there is no certificate")?;
    let end = not_after(leaf).context("the certificate has no end that can be read")?;
    DateTime::from_timestamp(end.as_secs().try_into()?, 0).context("the certificate ends too late")
}

/// The end of a certificate's validity, since 1970: its field `notAfter` (RFC 5280, section 4.1).
fn not_after(certificate: &[u8]) -> der::Result<Duration> {
    let certificate = AnyRef::from_der(certificate)?;
    let to_be_signed = AnyRef::decode(&mut SliceReader::new(certificate.value())?)?;
    let mut fields = SliceReader::new(to_be_signed.value())?;
    // The version is left out in certificates of version 1.
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
    // Two digits of the year until 2049, four from then on.
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
    fn the_end_is_read_in_both_forms() {
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
    fn what_cannot_be_used_is_refused_with_the_reason() {
        hive_router::init_rustls_crypto_provider();
        let (one, other) = (pair(None), pair(None));
        let mixed = Pair {
            certificate: one.certificate.clone(),
            key: other.key,
        };
        assert!(refusal(&mixed).starts_with("the certificate and the key are no pair"));
        let swapped = Pair {
            certificate: one.key.clone(),
            key: one.certificate.clone(),
        };
        assert_eq!(refusal(&swapped), "there is no certificate in its file");
        let half = Pair {
            key: one.key[..one.key.len() / 2].to_vec(),
            ..one.clone()
        };
        assert!(refusal(&half).starts_with("there is no private key"));
        assert!(!format!("{one:?}").contains("PRIVATE"));
    }
}
