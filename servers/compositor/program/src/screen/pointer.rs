//! The pointer as a graphics device shows it: it follows at once, without a frame being made.

use alloc::sync::Arc;
use alloc::vec::Vec;

use compositor::Picture;
use draw::{Canvas, Pixel};
use rt::sys::memory::copy_pixels_into;
use virtio::gpu::{self, CURSOR_PIXELS, Control, Cursor, GpuError, Pixels, Work};
use virtio::hardware::Ring3;

use crate::state::Shared;

/// Where the tip is in each picture.
const TIP: u32 = CURSOR_PIXELS / 2;

/// The device's pictures of the pointer.
pub struct Shapes(Vec<(Picture, gpu::Picture)>);

impl Shapes {
    /// Draws them all, and takes them to the device.
    ///
    /// # Errors
    /// What the device says.
    pub async fn make(control: &mut Control<Arc<Ring3>>) -> Result<Self, GpuError> {
        let mut shapes = Vec::new();
        for shape in Picture::ALL {
            let (picture, memory) = control
                .create(CURSOR_PIXELS, CURSOR_PIXELS, Pixels::Bgra)
                .await?;
            let mut pixels: [Pixel; (CURSOR_PIXELS * CURSOR_PIXELS) as usize] =
                [0; (CURSOR_PIXELS * CURSOR_PIXELS) as usize];
            let mut canvas = Canvas::new(&mut pixels, CURSOR_PIXELS, CURSOR_PIXELS);
            shape.draw(&mut canvas, TIP as i32, TIP as i32);
            let is_inside = copy_pixels_into(&memory.space, 0, &pixels);
            debug_assert!(is_inside);
            let upload = Work::Transfer {
                picture: &picture,
                rect: picture.all(),
                offset: 0,
            };
            control.run(&[upload]).await?;
            shapes.push((shape, picture));
        }
        Ok(Self(shapes))
    }

    fn get(&self, shape: Picture) -> Option<&gpu::Picture> {
        let found = self.0.iter().find(|(known, _)| *known == shape);
        found.map(|(_, picture)| picture)
    }
}

/// Where the pointer is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// The device's number of the output.
    output: u32,
    x: u32,
    y: u32,
    shape: Picture,
    /// How often outputs had changed.
    arranged: u64,
}

/// Where the pointer is now.
fn look(shared: &Shared) -> Option<Seen> {
    let state = shared.lock();
    let (x, y, shape) = state.desk.pointer();
    let output = state.outputs.iter().find(|output| output.place.has(x, y))?;
    Some(Seen {
        output: output.number,
        x: (x - output.place.left) as u32,
        y: (y - output.place.top) as u32,
        shape,
        arranged: state.arranged,
    })
}

/// Follows the pointer; ends with why it cannot any more.
pub async fn follow(
    mut cursor: Cursor<Arc<Ring3>>,
    shapes: Shapes,
    shared: Arc<Shared>,
) -> GpuError {
    let mut before: Option<Seen> = None;
    loop {
        if let Err(error) = step(&mut cursor, &shapes, &shared, &mut before).await {
            return error;
        }
        shared.pointer.notified().await;
    }
}

async fn step(
    cursor: &mut Cursor<Arc<Ring3>>,
    shapes: &Shapes,
    shared: &Shared,
    before: &mut Option<Seen>,
) -> Result<(), GpuError> {
    let Some(now) = look(shared) else {
        return Ok(());
    };
    let known = before.replace(now);
    if let Some(left) = known.filter(|known| known.output != now.output) {
        cursor.set(left.output, (0, 0), None, (0, 0)).await?;
    }
    let place = (now.x, now.y);
    match known {
        Some(known) if known == now => Ok(()),
        Some(known)
            if Seen {
                x: now.x,
                y: now.y,
                ..known
            } == now =>
        {
            cursor.move_to(now.output, place).await
        }
        _ => {
            let shape = shapes.get(now.shape);
            cursor.set(now.output, place, shape, (TIP, TIP)).await
        }
    }
}
