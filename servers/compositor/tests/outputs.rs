//! Outputs, and windows that have one for themselves.

use compositor::{ClientId, Desk, Direct, Effect, Frame, PictureKey};
use draw::Rect;
use proto::input::{self, What};
use proto::window::{Event, Extent, Keepsake, Look, Part, Request, Size, Title, WindowId};

const LEFT: Rect = Rect::new(0, 0, 640, 480);
const RIGHT: Rect = Rect::new(640, 0, 320, 240);

struct Bench {
    desk: Desk,
    client: ClientId,
    /// The newest configuration and its pictures.
    configured: (u32, Size, PictureKey),
    buffer: u8,
}

impl Bench {
    fn new(outputs: &[Rect]) -> Self {
        let mut desk = Desk::new(Size::default(), 16_666_666, Vec::new(), || 7);
        desk.set_outputs(outputs);
        desk.set_draws_pointer(false);
        let client = desk.connect(true);
        let mut bench = Self {
            desk,
            client,
            configured: (0, Size::default(), PictureKey(0)),
            buffer: 0,
        };
        bench.work();
        bench
    }

    /// Whether pictures were made that the screen might take as they are.
    fn work(&mut self) -> bool {
        let mut is_whole = false;
        for effect in self.desk.take_effects() {
            if let Effect::MakePictures {
                pictures,
                size,
                whole,
                event: Event::Configured { configuration, .. },
                ..
            } = effect
            {
                self.configured = (configuration, size, pictures);
                is_whole = whole;
            }
        }
        is_whole
    }

    fn open(&mut self, window: WindowId, alpha: bool) {
        self.desk.request(
            self.client,
            Request::Open {
                window,
                title: Title::new(),
                size: Size {
                    width: 200,
                    height: 100,
                },
                look: Look {
                    alpha,
                    ..Look::default()
                },
                keepsake: Keepsake::default(),
            },
        );
        self.work();
        self.present(window, None);
    }

    fn extent(&mut self, window: WindowId, extent: Extent) -> bool {
        let request = Request::SetExtent { window, extent };
        self.desk.request(self.client, request);
        let is_whole = self.work();
        self.present(window, None);
        is_whole
    }

    fn present(&mut self, window: WindowId, damage: Option<Part>) -> Frame {
        let (configuration, size, _) = self.configured;
        self.buffer = 1 - self.buffer;
        self.desk.request(
            self.client,
            Request::Present {
                window,
                serial: 1,
                configuration,
                buffer: self.buffer,
                damage: damage.unwrap_or(size.whole()),
                target_ns: 0,
            },
        );
        self.frame()
    }

    fn frame(&mut self) -> Frame {
        let frame = self.desk.frame(u64::MAX, |_| true);
        self.desk.shown(1, 2, None, |_| 0);
        self.work();
        frame
    }

    /// The window's pictures as a whole, in this buffer.
    fn direct(&self, changed: &[Rect]) -> Direct {
        let (_, size, pictures) = self.configured;
        Direct {
            pictures,
            buffer: self.buffer,
            size,
            changed: changed.to_vec(),
        }
    }

    fn place(&mut self, window: WindowId) -> Rect {
        self.desk.show_all_again();
        self.frame();
        let title = Request::SetTitle {
            window,
            title: Title::new(),
        };
        self.desk.request(self.client, title);
        // What a new title changes is the title bar.
        let parts = self.frame().parts;
        parts.iter().fold(Rect::EMPTY, |all, part| all.hull(part))
    }
}

#[test]
fn a_window_that_is_all_there_is_to_see_is_not_composed() {
    let mut bench = Bench::new(&[LEFT]);
    bench.open(1, false);
    assert!(bench.extent(1, Extent::FullScreen));
    let part = Part {
        x: 10,
        y: 20,
        size: Size {
            width: 30,
            height: 40,
        },
    };
    let frame = bench.present(1, Some(part));
    let changed = Rect::new(10, 20, 30, 40);
    assert_eq!(frame.parts, []);
    assert_eq!(frame.direct, [Some(bench.direct(&[changed]))]);
    // The pointer is not composed either.
    bench.desk.input(&input::Event {
        time_ticks: 1,
        device: 0,
        what: What::Motion { dx: 5, dy: 5 },
    });
    assert!(bench.desk.take_pointer_changed());
    let frame = bench.frame();
    assert_eq!((frame.parts.len(), bench.desk.wants_frame()), (0, false));
    // With figures over it all is composed, then the picture is taken again, all of it.
    bench.desk.request(bench.client, Request::ToggleOverlay);
    let frame = bench.frame();
    assert_eq!((frame.parts, frame.direct), (vec![LEFT], vec![None]));
    bench.desk.request(bench.client, Request::ToggleOverlay);
    let frame = bench.frame();
    assert_eq!(frame.parts, []);
    assert_eq!(frame.direct, [Some(bench.direct(&[LEFT]))]);
    assert!(!bench.extent(1, Extent::Floating));
    assert_eq!(bench.frame().direct, [None]);
}

#[test]
fn what_cannot_be_taken_is_composed() {
    let mut bench = Bench::new(&[LEFT]);
    bench.open(1, true);
    assert!(!bench.extent(1, Extent::FullScreen), "seen through");
    assert_eq!(bench.frame().direct, [None]);
    let mut bench = Bench::new(&[LEFT]);
    bench.open(1, false);
    bench.extent(1, Extent::FullScreen);
    bench.desk.show_all_again();
    let frame = bench.desk.frame(u64::MAX, |_| false);
    assert_eq!((frame.parts, frame.direct), (vec![LEFT], vec![None]));
    bench.desk.set_draws_pointer(true);
    assert_eq!(bench.frame().direct, [None], "the pointer is over it");
}

#[test]
fn each_output_is_for_itself() {
    let mut bench = Bench::new(&[LEFT, RIGHT]);
    assert_eq!(
        bench.desk.screen(),
        Size {
            width: 960,
            height: 480
        }
    );
    // The pointer stays on the outputs, which have a step.
    let mut point = |dx, dy| {
        bench.desk.input(&input::Event {
            time_ticks: 1,
            device: 0,
            what: What::Motion { dx, dy },
        });
        let (x, y, _) = bench.desk.pointer();
        (x, y)
    };
    assert_eq!(point(-5000, 5000), (0, 479));
    assert_eq!(point(600, 0), (600, 479));
    assert_eq!(point(0, -400), (600, 79));
    assert_eq!(point(5000, 0), (959, 79));
    assert_eq!(point(0, 5000), (959, 239));
    bench.open(1, false);
    let title = bench.place(1);
    assert!(LEFT.has_all(&title), "new windows are on the first one");
    // Nothing of the other output changes with a window that has all of the first.
    bench.extent(1, Extent::FullScreen);
    let frame = bench.present(1, None);
    assert_eq!(frame.parts, []);
    assert_eq!(frame.direct, [Some(bench.direct(&[LEFT])), None]);
    bench.extent(1, Extent::Maximised);
    let title = bench.place(1);
    assert_eq!((title.left, title.right), (0, 640));
    // The first output goes: the window is as large as the one that is left.
    bench.desk.set_outputs(&[Rect::new(0, 0, 320, 240)]);
    bench.work();
    bench.present(1, None);
    let title = bench.place(1);
    assert_eq!((title.left, title.right), (0, 320));
}
