//! SHA-2 and HMAC.

use alloc::boxed::Box;
use core::marker::PhantomData;

use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::hmac::{Hmac as HmacOf, Key, Tag};
use sha2::{Digest, Sha256, Sha384};

pub static SHA256: Sha2<Sha256> = Sha2(HashAlgorithm::SHA256, PhantomData);
pub static SHA384: Sha2<Sha384> = Sha2(HashAlgorithm::SHA384, PhantomData);
pub static HMAC_SHA256: Keyed<Hmac<Sha256>> = Keyed(32, PhantomData);
pub static HMAC_SHA384: Keyed<Hmac<Sha384>> = Keyed(48, PhantomData);

/// A hash.
pub struct Sha2<D>(HashAlgorithm, PhantomData<D>);

impl<D: Digest + Clone + Send + Sync + 'static> Hash for Sha2<D> {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Running(D::new()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        Output::new(&D::digest(data))
    }

    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0
    }
}

struct Running<D>(D);

impl<D: Digest + Clone + Send + Sync + 'static> Context for Running<D> {
    fn fork_finish(&self) -> Output {
        Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> Output {
        Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

/// A hash with a key: how long it is.
pub struct Keyed<M>(usize, PhantomData<M>);

impl<M: Mac + KeyInit + Clone + Send + Sync + 'static> HmacOf for Keyed<M> {
    fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
        // HMAC takes keys of any length (RFC 2104 §2).
        let mac = <M as KeyInit>::new_from_slice(key).expect("any length is good");
        Box::new(WithKey(mac, self.0))
    }

    fn hash_output_len(&self) -> usize {
        self.0
    }
}

struct WithKey<M>(M, usize);

impl<M: Mac + Clone + Send + Sync> Key for WithKey<M> {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        for part in middle {
            mac.update(part);
        }
        mac.update(last);
        Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        self.1
    }
}
