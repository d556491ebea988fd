//! The way to the server.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use abi::Error;
use proto::Text;
use proto::net::{
    Answer, InterfaceName, MAX_ADDRESSES, MAX_BYTES, MAX_NAME_BYTES, NetError, Notice, Open,
    Request, Row, SERVICE, Setup, Table, from_bytes, to_bytes,
};
use rt::Watched;
use rt::calls;
use rt::duplex::End;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Owned};
use rt::unit::{AskError, Manager};
use spin::Mutex;

use crate::datagrams::{Echo, UdpSocket};
use crate::listener::TcpListener;
use crate::stream::TcpStream;

/// How often a request is sent again when the server died over it.
const TRIES: usize = 4;

/// Addresses of a name.
pub type Addresses = alloc::vec::Vec<IpAddr>;

/// The way to the net server. Tasks of a program share it.
#[derive(Clone, Debug)]
pub struct Network(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    manager: Arc<Manager>,
    endpoint: Mutex<Option<Arc<Endpoint>>>,
}

/// An error of the kernel's as one of the contract's.
pub(crate) fn kernel(error: Error) -> NetError {
    match error {
        Error::PeerClosed => NetError::ServerGone,
        Error::NoMemory | Error::LimitReached => NetError::NoMemory,
        other => NetError::Kernel(other as i64 as i32),
    }
}

impl Network {
    /// By the manager, which knows the server; it is asked when the network is first used.
    #[must_use]
    pub fn new(manager: Arc<Manager>) -> Self {
        Self(Arc::new(Inner {
            manager,
            endpoint: Mutex::new(None),
        }))
    }

    async fn endpoint(&self) -> Result<Arc<Endpoint>, NetError> {
        let known = self.0.endpoint.lock().clone();
        if let Some(endpoint) = known {
            return Ok(endpoint);
        }
        let found = self.0.manager.connect(SERVICE).await;
        let endpoint = Arc::new(found.map_err(|error| {
            log::warn!("no connection to the net server: {error}");
            match error {
                AskError::Call(error) => kernel(error),
                _ => NetError::ServerGone,
            }
        })?);
        *self.0.endpoint.lock() = Some(Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// Sends a request, again to the next server if one died over it.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        handles: &mut Handles,
    ) -> Result<Answer, NetError> {
        let mut buffer = [0; MAX_BYTES];
        let request = to_bytes(request, &mut buffer).ok_or(NetError::Malformed)?;
        let mut answer = [0; MAX_BYTES];
        for _ in 0..TRIES {
            let endpoint = self.endpoint().await?;
            let mut none = Handles::new();
            let asked =
                calls::exchange_handles(&endpoint, request, &mut none, &mut answer, handles).await;
            match asked {
                Ok(len) => {
                    let answer = answer.get(..len).and_then(from_bytes::<Answer>);
                    return match answer {
                        Some(Answer::Refused(error)) => Err(error),
                        Some(answer) => Ok(answer),
                        None => Err(NetError::Malformed),
                    };
                }
                Err(Error::PeerClosed) => {
                    let mut known = self.0.endpoint.lock();
                    if known
                        .as_ref()
                        .is_some_and(|known| Arc::ptr_eq(known, &endpoint))
                    {
                        *known = None;
                    }
                }
                Err(error) => return Err(kernel(error)),
            }
        }
        Err(NetError::ServerGone)
    }

    async fn open(&self, what: Open, ring_bytes: u32) -> Result<(End, u16), NetError> {
        let mut handles = Handles::new();
        let request = Request::Open { what, ring_bytes };
        let Answer::Opened { port } = self.ask(&request, &mut handles).await? else {
            return Err(NetError::Malformed);
        };
        let end = End::from_handles(&mut handles).map_err(kernel)?;
        Ok((end, port))
    }

    /// A connection.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream, NetError> {
        let (end, _) = self.open(Open::Connect(to), 0).await?;
        TcpStream::connected(end, to).await
    }

    /// A connection to a host by name or address: each of its addresses is tried in turn.
    ///
    /// # Errors
    /// That of the first address.
    pub async fn connect_to(&self, host: &str, port: u16) -> Result<TcpStream, NetError> {
        let mut first = None;
        for address in self.resolve(host).await? {
            match self.connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(NetError::NoSuchName))
    }

    /// Takes connections to a port; 0: one that is free.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn listen(&self, port: u16, backlog: u16) -> Result<TcpListener, NetError> {
        TcpListener::new(self.clone(), port, backlog).await
    }

    pub(crate) async fn listening(
        &self,
        port: u16,
        backlog: u16,
    ) -> Result<(Watched<Channel>, u16), NetError> {
        let mut handles = Handles::new();
        let request = Request::Open {
            what: Open::Listen { port, backlog },
            ring_bytes: 0,
        };
        let Answer::Opened { port } = self.ask(&request, &mut handles).await? else {
            return Err(NetError::Malformed);
        };
        Ok((channel(&mut handles)?, port))
    }

    /// Datagrams from and to a port; 0: one that is free.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn bind(&self, port: u16) -> Result<UdpSocket, NetError> {
        let (end, port) = self.open(Open::Bind { port }, 0).await?;
        Ok(UdpSocket::new(end, port))
    }

    /// Echo requests to an address.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn echo(&self, to: IpAddr) -> Result<Echo, NetError> {
        let (end, _) = self.open(Open::Echo(to), 0).await?;
        Ok(Echo::new(end, to))
    }

    /// The addresses of a name; at least one.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn resolve(&self, name: &str) -> Result<Addresses, NetError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(NetError::BadName);
        }
        let mut handles = Handles::new();
        let request = Request::Resolve {
            name: Text::from_start(name),
        };
        self.ask(&request, &mut handles).await?;
        let channel = channel(&mut handles)?;
        let mut bytes = [0; MAX_BYTES];
        let lengths = channel
            .receive(&mut bytes, &mut Handles::new())
            .await
            .map_err(|bad| kernel(bad.error))?;
        let notice = bytes
            .get(..lengths.bytes as usize)
            .and_then(from_bytes::<Notice>);
        match notice {
            Some(Notice::Resolved { addresses }) => {
                let mut all = Addresses::new();
                all.try_reserve_exact(MAX_ADDRESSES)
                    .map_err(|_| NetError::NoMemory)?;
                all.extend(addresses);
                Ok(all)
            }
            Some(Notice::Closed(error)) => Err(error),
            _ => Err(NetError::Malformed),
        }
    }

    /// The row at `index` of a table, or the next one there is, and where to go on.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn row(&self, table: Table, index: u32) -> Result<Option<(Row, u32)>, NetError> {
        let request = Request::Row { table, index };
        match self.ask(&request, &mut Handles::new()).await? {
            Answer::Row { row, next } => Ok(Some((row, next))),
            Answer::NoMore => Ok(None),
            _ => Err(NetError::Malformed),
        }
    }

    /// Sets an interface up.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn set_up(&self, interface: &str, setup: Setup) -> Result<(), NetError> {
        let interface = InterfaceName::from_start(interface);
        let request = Request::SetUp { interface, setup };
        self.ask(&request, &mut Handles::new()).await.map(drop)
    }
}

fn channel(handles: &mut Handles) -> Result<Watched<Channel>, NetError> {
    let channel = handles
        .pop_front()
        .map(Owned::cast::<Channel>)
        .and_then(Result::ok)
        .ok_or(NetError::Malformed)?;
    Watched::channel(channel).map_err(kernel)
}
