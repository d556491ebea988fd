//! Bricks: a ball, a paddle, a wall.
//!
//! Handles: `window` (the compositor), `manager`. Each picture is painted when the one before is on the screen, for the time at which it will be
//! seen: the game is as even as the frames are.
//!
//! | | |
//! |---|---|
//! | pointer, arrows | the paddle |
//! | space, a press | starts |
//! | F | all of the screen, and back |
//! | Escape | back from all of the screen; ends |
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod game;

use alloc::format;

use draw::text::{Face, Font};
use gui::{
    Canvas, Extent, Gui, Happened, Look, NotConnected, Palette, Pointer, PointerWhat, Rect, Size,
    WindowId, rgb,
};
use proto::input::KeyChange;
use proto::key::Key;
use rt::Env;

use game::{Game, HEIGHT, WIDTH};

rt::entry!(async main);

const SIZE: Size = Size {
    width: 720,
    height: 480,
};
/// Linux's numbers of the arrows.
const LEFT: u16 = 105;
const RIGHT: u16 = 106;
/// Longest step of the game: after a pause it goes on where it was.
const LONGEST_STEP_NS: u64 = 50_000_000;

const COLOURS: [u32; 6] = [
    0xf0_6a_5c, 0xf2_a6_5a, 0xf2_dd_6e, 0x5f_c9_7f, 0x4c_9f_f0, 0x9a_7b_e0,
];

async fn main(mut env: Env) -> i32 {
    match run(&mut env).await {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

async fn run(env: &mut Env) -> Result<(), NotConnected> {
    let mut gui = Gui::connect(env).await?;
    let window = gui.open(
        "Bricks",
        SIZE,
        Look {
            smallest: Size {
                width: 320,
                height: 240,
            },
            ..Look::default()
        },
    );
    gui.set_pointer(window, Pointer::Hidden);
    if let Err(error) = gui.manager().say_ready() {
        log::warn!("the manager does not hear that the game is ready: {error}");
    }
    let (mut game, mut font) = (Game::new(), Font::new(Face::Ui, 18));
    let mut last_ns = 0;
    let (mut frames, mut late) = (0_u64, 0_u64);
    loop {
        match gui.next().await? {
            Happened::CloseAsked(_) => break,
            Happened::Shown {
                next_ns, late: why, ..
            } => {
                frames += 1;
                late += u64::from(why.is_some());
                let step_ns = next_ns.saturating_sub(last_ns).min(LONGEST_STEP_NS);
                last_ns = next_ns;
                // Nothing moves before the first press: no picture is needed until then.
                if game.step(step_ns) {
                    paint(&mut gui, window, &game, font.as_mut());
                }
                continue;
            }
            Happened::Pointer { x, what, .. } => {
                let width = i32::from(gui.size(window).width).max(1);
                game.point(x * WIDTH / width);
                if matches!(what, PointerWhat::Button { pressed: true, .. }) {
                    game.start();
                }
            }
            Happened::Key {
                code,
                change,
                press,
                ..
            } => {
                let is_down = change != KeyChange::Up;
                match (code, press.map(|press| press.key)) {
                    (LEFT, _) => game.hold(-1, is_down),
                    (RIGHT, _) => game.hold(1, is_down),
                    (_, Some(Key::Char(' '))) if is_down => game.start(),
                    (_, Some(Key::Char('f' | 'F'))) if change == KeyChange::Down => {
                        toggle_full_screen(&mut gui, window)
                    }
                    (_, Some(Key::Escape)) if gui.extent(window) == Extent::FullScreen => {
                        toggle_full_screen(&mut gui, window);
                    }
                    (_, Some(Key::Escape)) => break,
                    _ => {}
                }
            }
            _ => {}
        }
        if !gui.waits(window) {
            paint(&mut gui, window, &game, font.as_mut());
        }
    }
    log::info!("{frames} pictures, {late} of them late");
    Ok(())
}

fn toggle_full_screen(gui: &mut Gui, window: WindowId) {
    let is_full = gui.extent(window) == Extent::FullScreen;
    gui.set_extent(
        window,
        if is_full {
            Extent::Floating
        } else {
            Extent::FullScreen
        },
    );
}

fn paint(gui: &mut Gui, window: WindowId, game: &Game, font: Option<&mut Font>) {
    let theme = gui.theme();
    let size = gui.size(window);
    let Some(mut canvas) = gui.canvas(window) else {
        return;
    };
    let palette = Palette::of(theme);
    draw_game(&mut canvas, size, game, &palette, font);
    gui.present(window);
}

fn draw_game(
    canvas: &mut Canvas<'_>,
    size: Size,
    game: &Game,
    palette: &Palette,
    font: Option<&mut Font>,
) {
    let (width, height) = (i32::from(size.width), i32::from(size.height));
    let scaled = |x: i32, y: i32, w: i32, h: i32| Rect {
        left: x * width / WIDTH,
        top: y * height / HEIGHT,
        right: (x + w) * width / WIDTH,
        bottom: (y + h) * height / HEIGHT,
    };
    canvas.gradient(
        &Rect::new(0, 0, width, height),
        (palette.desktop.1, palette.desktop.0),
    );
    for (x, y, w, h, row) in game.bricks() {
        let colour = COLOURS
            .get(row % COLOURS.len())
            .copied()
            .unwrap_or(0xff_ff_ff);
        canvas.round(&scaled(x, y, w, h).grown(-2), 4, rgb(colour));
    }
    let (x, y, w, h) = game.paddle();
    canvas.round(&scaled(x, y, w, h), 6, palette.accent);
    let (x, y, side) = game.ball();
    let ball = scaled(x, y, side, side);
    canvas.round(
        &Rect {
            bottom: ball.top + ball.width(),
            ..ball
        },
        ball.width() / 2,
        palette.text,
    );
    if let Some(font) = font {
        let line = format!("Points {}    Balls {}", game.points(), game.balls());
        font.draw(canvas, 12, 8, &line, palette.faint);
        if let Some(text) = game.message() {
            let left = (width - font.width_px(text)) / 2;
            font.draw(canvas, left, height * 6 / 10, text, palette.text);
        }
    }
}
