//! Signatures of certificates and handshakes: ECDSA on P-256 and P-384, RSA, Ed25519.

use core::fmt;
use core::marker::PhantomData;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::traits::PublicKeyParts;
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm as Algorithm, alg_id,
};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// RSA keys shorter than this can be broken.
const LEAST_RSA_BITS: u32 = 2048;

/// How a signature is checked: the key as the certificate has it, the message, the signature.
type Check = fn(&[u8], &[u8], &[u8]) -> Option<()>;

/// A kind of key with a kind of signature.
pub struct Kind {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    check: Check,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").finish_non_exhaustive()
    }
}

impl Algorithm for Kind {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        (self.check)(public_key, message, signature).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

fn p256<D: Digest>(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
    key.verify_prehash(&D::digest(message), &signature).ok()
}

fn p384<D: Digest>(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
    key.verify_prehash(&D::digest(message), &signature).ok()
}

fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    key.verify_strict(message, &signature).ok()
}

/// A key of RSA, neither too short to be safe nor (the crate sees to that: 4096 bits) so long that checking it takes for ever.
fn rsa_key(key: &[u8]) -> Option<RsaPublicKey> {
    let key = RsaPublicKey::from_pkcs1_der(key).ok()?;
    (key.n().bits() >= LEAST_RSA_BITS).then_some(key)
}

/// RSA by PKCS #1 v1.5, with a hash.
struct Pkcs1<D>(PhantomData<D>);

/// RSA with PSS, with a hash.
struct Pss<D>(PhantomData<D>);

macro_rules! rsa_with {
    ($($hash:ident),*) => {$(
        impl Pkcs1<$hash> {
            fn check(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
                let key = rsa::pkcs1v15::VerifyingKey::<$hash>::new(rsa_key(key)?);
                let signature = rsa::pkcs1v15::Signature::try_from(signature).ok()?;
                key.verify_prehash(&$hash::digest(message), &signature).ok()
            }
        }
        impl Pss<$hash> {
            fn check(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
                let key = rsa::pss::VerifyingKey::<$hash>::new(rsa_key(key)?);
                let signature = rsa::pss::Signature::try_from(signature).ok()?;
                key.verify_prehash(&$hash::digest(message), &signature).ok()
            }
        }
    )*};
}

rsa_with!(Sha256, Sha384, Sha512);

macro_rules! kinds {
    ($($name:ident: $key:ident, $signature:ident, $check:expr;)*) => {$(
        static $name: &dyn Algorithm = &Kind {
            key: alg_id::$key,
            signature: alg_id::$signature,
            check: $check,
        };
    )*};
}

kinds! {
    P256_SHA256: ECDSA_P256, ECDSA_SHA256, p256::<Sha256>;
    P256_SHA384: ECDSA_P256, ECDSA_SHA384, p256::<Sha384>;
    P256_SHA512: ECDSA_P256, ECDSA_SHA512, p256::<Sha512>;
    P384_SHA256: ECDSA_P384, ECDSA_SHA256, p384::<Sha256>;
    P384_SHA384: ECDSA_P384, ECDSA_SHA384, p384::<Sha384>;
    P384_SHA512: ECDSA_P384, ECDSA_SHA512, p384::<Sha512>;
    ED25519: ED25519, ED25519, ed25519;
    PKCS1_SHA256: RSA_ENCRYPTION, RSA_PKCS1_SHA256, Pkcs1::<Sha256>::check;
    PKCS1_SHA384: RSA_ENCRYPTION, RSA_PKCS1_SHA384, Pkcs1::<Sha384>::check;
    PKCS1_SHA512: RSA_ENCRYPTION, RSA_PKCS1_SHA512, Pkcs1::<Sha512>::check;
    PSS_SHA256: RSA_ENCRYPTION, RSA_PSS_SHA256, Pss::<Sha256>::check;
    PSS_SHA384: RSA_ENCRYPTION, RSA_PSS_SHA384, Pss::<Sha384>::check;
    PSS_SHA512: RSA_ENCRYPTION, RSA_PSS_SHA512, Pss::<Sha512>::check;
}

/// All of them, and which ones a handshake may be signed with.
pub const ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        P256_SHA256,
        P256_SHA384,
        P256_SHA512,
        P384_SHA256,
        P384_SHA384,
        P384_SHA512,
        ED25519,
        PSS_SHA256,
        PSS_SHA384,
        PSS_SHA512,
        PKCS1_SHA256,
        PKCS1_SHA384,
        PKCS1_SHA512,
    ],
    mapping: &[
        // In 1.3 a scheme is for one curve.
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[P256_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[P384_SHA384]),
        (SignatureScheme::ED25519, &[ED25519]),
        (SignatureScheme::RSA_PSS_SHA256, &[PSS_SHA256]),
        (SignatureScheme::RSA_PSS_SHA384, &[PSS_SHA384]),
        (SignatureScheme::RSA_PSS_SHA512, &[PSS_SHA512]),
        // In certificates only.
        (SignatureScheme::RSA_PKCS1_SHA256, &[PKCS1_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[PKCS1_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[PKCS1_SHA512]),
    ],
};
