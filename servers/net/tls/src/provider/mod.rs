//! What rustls calculates with: RustCrypto's ciphers, behind rustls's traits.
//!
//! [`hash`]: SHA-2 and HMAC. [`aead`]: how records are sealed. [`exchange`]: how both sides come to a secret. [`verify`]: signatures.

mod aead;
mod exchange;
mod hash;
mod verify;

use alloc::sync::Arc;
use alloc::vec;
use core::marker::PhantomData;

use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{
    CipherSuiteCommon, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{CipherSuite, Error, SupportedCipherSuite, Tls13CipherSuite};

use crate::Surroundings;

/// Records that one key may seal: far below what RFC 8446 §5.5 allows AES-GCM.
const MOST_RECORDS: u64 = 1 << 23;

static AES_128: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: &hash::SHA256,
        confidentiality_limit: MOST_RECORDS,
    },
    hkdf_provider: &HkdfUsingHmac(&hash::HMAC_SHA256),
    aead_alg: &aead::AES_128_GCM,
    quic: None,
};

static AES_256: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_256_GCM_SHA384,
        hash_provider: &hash::SHA384,
        confidentiality_limit: MOST_RECORDS,
    },
    hkdf_provider: &HkdfUsingHmac(&hash::HMAC_SHA384),
    aead_alg: &aead::AES_256_GCM,
    quic: None,
};

static CHACHA20: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        hash_provider: &hash::SHA256,
        confidentiality_limit: u64::MAX,
    },
    hkdf_provider: &HkdfUsingHmac(&hash::HMAC_SHA256),
    aead_alg: &aead::CHACHA20_POLY1305,
    quic: None,
};

/// Random bytes of the surroundings.
#[derive(Debug)]
struct Random<S>(PhantomData<S>);

impl<S: Surroundings> SecureRandom for Random<S> {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        S::random(buffer).map_err(|_| GetRandomFailed)
    }
}

/// A client has no key of its own.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("keys of a client are not supported".into()))
    }
}

/// All of it; what is dearer to check comes later.
pub fn provider<S: Surroundings>() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            SupportedCipherSuite::Tls13(&AES_128),
            SupportedCipherSuite::Tls13(&AES_256),
            SupportedCipherSuite::Tls13(&CHACHA20),
        ],
        kx_groups: vec![
            const { &exchange::X25519::<S>(PhantomData) },
            const { &exchange::P256::<S>(PhantomData) },
        ],
        signature_verification_algorithms: verify::ALGORITHMS,
        secure_random: const { &Random::<S>(PhantomData) },
        key_provider: &NoKeys,
    }
}
