//! How both sides come to a secret: X25519 (RFC 7748) and P-256 (RFC 8446 §4.2.8.2).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::marker::PhantomData;

use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

use crate::Surroundings;

/// Draws until a secret is in P-256's range: one in 2³² is not.
const MOST_DRAWS: u32 = 4;

fn draw<S: Surroundings>() -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    S::random(&mut *bytes).map_err(|_| GetRandomFailed)?;
    Ok(bytes)
}

/// Curve25519.
#[derive(Debug)]
pub struct X25519<S>(pub PhantomData<S>);

impl<S: Surroundings> SupportedKxGroup for X25519<S> {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = draw::<S>()?;
        let public = x25519(*secret, X25519_BASEPOINT_BYTES);
        Ok(Box::new(X25519Begun { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct X25519Begun {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl ActiveKeyExchange for X25519Begun {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = peer
            .try_into()
            .map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = Zeroizing::new(x25519(*self.secret, peer));
        // A point of small order: everybody would know the secret (RFC 8446 §7.4.2).
        if shared.iter().all(|byte| *byte == 0) {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(&shared[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// NIST's curve P-256.
#[derive(Debug)]
pub struct P256<S>(pub PhantomData<S>);

impl<S: Surroundings> SupportedKxGroup for P256<S> {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        for _ in 0..MOST_DRAWS {
            if let Ok(secret) = SecretKey::from_slice(&*draw::<S>()?) {
                let public = secret.public_key().to_sec1_point(false);
                return Ok(Box::new(P256Begun {
                    public: public.as_bytes().to_vec(),
                    secret,
                }));
            }
        }
        Err(GetRandomFailed.into())
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct P256Begun {
    secret: SecretKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for P256Begun {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // 4 says uncompressed, which is all that 1.3 has. The point is checked to be on the curve.
        let peer = Some(peer).filter(|peer| peer.first() == Some(&4));
        let peer = peer
            .and_then(|peer| PublicKey::from_sec1_bytes(peer).ok())
            .ok_or(PeerMisbehaved::InvalidKeyShare)?;
        let shared = self.secret.diffie_hellman(&peer);
        Ok(SharedSecret::from(&shared.raw_secret_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}
