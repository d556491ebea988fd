//! Answers calls of [`proto::net`].

use alloc::sync::Arc;
use core::future::poll_fn;

use abi::{Error, Signals};
use proto::net::{
    Answer, DEFAULT_RING_BYTES, MAX_BYTES, NetError, Notice, Open, Protocol, Request, Right,
    from_bytes, to_bytes,
};
use rt::sys::endpoint::{Body, Incoming};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Object};
use rt::{Crowd, Either, Watched, duplex, first};

use crate::ports::{Held, Listening, kernel};
use crate::rights::Book;
use crate::saved::{Port, Saved};
use crate::shared::{Shared, now};
use crate::sockets::{self, Kind};

/// What calls are answered with.
pub struct Service {
    /// The stack.
    pub shared: Arc<Shared>,
    /// Where sockets live.
    pub crowd: Arc<Crowd>,
    /// Who may do what.
    pub book: Book,
    /// What outlives this instance.
    pub saved: Arc<Saved>,
    /// Ports that wait for their programs.
    pub held: Arc<Held>,
}

impl Service {
    /// Answers for as long as the endpoint lives.
    ///
    /// # Errors
    /// What ended it: [`Error::Revoked`].
    pub async fn serve(&self, endpoint: &Watched<Endpoint>) -> Result<(), Error> {
        loop {
            let call = endpoint.receive().await?;
            self.answer(call).await;
        }
    }

    async fn answer(&self, call: Incoming) {
        let Body::Long(_) = call.body else {
            // Dropped, the call is answered with that.
            return;
        };
        let mut bytes = [0; MAX_BYTES];
        let Ok(lengths) = call.token.read(&mut bytes, &mut Handles::new()) else {
            return;
        };
        let request = bytes
            .get(..lengths.bytes as usize)
            .and_then(from_bytes::<Request>);
        let mut handles = Handles::new();
        let answer = match request {
            Some(request) => self
                .request(call.badge, request, &mut handles)
                .await
                .unwrap_or_else(Answer::Refused),
            None => Answer::Refused(NetError::Malformed),
        };
        if let Some(bytes) = to_bytes(&answer, &mut bytes) {
            // The caller may be gone; the socket that was for it is closed then.
            let _ = call.token.reply_long(bytes, &mut handles);
        }
    }

    async fn request(
        &self,
        badge: u32,
        request: Request,
        handles: &mut Handles,
    ) -> Result<Answer, NetError> {
        match request {
            Request::Open {
                what: Open::Listen { port, backlog },
                ring_bytes,
            } => self.listen(badge, port, backlog, ring_bytes, handles).await,
            Request::Open { what, ring_bytes } => self.open(badge, what, ring_bytes, handles).await,
            Request::Resolve { name } => self.resolve(&name, handles),
            Request::Row { table, index } => {
                let row = self.shared.lock().row(table, index, now());
                Ok(match row {
                    Some((row, next)) => Answer::Row { row, next },
                    None => Answer::NoMore,
                })
            }
            Request::SetUp { interface, setup } => {
                self.book.check(badge, Right::Configure).await?;
                let mut stack = self.shared.lock();
                stack.set_up(&interface, setup)?;
                for number in 0..stack.interfaces() {
                    self.shared.kick(number);
                }
                drop(stack);
                self.saved.set_up(&interface, setup);
                Ok(Answer::Done)
            }
        }
    }

    async fn open(
        &self,
        badge: u32,
        what: Open,
        ring_bytes: u32,
        handles: &mut Handles,
    ) -> Result<Answer, NetError> {
        let right = match what {
            Open::Bind { port: port @ 1.. } => Right::Listen(Protocol::Udp, Some(port)),
            _ => Right::Connect,
        };
        self.book.check(badge, right).await?;
        let mut stack = self.shared.lock();
        let (key, port, turn, kind) = match what {
            Open::Connect(to) => {
                let (key, port, number) = stack.connect(badge, to, ring_bytes)?;
                (key, port, Some(number), Kind::Tcp)
            }
            Open::Bind { port } => {
                let (key, port) = stack.bind(badge, port, ring_bytes)?;
                (key, port, None, Kind::Udp)
            }
            Open::Echo(to) => (stack.echo(badge, to, ring_bytes)?, 0, None, Kind::Echo),
            Open::Listen { .. } => return Err(NetError::Malformed),
        };
        let ring_bytes = if ring_bytes == 0 {
            DEFAULT_RING_BYTES
        } else {
            ring_bytes
        };
        let end = match duplex::create(ring_bytes, handles) {
            Ok(end) => end,
            Err(error) => {
                stack.close(key);
                return Err(kernel(error));
            }
        };
        // What asks for a connection goes out at once.
        self.shared.push(&mut stack, turn);
        drop(stack);
        let socket = sockets::serve(Arc::clone(&self.shared), key, kind, end, false);
        if self.crowd.join(socket).is_err() {
            return Err(NetError::NoMemory);
        }
        Ok(Answer::Opened { port })
    }

    async fn listen(
        &self,
        badge: u32,
        port: u16,
        backlog: u16,
        ring_bytes: u32,
        handles: &mut Handles,
    ) -> Result<Answer, NetError> {
        let wanted = (port > 0).then_some(port);
        self.book
            .check(badge, Right::Listen(Protocol::Tcp, wanted))
            .await?;
        let ring_bytes = if ring_bytes == 0 {
            DEFAULT_RING_BYTES
        } else {
            ring_bytes
        };
        let (ours, theirs) = Channel::create().map_err(kernel)?;
        let ours = Watched::channel(ours).map_err(kernel)?;
        let mut stack = self.shared.lock();
        let (key, port) = match self.held.take(port) {
            Some(key) if stack.adopt(key, badge) => (key, port),
            _ => stack.listen(badge, port, backlog, ring_bytes)?,
        };
        drop(stack);
        let listening = Listening::begin(
            Arc::clone(&self.shared),
            Arc::clone(&self.saved),
            key,
            Port {
                owner: badge,
                port,
                backlog,
                ring_bytes,
            },
        );
        let crowd = Arc::clone(&self.crowd);
        if self.crowd.join(listening.serve(ours, crowd)).is_err() {
            return Err(NetError::NoMemory);
        }
        handles
            .push(theirs.into_owned())
            .map_err(|_| NetError::NoMemory)?;
        Ok(Answer::Opened { port })
    }

    fn resolve(&self, name: &str, handles: &mut Handles) -> Result<Answer, NetError> {
        let (ours, theirs) = Channel::create().map_err(kernel)?;
        let ours = Watched::channel(ours).map_err(kernel)?;
        let key = self.shared.lock().resolve(name, now())?;
        let shared = Arc::clone(&self.shared);
        let task = async move {
            let found = poll_fn(|context| {
                let mut stack = shared.lock();
                stack.resolved(key, context.waker())
            });
            let ended = ours.signalled(Signals::PEER_CLOSED);
            let found = first(ended, found).await;
            shared.lock().forget_query(key);
            let Either::B(result) = found else {
                return;
            };
            let notice = match result {
                Ok(addresses) => Notice::Resolved { addresses },
                Err(error) => Notice::Closed(error),
            };
            let mut buffer = [0; MAX_BYTES];
            if let Some(bytes) = to_bytes(&notice, &mut buffer) {
                // Whoever asked may be gone.
                let _ = ours.write(bytes, &mut Handles::new());
            }
        };
        if self.crowd.join(task).is_err() {
            self.shared.lock().forget_query(key);
            return Err(NetError::NoMemory);
        }
        // Any interface's turn asks the servers.
        self.shared.kick(0);
        handles
            .push(theirs.into_owned())
            .map_err(|_| NetError::NoMemory)?;
        Ok(Answer::Opened { port: 0 })
    }
}
