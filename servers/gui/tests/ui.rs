//! Buttons as a person uses them.

use gui::{Canvas, Happened, PointerWhat, Rect, Theme, Ui};
use proto::input::{Button, KeyChange};
use proto::key::{Key, KeyPress, Modifiers};

const WIDTH: u32 = 200;
const HEIGHT: u32 = 120;

/// Draws two buttons below each other; which were pressed.
fn draw(ui: &mut Ui, happened: &[Happened]) -> (bool, bool) {
    for happened in happened {
        ui.note(happened);
    }
    let mut pixels = vec![0; (WIDTH * HEIGHT) as usize];
    let mut canvas = Canvas::new(&mut pixels, WIDTH, HEIGHT);
    let mut page = ui.begin(&mut canvas, Theme::Dark);
    let pressed = (
        page.button_at(&Rect::new(10, 10, 100, 30), "one", false),
        page.button_at(&Rect::new(10, 50, 100, 30), "other", false),
    );
    page.end();
    assert!(
        pixels.iter().all(|pixel| pixel >> 24 == 0xff),
        "all of it is painted"
    );
    pressed
}

fn pointer(x: i32, y: i32, what: PointerWhat) -> Happened {
    Happened::Pointer {
        window: 1,
        x,
        y,
        what,
    }
}

fn left(pressed: bool) -> PointerWhat {
    PointerWhat::Button {
        button: Button::Left,
        pressed,
    }
}

fn key(key: Key) -> Happened {
    let modifiers = Modifiers::default();
    let press = Some(KeyPress { key, modifiers });
    Happened::Key {
        window: 1,
        code: 0,
        change: KeyChange::Down,
        press,
        modifiers,
    }
}

#[test]
fn a_button_is_pressed_where_it_is_released_and_once() {
    let mut ui = Ui::default();
    assert_eq!(
        draw(&mut ui, &[pointer(20, 60, left(true))]),
        (false, false)
    );
    assert_eq!(
        draw(&mut ui, &[pointer(20, 60, left(false))]),
        (false, true)
    );
    assert_eq!(draw(&mut ui, &[]), (false, false));
    // Pressed on one and released on the other: neither.
    assert_eq!(
        draw(
            &mut ui,
            &[pointer(20, 20, left(true)), pointer(20, 60, left(false))]
        ),
        (false, false)
    );
    // Another button of the mouse.
    let right = |pressed| PointerWhat::Button {
        button: Button::Right,
        pressed,
    };
    assert_eq!(
        draw(
            &mut ui,
            &[pointer(20, 20, right(true)), pointer(20, 20, right(false))]
        ),
        (false, false)
    );
}

#[test]
fn keys_press_the_chosen_button_of_the_window_with_the_focus() {
    let mut ui = Ui::default();
    assert_eq!(draw(&mut ui, &[key(Key::Enter)]), (false, false));
    assert_eq!(
        draw(&mut ui, &[Happened::Focus(1, true), key(Key::Enter)]),
        (true, false)
    );
    assert_eq!(draw(&mut ui, &[key(Key::Tab)]), (false, false));
    assert_eq!(draw(&mut ui, &[key(Key::Char(' '))]), (false, true));
    assert_eq!(draw(&mut ui, &[key(Key::Tab)]), (false, false));
    assert_eq!(draw(&mut ui, &[key(Key::Enter)]), (true, false));
}

#[test]
fn rows_and_lists_stay_in_the_window() {
    let mut ui = Ui::default();
    let mut pixels = vec![0; (WIDTH * HEIGHT) as usize];
    let mut canvas = Canvas::new(&mut pixels, WIDTH, HEIGHT);
    let mut page = ui.begin(&mut canvas, Theme::HighContrast);
    page.row(|page| {
        for text in [
            "a",
            "very",
            "long row of buttons that does not fit at all",
            "x",
        ] {
            assert!(!page.button(text));
        }
    });
    for number in 0..100 {
        page.label(&format!("line {number}"));
        page.mono("table");
    }
    assert!(page.rest().is_empty());
    assert!(page.fitting("a text that is too long", 40).len() < 10);
    page.end();
}
