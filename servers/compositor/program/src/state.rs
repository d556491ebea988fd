//! What the tasks share.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use abi::{Error, Signals};
use compositor::frame::FrameLog;
use compositor::{ClientId, Desk, Effect, FrameClock, keep};
use draw::Rect;
use executor::sync::Notify;
use proto::Text;
use proto::window::{Event, MAX_EVENT_BYTES, MOST_UNREAD, PointerWhat, Rate, Size, to_bytes};
use rt::Watched;
use rt::sys::clock;
use rt::sys::device::random;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Object, Owned, Vmo};
use spin::{Mutex, MutexGuard};

use crate::pictures::Store;
use crate::screen::Output;

/// When frames begin, until somebody wants it otherwise.
const RATE: Rate = Rate::Fixed(60);

/// The shared state, and who waits for it to change.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    /// A frame may be wanted.
    pub frame: Notify,
    /// The input server is to be told something.
    pub settings: Notify,
    /// The overlay is shown.
    pub overlay: Notify,
    /// The pointer moved, or looks different.
    pub pointer: Notify,
}

/// What is behind the lock.
#[derive(Debug)]
pub struct State {
    /// The windows.
    pub desk: Desk,
    /// Their pictures.
    pub pictures: Store,
    /// When frames begin.
    pub clock: FrameClock,
    /// The screen's outputs.
    pub outputs: Vec<Output>,
    /// How often they were arranged.
    pub arranged: u64,
    /// They are not what they were.
    pub outputs_changed: bool,
    /// How frames were.
    pub log: FrameLog,
    /// The number of the next record of windows.
    pub record: u64,
    /// A keyboard layout that the input server does not know of yet.
    pub keymap: Option<Text<12>>,
    /// UTF-8 at the start of a vmo, and how much.
    pub clipboard: Option<(Vmo, u32)>,
    lines: BTreeMap<ClientId, Line>,
}

/// A program's channel, and what it has no room for.
#[derive(Debug)]
struct Line {
    channel: Arc<Watched<Channel>>,
    backlog: VecDeque<(Vec<u8>, Option<Owned>)>,
    /// Tells the program's task that there is a backlog, or that it is over.
    changed: Arc<Notify>,
}

fn keepsake() -> u128 {
    let mut bytes = [0; 16];
    // Without random numbers keepsakes can be guessed; then a program could take another one's place on the screen, nothing more.
    if random(&mut bytes).is_err() {
        return u128::from(clock::now_ticks());
    }
    u128::from_le_bytes(bytes)
}

/// What the compositor before left in `windows`.
fn read_kept(windows: &Vmo) -> Result<(u64, Vec<keep::Kept>), Error> {
    let mut bytes = vec![0; keep::STATE_BYTES];
    windows.read(0, &mut bytes)?;
    Ok(keep::read(&bytes))
}

impl Shared {
    /// A desk on these outputs.
    ///
    /// # Errors
    /// If `windows` cannot be read.
    pub fn new(outputs: &[Output], windows: &Vmo) -> Result<Self, Error> {
        let (record, kept) = read_kept(windows)?;
        let frames = FrameClock::new(clock::now_ns(), RATE);
        let mut desk = Desk::new(Size::default(), frames.frame_ns(), kept, keepsake);
        let places: Vec<Rect> = outputs.iter().map(|output| output.place).collect();
        desk.set_outputs(&places);
        desk.set_ticks_per_ms(clock::page().tsc_hz / 1000);
        Ok(Self {
            state: Mutex::new(State {
                desk,
                pictures: Store::default(),
                clock: frames,
                outputs: Vec::new(),
                arranged: 0,
                outputs_changed: false,
                log: FrameLog::new(),
                record,
                keymap: None,
                clipboard: None,
                lines: BTreeMap::new(),
            }),
            frame: Notify::new(),
            settings: Notify::new(),
            overlay: Notify::new(),
            pointer: Notify::new(),
        })
    }

    /// The state. Never held while waiting: all tasks are this thread's.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Changes something, does what follows from it, and has a frame made if one is wanted.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        state.desk.set_now(clock::now_ticks());
        let result = change(&mut state);
        let settings = state.carry_out();
        let wants_frame =
            state.desk.wants_frame() || state.pictures.has_dropped() || state.outputs_changed;
        let pointer = state.desk.take_pointer_changed();
        let has_overlay = state.desk.has_overlay();
        drop(state);
        if has_overlay {
            self.overlay.notify_one();
        }
        if pointer {
            self.pointer.notify_one();
        }
        if wants_frame {
            self.frame.notify_one();
        }
        if settings {
            self.settings.notify_one();
        }
        result
    }
}

impl State {
    /// Adds a program. Its number, and what tells its task of a backlog.
    pub fn connect(
        &mut self,
        channel: Arc<Watched<Channel>>,
        is_desktop: bool,
    ) -> (ClientId, Arc<Notify>) {
        let client = self.desk.connect(is_desktop);
        let changed = Arc::new(Notify::new());
        let line = Line {
            channel,
            backlog: VecDeque::new(),
            changed: Arc::clone(&changed),
        };
        self.lines.insert(client, line);
        (client, changed)
    }

    /// A program is gone.
    pub fn disconnect(&mut self, client: ClientId) {
        self.desk.disconnect(client);
        if let Some(line) = self.lines.remove(&client) {
            line.changed.notify_one();
        }
    }

    /// Whether it is still there.
    pub fn is_connected(&self, client: ClientId) -> bool {
        self.lines.contains_key(&client)
    }

    /// Does what the desk wants done. Whether the input server is to be told something.
    fn carry_out(&mut self) -> bool {
        let mut settings = false;
        loop {
            let effects = self.desk.take_effects();
            if effects.is_empty() {
                return settings;
            }
            for effect in effects {
                match effect {
                    Effect::Send { client, event } => self.send(client, &event, None),
                    Effect::MakePictures {
                        client,
                        pictures,
                        size,
                        whole,
                        event,
                    } => match self.pictures.make(pictures, size, whole) {
                        Ok(vmo) => self.send(client, &event, Some(vmo.into_owned())),
                        Err(error) => {
                            log::warn!("pictures of {} x {}: {error}", size.width, size.height);
                            self.desk.no_memory(pictures);
                        }
                    },
                    Effect::DropPictures(pictures) => self.pictures.drop_pictures(pictures),
                    Effect::SetKeymap(word) => {
                        self.keymap = Some(word);
                        settings = true;
                    }
                    Effect::Measure { client, anew } => {
                        self.send(client, &Event::Frames(self.log.figures()), None);
                        if anew {
                            self.log.measure_anew();
                        }
                    }
                    Effect::SetRate(rate) => self.clock = FrameClock::new(clock::now_ns(), rate),
                }
            }
        }
    }

    /// Sends an event, now or when there is room. A program that has too much unread is cut off.
    pub fn send(&mut self, client: ClientId, event: &Event, handle: Option<Owned>) {
        let Some(line) = self.lines.get_mut(&client) else {
            return;
        };
        let mut buffer = [0; MAX_EVENT_BYTES];
        let Some(bytes) = to_bytes(event, &mut buffer) else {
            return;
        };
        let handle = match line.backlog.is_empty() {
            true => match write(&line.channel, bytes, handle) {
                Ok(()) => return,
                Err(handle) => handle,
            },
            false => handle,
        };
        let is_motion = matches!(
            event,
            Event::Pointer {
                what: PointerWhat::Moved,
                ..
            }
        );
        if is_motion {
            return;
        }
        if line.backlog.len() >= MOST_UNREAD {
            log::warn!("program {client} does not read what it is told: cut off");
            return self.disconnect(client);
        }
        line.backlog.push_back((bytes.to_vec(), handle));
        line.changed.notify_one();
    }

    /// Sends what had no room before. Whether there is still some.
    pub fn flush(&mut self, client: ClientId) -> bool {
        let Some(line) = self.lines.get_mut(&client) else {
            return false;
        };
        while let Some((bytes, handle)) = line.backlog.pop_front() {
            if let Err(handle) = write(&line.channel, &bytes, handle) {
                line.backlog.push_front((bytes, handle));
                return true;
            }
        }
        false
    }
}

/// Queues a message; the handle comes back if there is no room. A program that is gone takes anything.
fn write(
    channel: &Watched<Channel>,
    bytes: &[u8],
    handle: Option<Owned>,
) -> Result<(), Option<Owned>> {
    let mut handles = Handles::new();
    if let Some(handle) = handle {
        // The first of sixteen places.
        let _ = handles.push(handle);
    }
    match channel.write(bytes, &mut handles) {
        Err(Error::QueueFull) => Err(handles.pop_front()),
        _ => Ok(()),
    }
}

/// What a channel is watched for beside messages.
pub const ROOM: Signals = Signals::WRITABLE;
