//! Whose certificates are believed.

use alloc::sync::Arc;
use core::fmt;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::TlsError;

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Trust(Option<RootCertStore>);

/// Why a text holds no certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPem {
    /// There is no `BEGIN CERTIFICATE` in it.
    None,
    /// The one with this number, from 1 on, is damaged.
    Damaged(usize),
}

impl fmt::Display for BadPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => {
                f.write_str("there is no certificate in it (-----BEGIN CERTIFICATE-----)")
            }
            Self::Damaged(number) => write!(f, "certificate {number} in it is damaged"),
        }
    }
}

impl core::error::Error for BadPem {}

impl Trust {
    /// The roots that browsers trust, as Mozilla had them when the crate `webpki-roots` was made.
    #[must_use]
    pub fn public_roots() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        Self(Some(roots.collect()))
    }

    /// Only those whose certificates are in a text in the form PEM (RFC 7468).
    ///
    /// # Errors
    /// [`BadPem`].
    pub fn pem(text: &[u8]) -> Result<Self, BadPem> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(text).enumerate() {
            let damaged = BadPem::Damaged(index + 1);
            let certificate = certificate.map_err(|_| damaged)?;
            roots.add(certificate).map_err(|_| damaged)?;
        }
        if roots.is_empty() {
            return Err(BadPem::None);
        }
        Ok(Self(Some(roots)))
    }

    /// Anybody: what is sent cannot be read on its way, but nobody knows who reads it at the end.
    #[must_use]
    pub const fn anybody() -> Self {
        Self(None)
    }

    pub(crate) fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let Some(roots) = &self.0 else {
            return Ok(Arc::new(Anybody(provider)));
        };
        let roots = Arc::new(roots.clone());
        let built = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let verifier = built.map_err(|error| Error::General(alloc::format!("{error}")))?;
        Ok(verifier)
    }
}

/// Believes every certificate; that its key signed the handshake is still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> alloc::vec::Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
