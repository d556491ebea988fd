//! A connection to the compositor, without any manners of its own.

use core::time::Duration;

use abi::FOREVER;
use proto::Text;
use proto::window::{
    CONNECT, Event, Keepsake, Look, MAX_EVENT_BYTES, MAX_REQUEST_BYTES, Request, Size, Title,
    WindowId, from_bytes, to_bytes,
};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Owned, Vmo};
use rt::{Either, Watched, first, sleep};

/// For an answer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What went wrong, if something did.
pub type Verdict = Result<(), &'static str>;

/// A connection to the compositor.
pub struct Connection(Watched<Channel>);

impl Connection {
    /// A new one.
    pub fn new(endpoint: &Endpoint) -> Result<Self, &'static str> {
        let (mut send, mut receive) = (Handles::new(), Handles::new());
        endpoint
            .call_long_blocking(FOREVER, &[CONNECT], &mut send, &mut [0; 16], &mut receive)
            .map_err(|_| "the compositor does not answer")?;
        let channel = receive.pop_front().map(Owned::cast::<Channel>);
        let Some(Ok(channel)) = channel else {
            return Err("no channel came");
        };
        Watched::channel(channel)
            .map(Self)
            .map_err(|_| "no room to watch the channel")
    }

    /// Sends a request, waiting for room.
    pub async fn ask(&self, request: &Request) -> Verdict {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let bytes = to_bytes(request, &mut buffer).ok_or("the request is too long")?;
        match first(self.0.send(bytes, &mut Handles::new()), sleep(PATIENCE)).await {
            Either::A(sent) => sent.map_err(|_| "the connection is cut"),
            Either::B(()) => Err("the compositor does not read"),
        }
    }

    /// The next event, and what came along; `None` if the connection is cut.
    pub async fn event(&self) -> Result<Option<(Event, Option<Owned>)>, &'static str> {
        let mut bytes = [0; MAX_EVENT_BYTES];
        let mut handles = Handles::new();
        match first(self.0.receive(&mut bytes, &mut handles), sleep(PATIENCE)).await {
            Either::A(Ok(lengths)) => {
                let event = from_bytes(bytes.get(..lengths.bytes as usize).unwrap_or_default());
                Ok(Some((
                    event.ok_or("what came is no event")?,
                    handles.pop_front(),
                )))
            }
            Either::A(Err(_)) => Ok(None),
            Either::B(()) => Err("nothing came"),
        }
    }

    /// Waits for an event of which `find` makes something.
    pub async fn until<T>(
        &self,
        mut find: impl FnMut(Event, Option<Owned>) -> Option<T>,
    ) -> Result<T, &'static str> {
        loop {
            match self.event().await? {
                Some((event, handle)) => {
                    if let Some(found) = find(event, handle) {
                        return Ok(found);
                    }
                }
                None => return Err("the connection is cut"),
            }
        }
    }

    /// Waits for a refusal: why.
    pub async fn refused(&self) -> Result<Text<80>, &'static str> {
        self.until(|event, _| match event {
            Event::Refused { why, .. } => Some(why),
            _ => None,
        })
        .await
    }

    /// Sends bytes, whatever they are.
    pub async fn send(&self, bytes: &[u8]) -> Verdict {
        let sent = self.0.send(bytes, &mut Handles::new()).await;
        sent.map_err(|_| "it cannot be sent")
    }

    /// Waits until the connection is cut.
    pub async fn cut(&self) -> Verdict {
        while self.event().await?.is_some() {}
        Ok(())
    }

    /// Opens a window and waits for its pictures.
    pub async fn open(
        &self,
        window: WindowId,
        size: Size,
        look: Look,
    ) -> Result<(u32, Size, Vmo), &'static str> {
        self.ask(&open(window, size, look)).await?;
        self.until(|event, handle| match event {
            Event::Configured {
                window: other,
                configuration,
                size,
                ..
            } if other == window => Some(
                handle?
                    .cast::<Vmo>()
                    .ok()
                    .map(|vmo| (configuration, size, vmo)),
            ),
            _ => None,
        })
        .await?
        .ok_or("no pictures came")
    }

    /// Says that a picture is to be shown, all of it.
    pub async fn present(
        &self,
        window: WindowId,
        configuration: u32,
        buffer: u8,
        size: Size,
    ) -> Verdict {
        let request = Request::Present {
            window,
            serial: 1,
            configuration,
            buffer,
            damage: size.whole(),
            target_ns: 0,
        };
        self.ask(&request).await
    }

    /// Waits until a picture is on the screen.
    pub async fn shown(&self) -> Verdict {
        self.until(|event, _| matches!(event, Event::Presented { .. }).then_some(()))
            .await
    }
}

/// The request for a window.
pub fn open(window: WindowId, size: Size, look: Look) -> Request {
    Request::Open {
        window,
        title: Title::from_start("bad"),
        size,
        look,
        keepsake: Keepsake::default(),
    }
}
