//! What all connections of a program share: whom it trusts.

use alloc::borrow::ToOwned;
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use embedded_io_async::{Read, Write};
use rt::sys::{clock, device};
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;

use crate::provider::provider;
use crate::{TlsError, TlsStream, Trust};

/// There is no source of random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

/// What TLS needs of the system it runs on.
pub trait Surroundings: fmt::Debug + Send + Sync + 'static {
    /// Fills bytes that nobody can guess.
    ///
    /// # Errors
    /// [`NoRandomness`].
    fn random(bytes: &mut [u8]) -> Result<(), NoRandomness>;

    /// The time of day: since 1970-01-01 UTC; `None` if nobody knows.
    fn now() -> Option<Duration>;
}

/// What the system has for programs.
#[derive(Debug)]
pub struct Native;

impl Surroundings for Native {
    fn random(bytes: &mut [u8]) -> Result<(), NoRandomness> {
        device::random(bytes).map_err(|_| NoRandomness)
    }

    fn now() -> Option<Duration> {
        let at_zero_ns = clock::page().utc_at_zero_ns;
        let now_ns = at_zero_ns.checked_add(clock::now_ns())?;
        (at_zero_ns > 0).then(|| Duration::from_nanos(now_ns))
    }
}

#[derive(Debug)]
struct Clock<S>(PhantomData<S>);

impl<S: Surroundings> TimeProvider for Clock<S> {
    fn current_time(&self) -> Option<UnixTime> {
        S::now().map(UnixTime::since_unix_epoch)
    }
}

/// A client: whom it trusts. Cheap to clone.
pub struct Client<S> {
    config: Arc<ClientConfig>,
    surroundings: PhantomData<S>,
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            surroundings: PhantomData,
        }
    }
}

impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl<S: Surroundings> Client<S> {
    /// One that trusts so.
    ///
    /// # Errors
    /// None today; rustls may refuse what it is set up with.
    pub fn new(trust: &Trust) -> Result<Self, TlsError> {
        let provider = Arc::new(provider::<S>());
        let builder = ClientConfig::builder_with_details(
            Arc::clone(&provider),
            Arc::new(Clock::<S>(PhantomData)),
        );
        let builder = builder.with_protocol_versions(&[&TLS13])?;
        let verifier = trust.verifier(provider)?;
        let config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
            surroundings: PhantomData,
        })
    }

    /// Speaks TLS over `transport`, with nobody but `host`: a name, or an address without brackets.
    ///
    /// # Errors
    /// [`TlsError`]: among others that it is not `host` that answers.
    pub async fn connect<T: Read + Write>(
        &self,
        transport: T,
        host: &str,
    ) -> Result<TlsStream<T>, TlsError> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), name)?;
        TlsStream::connect(connection, transport).await
    }
}
