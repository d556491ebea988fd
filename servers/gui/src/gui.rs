//! The connection to the compositor.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Error, Signals};
use draw::{Canvas, Rect};
use proto::Text;
use proto::frames::FrameFigures;
use proto::input::KeyChange;
use proto::key::{KeyPress, Modifiers};
use proto::window::{
    DESKTOP_SERVICE, Event, Extent, Late, Look, MAX_EVENT_BYTES, MAX_REQUEST_BYTES, Pointer,
    PointerWhat, Request, SERVICE, Size, Theme, Title, WindowId, from_bytes, to_bytes,
};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint, Object, Owned, Vmo};
use rt::unit::Manager;
use rt::{Either, Env, Watched, first};

use crate::connect::{self, NotConnected};
use crate::window::Window;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// A window has a size, the first or another one: all of it is to be painted.
    Resized(WindowId),
    /// The colours are others: all is to be painted.
    Theme,
    /// A picture is on the screen.
    Shown {
        /// Whose.
        window: WindowId,
        /// When, by the monotonic clock.
        shown_ns: u64,
        /// When the next frame begins.
        next_ns: u64,
        /// From the last input to this, in ns; 0 without one.
        since_input_ns: u64,
        /// Why it was late.
        late: Option<Late>,
    },
    /// A key.
    Key {
        /// Whose.
        window: WindowId,
        /// Its place on the keyboard: Linux's number.
        code: u16,
        /// What became of it.
        change: KeyChange,
        /// What it means.
        press: Option<KeyPress>,
        /// What was held.
        modifiers: Modifiers,
    },
    /// The pointer.
    Pointer {
        /// Whose.
        window: WindowId,
        /// From the left.
        x: i32,
        /// From the top.
        y: i32,
        /// What it did.
        what: PointerWhat,
    },
    /// The focus came or went.
    Focus(WindowId, bool),
    /// The window can be seen, or not.
    Visible(WindowId, bool),
    /// Somebody wants it closed.
    CloseAsked(WindowId),
    /// The clipboard's text.
    Pasted(String),
    /// The compositor would not do something.
    Refused(WindowId, Text<80>),
    /// To the desktop: a window that there is or that changed.
    Listed {
        /// Its number.
        window: WindowId,
        /// Its title.
        title: Title,
        /// Whether it has the focus.
        focused: bool,
        /// Whether it is out of sight.
        minimised: bool,
    },
    /// To the desktop: a window is gone.
    Unlisted(WindowId),
    /// To the desktop: somebody wants its menu.
    MenuAsked,
    /// To the desktop: how frames went.
    Frames(FrameFigures),
    /// To the desktop: there is another compositor, which knows nothing of what was asked of the one before.
    Reconnected,
}

/// A program's windows.
#[derive(Debug)]
pub struct Gui {
    service: &'static str,
    manager: Arc<Manager>,
    channel: Watched<Channel>,
    windows: Vec<Window>,
    next_id: WindowId,
    screen: Size,
    frame_ns: u64,
    theme: Theme,
    /// Requests that the channel had no room for.
    unsent: VecDeque<(Request, Option<Owned>)>,
}

impl Gui {
    /// Connects a program to the compositor.
    ///
    /// # Errors
    /// See [`NotConnected`].
    pub async fn connect(env: &mut Env) -> Result<Self, NotConnected> {
        Self::connect_as(env, SERVICE).await
    }

    /// Connects the desktop.
    ///
    /// # Errors
    /// See [`NotConnected`].
    pub async fn connect_desktop(env: &mut Env) -> Result<Self, NotConnected> {
        Self::connect_as(env, DESKTOP_SERVICE).await
    }

    async fn connect_as(env: &mut Env, service: &'static str) -> Result<Self, NotConnected> {
        let endpoint: Endpoint = env
            .take(service)
            .map_err(|missing| NotConnected::Handle(service, missing))?;
        let manager: Endpoint = env
            .take("manager")
            .map_err(|missing| NotConnected::Handle("manager", missing))?;
        let manager = Arc::new(Manager::new(manager));
        let channel = match connect::channel(&endpoint)? {
            Some(channel) => channel,
            None => find(&manager, service).await?,
        };
        Ok(Self {
            service,
            manager,
            channel,
            windows: Vec::new(),
            next_id: 1,
            screen: Size::default(),
            frame_ns: 0,
            theme: Theme::default(),
            unsent: VecDeque::new(),
        })
    }

    /// The manager.
    #[must_use]
    pub const fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }

    /// The colours.
    #[must_use]
    pub const fn theme(&self) -> Theme {
        self.theme
    }

    /// The screen's size; 0 x 0 before the first event.
    #[must_use]
    pub const fn screen(&self) -> Size {
        self.screen
    }

    /// Time between frames.
    #[must_use]
    pub const fn frame_ns(&self) -> u64 {
        self.frame_ns
    }

    /// Opens a window. [`Happened::Resized`] says when it can be painted.
    pub fn open(&mut self, title: &str, size: Size, look: Look) -> WindowId {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1).max(1);
        let mut window = Window::new(id, Title::from_start(title), size, look);
        let request = window.open_request();
        self.windows.push(window);
        self.ask(request);
        id
    }

    fn window(&mut self, id: WindowId) -> Option<&mut Window> {
        self.windows.iter_mut().find(|window| window.id == id)
    }

    /// Closes a window.
    pub fn close(&mut self, id: WindowId) {
        self.windows.retain(|window| window.id != id);
        self.ask(Request::Close { window: id });
    }

    /// Another title.
    pub fn set_title(&mut self, id: WindowId, title: &str) {
        let title = Title::from_start(title);
        if let Some(window) = self.window(id)
            && window.title != title
        {
            window.title = title.clone();
            self.ask(Request::SetTitle { window: id, title });
        }
    }

    /// More or less of the screen.
    pub fn set_extent(&mut self, id: WindowId, extent: Extent) {
        self.ask(Request::SetExtent { window: id, extent });
    }

    /// How much of the screen it has.
    #[must_use]
    pub fn extent(&self, id: WindowId) -> Extent {
        self.windows
            .iter()
            .find(|window| window.id == id)
            .map_or(Extent::Floating, |window| window.extent)
    }

    /// Its size in pixels.
    #[must_use]
    pub fn size(&self, id: WindowId) -> Size {
        self.windows
            .iter()
            .find(|window| window.id == id)
            .map_or(Size::default(), |window| window.size)
    }

    /// The pointer's picture over it.
    pub fn set_pointer(&mut self, id: WindowId, pointer: Pointer) {
        self.ask(Request::SetPointer {
            window: id,
            pointer,
        });
    }

    /// Puts text into the clipboard; only while a window of this program has the focus.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn copy(&mut self, text: &str) -> Result<(), Error> {
        let vmo = Vmo::create(
            (text.len() as u64)
                .max(1)
                .next_multiple_of(abi::memory::PAGE_BYTES),
        )?;
        vmo.write(0, text.as_bytes())?;
        self.send(
            Request::Copy {
                bytes: text.len() as u32,
            },
            Some(vmo.into_owned()),
        );
        Ok(())
    }

    /// Asks for the clipboard: [`Happened::Pasted`].
    pub fn paste(&mut self) {
        self.ask(Request::Paste);
    }

    /// Its picture, as it was painted last; `None` before its first size.
    pub fn canvas(&mut self, id: WindowId) -> Option<Canvas<'_>> {
        self.window(id)?.canvas()
    }

    /// Shows what was painted.
    pub fn present(&mut self, id: WindowId) {
        let size = self.size(id);
        self.present_part(
            id,
            &Rect::new(0, 0, i32::from(size.width), i32::from(size.height)),
        );
    }

    /// Shows what was painted, of which only this part is new. While a picture waits to be shown, it is shown with the next one.
    pub fn present_part(&mut self, id: WindowId, part: &Rect) {
        if let Some(window) = self.window(id) {
            window.note_changed(part);
        }
        self.flush(id);
    }

    fn flush(&mut self, id: WindowId) {
        let request = self.window(id).and_then(|window| window.present_request(0));
        if let Some(request) = request {
            self.ask(request);
        }
    }

    /// Whether a picture of this window waits to be shown.
    #[must_use]
    pub fn waits(&self, id: WindowId) -> bool {
        self.windows
            .iter()
            .any(|window| window.id == id && window.waits())
    }

    /// Asks for what has no function of its own: the desktop's requests.
    pub fn ask(&mut self, request: Request) {
        self.send(request, None);
    }

    fn send(&mut self, request: Request, handle: Option<Owned>) {
        self.unsent.push_back((request, handle));
        self.send_all();
    }

    /// Sends what there is room for. Whether something is left.
    fn send_all(&mut self) -> bool {
        while let Some((request, handle)) = self.unsent.pop_front() {
            let mut buffer = [0; MAX_REQUEST_BYTES];
            let Some(bytes) = to_bytes(&request, &mut buffer) else {
                continue;
            };
            let mut handles = Handles::new();
            if let Some(handle) = handle {
                // The first of sixteen places.
                let _ = handles.push(handle);
            }
            if self.channel.write(bytes, &mut handles) == Err(Error::QueueFull) {
                self.unsent.push_front((request, handles.pop_front()));
                return true;
            }
        }
        false
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    /// If there is no compositor any more, and no next one.
    pub async fn next(&mut self) -> Result<Happened, NotConnected> {
        loop {
            let mut bytes = [0; MAX_EVENT_BYTES];
            let mut handles = Handles::new();
            let is_behind = self.send_all();
            let room = async {
                match is_behind {
                    true => self.channel.signalled(Signals::WRITABLE).await.map(drop),
                    false => core::future::pending().await,
                }
            };
            let received = match first(self.channel.receive(&mut bytes, &mut handles), room).await {
                Either::A(received) => received,
                Either::B(_) => continue,
            };
            let Ok(lengths) = received else {
                self.reconnect().await?;
                return Ok(Happened::Reconnected);
            };
            let message = bytes.get(..lengths.bytes as usize).unwrap_or_default();
            let Some(event) = from_bytes::<Event>(message) else {
                continue;
            };
            if let Some(happened) = self.take(event, handles.pop_front()) {
                return Ok(happened);
            }
        }
    }

    async fn reconnect(&mut self) -> Result<(), NotConnected> {
        self.channel = find(&self.manager, self.service).await?;
        self.unsent.clear();
        let requests: Vec<Request> = self.windows.iter_mut().map(Window::open_request).collect();
        for request in requests {
            self.ask(request);
        }
        Ok(())
    }

    fn take(&mut self, event: Event, handle: Option<Owned>) -> Option<Happened> {
        Some(match event {
            Event::Screen {
                size,
                frame_ns,
                theme,
            } => {
                let is_other = self.theme != theme && self.frame_ns != 0;
                (self.screen, self.frame_ns, self.theme) = (size, frame_ns, theme);
                if !is_other {
                    return None;
                }
                Happened::Theme
            }
            Event::Configured {
                window,
                configuration,
                size,
                extent,
                keepsake,
            } => {
                let vmo = handle?.cast::<Vmo>().ok()?;
                let found = self.window(window)?;
                match found.configure(&vmo, configuration, size, extent, keepsake) {
                    Ok(true) => Happened::Resized(window),
                    Ok(false) => {
                        self.flush(window);
                        return None;
                    }
                    Err(error) => {
                        log::error!(
                            "a window of {} x {} cannot be painted: {error}",
                            size.width,
                            size.height
                        );
                        return None;
                    }
                }
            }
            Event::Presented {
                window,
                serial,
                shown_ns,
                next_ns,
                since_input_ns,
                late,
            } => {
                self.window(window)?.note_shown(serial);
                self.flush(window);
                Happened::Shown {
                    window,
                    shown_ns,
                    next_ns,
                    since_input_ns,
                    late,
                }
            }
            Event::Key {
                window,
                code,
                change,
                press,
                modifiers,
                ..
            } => Happened::Key {
                window,
                code,
                change,
                press,
                modifiers,
            },
            Event::Pointer {
                window, x, y, what, ..
            } => Happened::Pointer {
                window,
                x: i32::from(x),
                y: i32::from(y),
                what,
            },
            Event::Focus { window, focused } => Happened::Focus(window, focused),
            Event::Visible { window, visible } => Happened::Visible(window, visible),
            Event::CloseAsked { window } => Happened::CloseAsked(window),
            Event::Pasted { bytes } => Happened::Pasted(read_text(handle, bytes)),
            Event::Refused { window, why } => Happened::Refused(window, why),
            Event::Listed {
                window,
                title,
                focused,
                minimised,
            } => Happened::Listed {
                window,
                title,
                focused,
                minimised,
            },
            Event::Unlisted { window } => Happened::Unlisted(window),
            Event::MenuAsked => Happened::MenuAsked,
            Event::Frames(figures) => Happened::Frames(figures),
        })
    }
}

/// The next compositor's channel.
async fn find(manager: &Manager, service: &str) -> Result<Watched<Channel>, NotConnected> {
    loop {
        let endpoint = manager
            .connect(service)
            .await
            .map_err(NotConnected::Manager)?;
        if let Some(channel) = connect::channel(&endpoint)? {
            return Ok(channel);
        }
    }
}

fn read_text(handle: Option<Owned>, bytes: u32) -> String {
    let Some(Ok(vmo)) = handle.map(Owned::cast::<Vmo>) else {
        return String::new();
    };
    let mut text = Vec::new();
    if text.try_reserve_exact(bytes as usize).is_err() {
        return String::new();
    }
    text.resize(bytes as usize, 0);
    match vmo.read(0, &mut text) {
        Ok(_) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => String::new(),
    }
}
