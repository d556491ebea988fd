//! How records are sealed and opened (RFC 8446 §5.2).

use alloc::boxed::Box;
use core::marker::PhantomData;

use aes_gcm::aead::{AeadInOut, KeyInit, KeySizeUser, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    Nonce as SequenceNonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload,
    Tls13AeadAlgorithm, UnsupportedOperationError, make_tls13_aad,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion};

pub static AES_128_GCM: Sealing<Aes128Gcm> = Sealing(PhantomData);
pub static AES_256_GCM: Sealing<Aes256Gcm> = Sealing(PhantomData);
pub static CHACHA20_POLY1305: Sealing<ChaCha20Poly1305> = Sealing(PhantomData);

/// Bytes behind what is sealed, with all three ciphers.
const TAG_BYTES: usize = 16;

/// What a record is sealed with.
pub struct Sealing<C>(PhantomData<C>);

impl<C: AeadInOut + KeyInit + Send + Sync + 'static> Sealing<C> {
    fn with(key: &AeadKey, iv: Iv) -> Keyed<C> {
        // rustls gives as many bytes as `key_len` says.
        let cipher = C::new_from_slice(key.as_ref()).expect("a key of the length asked for");
        Keyed { cipher, iv }
    }
}

impl<C: AeadInOut + KeyInit + Send + Sync + 'static> Tls13AeadAlgorithm for Sealing<C> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Self::with(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Self::with(&key, iv))
    }

    fn key_len(&self) -> usize {
        <C as KeySizeUser>::key_size()
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

struct Keyed<C> {
    cipher: C,
    iv: Iv,
}

impl<C: AeadInOut> Keyed<C> {
    fn nonce(&self, sequence: u64) -> Nonce<C> {
        let bytes = SequenceNonce::new(&self.iv, sequence).0;
        let mut nonce = Nonce::<C>::default();
        for (to, from) in nonce.iter_mut().zip(bytes) {
            *to = from;
        }
        nonce
    }
}

impl<C: AeadInOut + Send + Sync> MessageEncrypter for Keyed<C> {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let total = self.encrypted_payload_len(message.payload.len());
        let aad = make_tls13_aad(total);
        let mut payload = PrefixedPayload::with_capacity(total);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let nonce = self.nonce(sequence);
        let sealed = payload.as_mut().into();
        let tag = self.cipher.encrypt_inout_detached(&nonce, &aad, sealed);
        payload.extend_from_slice(&tag.map_err(|_| Error::EncryptError)?);
        Ok(OutboundOpaqueMessage::new(
            ContentType::ApplicationData,
            // What the outside of a record says in 1.3, too.
            ProtocolVersion::TLSv1_2,
            payload,
        ))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + 1 + TAG_BYTES
    }
}

impl<C: AeadInOut + Send + Sync> MessageDecrypter for Keyed<C> {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut message.payload;
        let len = payload.len();
        let inside = len.checked_sub(TAG_BYTES).ok_or(Error::DecryptError)?;
        let aad = make_tls13_aad(len);
        let nonce = self.nonce(sequence);
        let (sealed, tag) = payload
            .split_at_mut_checked(inside)
            .ok_or(Error::DecryptError)?;
        let tag = Tag::<C>::try_from(&*tag).map_err(|_| Error::DecryptError)?;
        self.cipher
            .decrypt_inout_detached(&nonce, &aad, sealed.into(), &tag)
            .map_err(|_| Error::DecryptError)?;
        payload.truncate(inside);
        message.into_tls13_unpadded_message()
    }
}
