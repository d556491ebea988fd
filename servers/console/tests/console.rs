//! The console on a framebuffer in memory.

use std::path::Path;

use console::{
    CELL_HEIGHT, CELL_WIDTH, Canvas, Cell, Color, Console, ConsoleError, Framebuffer, Style,
    TargetFramebuffer, cells_needed, run,
};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Circle, PrimitiveStyle, Rectangle, StyledDrawable};
use proptest::prelude::*;
use rt::{ByteSink, Pipe};
use testkit::Sim;

/// A framebuffer in memory that counts what is written.
#[derive(Clone)]
struct Image {
    width: u32,
    height: u32,
    pixels: Vec<u32>,
    writes: Vec<(u32, u32, u32, u32)>,
}

const NEVER_WRITTEN: u32 = 0xff00_0000;

impl Image {
    fn new(width: u32, height: u32) -> Self {
        let pixels = vec![NEVER_WRITTEN; (width * height) as usize];
        Self {
            width,
            height,
            pixels,
            writes: Vec::new(),
        }
    }

    fn written_cells(&self) -> u32 {
        let pixels: u32 = self
            .writes
            .iter()
            .map(|(.., width, height)| width * height)
            .sum();
        pixels / (CELL_WIDTH * CELL_HEIGHT) as u32
    }

    fn cell(&self, column: usize, row: usize) -> Vec<u32> {
        (0..CELL_HEIGHT)
            .flat_map(|y| {
                let start = (row * CELL_HEIGHT + y) * self.width as usize + column * CELL_WIDTH;
                self.pixels[start..start + CELL_WIDTH].to_vec()
            })
            .collect()
    }

    fn save_png(&self, name: &str) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let file = std::fs::File::create(path).expect("the target directory is writable");
        let mut encoder = png::Encoder::new(file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let data: Vec<u8> = self
            .pixels
            .iter()
            .flat_map(|pixel| pixel.to_be_bytes()[1..].to_vec())
            .collect();
        let mut writer = encoder.write_header().expect("a valid header");
        writer
            .write_image_data(&data)
            .expect("the data fits the header");
    }
}

impl Framebuffer for Image {
    fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn write_rect(&mut self, x: u32, y: u32, width: u32, pixels: &[u32]) {
        let rows = pixels.chunks_exact(width as usize);
        assert!(rows.remainder().is_empty());
        self.writes.push((x, y, width, rows.len() as u32));
        for (dy, row) in (0u32..).zip(rows) {
            assert!(
                x + width <= self.width && y + dy < self.height,
                "outside of the screen"
            );
            let start = ((y + dy) * self.width + x) as usize;
            self.pixels[start..start + row.len()].copy_from_slice(row);
        }
    }
}

fn cells(image: &Image) -> Vec<Cell> {
    vec![Cell::BLANK; cells_needed(image.width, image.height)]
}

fn with_console(columns: u32, rows: u32, test: impl FnOnce(&mut Console<'_, &mut Image>)) -> Image {
    let mut image = Image::new(columns * CELL_WIDTH as u32, rows * CELL_HEIGHT as u32);
    let mut memory = cells(&image);
    let mut console = Console::new(&mut image, &mut memory).expect("it fits");
    test(&mut console);
    console.flush();
    drop(console);
    image
}

fn text<F: Framebuffer>(console: &Console<'_, F>) -> Vec<String> {
    (0..console.rows())
        .map(|row| {
            let line: String = (0..console.columns())
                .map(|column| console.cell(column, row).character())
                .collect();
            line.trim_end().to_owned()
        })
        .collect()
}

#[test]
fn too_small_a_screen_or_memory_is_a_clear_error() {
    let mut memory = vec![Cell::BLANK; 10];
    let error = Console::new(Image::new(100, 40), &mut memory).err();
    assert_eq!(
        error,
        Some(ConsoleError::ScreenTooSmall {
            width: 100,
            height: 40
        })
    );
    let error = Console::new(Image::new(640, 480), &mut memory)
        .err()
        .expect("too few cells");
    assert_eq!(
        error,
        ConsoleError::TooFewCells {
            needed: cells_needed(640, 480),
            given: 10
        }
    );
    assert!(error.to_string().contains("got 10"));
}

#[test]
fn the_first_flush_writes_every_pixel() {
    let mut image = Image::new(643, 485);
    let mut memory = cells(&image);
    let mut console = Console::new(&mut image, &mut memory).expect("it fits");
    console.flush();
    drop(console);
    assert!(image.pixels.iter().all(|pixel| *pixel != NEVER_WRITTEN));
}

#[test]
fn text_wraps_and_scrolls() {
    with_console(20, 4, |console| {
        console.write(b"first\r\n");
        console.write("0123456789abcdefghijKLM\n".as_bytes());
        assert_eq!(text(console), ["first", "0123456789abcdefghij", "KLM", ""]);
        console.write(b"x\n");
        assert_eq!(text(console), ["0123456789abcdefghij", "KLM", "x", ""]);
        assert_eq!(console.cursor(), (0, 3));
    });
}

#[test]
fn a_full_row_does_not_wrap_before_the_next_character() {
    with_console(20, 4, |console| {
        console.write(b"0123456789abcdefghij\r\nx");
        assert_eq!(text(console), ["0123456789abcdefghij", "x", "", ""]);
    });
}

#[test]
fn utf8_may_be_split_and_bad_bytes_show_as_such() {
    with_console(20, 4, |console| {
        let bytes = "ä€".as_bytes();
        console.write(&bytes[..1]);
        console.write(&bytes[1..3]);
        console.write(&bytes[3..]);
        console.write(b"\xff.");
        assert_eq!(text(console)[0], "ä€\u{fffd}.");
    });
}

#[test]
fn editing_sequences() {
    with_console(20, 4, |console| {
        console.write(b"hello world\x1b[5D\x1b[Kthere\x08\x08\x1b[2P!\r\x1b[3C\x1b[2@\x1b[Gx\ty");
        assert_eq!(text(console)[0], "xel  lo yhe!");
        console.write(b"\x1b[2;3Hab\x1b[s\x1b[4;20Hz\x1b[uc\x1b[1;1H\x1b[1J");
        assert_eq!(
            text(console),
            [" el  lo yhe!", "  abc", "", "                   z"]
        );
        console.write(b"\x1b[2J\x1b[99;99H");
        assert_eq!(text(console), ["", "", "", ""]);
        assert_eq!(console.cursor(), (19, 3));
        console.write(b"\x1b[99A\x1b[99DA\x1bMB");
        assert_eq!(text(console), [" B", "A", "", ""]);
    });
}

#[test]
fn colours_and_attributes() {
    with_console(20, 4, |console| {
        console.write(b"\x1b[1;4;31;104mA\x1b[0mB\x1b[38;5;1;7mC\x1b[38:5:1;27mD\x1b[97;41mE");
        let style = |column| console.cell(column, 0).style();
        let expected = Style {
            foreground: Color::new(1),
            background: Color::new(4).bright(),
            bold: true,
            underlined: true,
            inverse: false,
        };
        assert_eq!(style(0), expected);
        assert_eq!(style(1), Style::DEFAULT);
        assert_eq!(
            style(2),
            Style {
                inverse: true,
                ..Style::DEFAULT
            }
        );
        assert_eq!(style(3), Style::DEFAULT);
        assert_eq!(style(4).foreground, Color::new(15));
        assert_eq!(style(4).background, Color::new(1));
    });
}

#[test]
fn a_glyph_blends_between_its_two_colours() {
    let image = with_console(20, 4, |console| {
        console.write(b"\x1b[?25lM \x1b[7mM\x1b[0m")
    });
    let (glyph, blank, inverse) = (image.cell(0, 0), image.cell(1, 0), image.cell(2, 0));
    let background = blank[0];
    let foreground = console::framebuffer::pixel(Color::WHITE.rgb());
    assert!(blank.iter().all(|pixel| *pixel == background));
    assert!(glyph.contains(&foreground) && glyph.contains(&background));
    assert!(inverse.contains(&foreground) && inverse.contains(&background));
    // The mirror image of the blend: what one has of a colour the other lacks.
    for (one, other) in glyph.iter().zip(&inverse) {
        for shift in [0, 8, 16] {
            let channel = |pixel: &u32| (pixel >> shift) & 0xff;
            let sum = channel(one) + channel(other);
            let expected = channel(&foreground) + channel(&background);
            assert!(sum.abs_diff(expected) <= 1);
        }
    }
}

#[test]
fn a_flush_paints_only_what_changed_and_once() {
    let mut image = Image::new(1280, 800);
    let mut memory = cells(&image);
    let mut console = Console::new(&mut image, &mut memory).expect("it fits");
    console.flush();
    let before = console.framebuffer().writes.len();
    console.flush();
    assert_eq!(
        console.framebuffer().writes.len(),
        before,
        "nothing changed, nothing written"
    );
    drop(console);
    image.writes.clear();

    let mut console = Console::new(&mut image, &mut memory).expect("it fits");
    console.write(b"raede> ");
    console.flush();
    drop(console);
    image.writes.clear();

    let mut console = Console::new(&mut image, &mut memory).expect("it fits");
    console.flush();
    let start = console.framebuffer().written_cells();
    // Overwritten a hundred times: painted once.
    for _ in 0..100 {
        console.write(b"\rabc\rxyz");
    }
    console.flush();
    assert!(console.framebuffer().written_cells() - start <= 5);
}

#[test]
fn scrolling_equal_lines_costs_nearly_nothing() {
    let mut image = Image::new(1280, 800);
    let mut memory = cells(&image);
    let mut console = Console::new(&mut image, &mut memory).expect("it fits");
    for _ in 0..100 {
        console.write(b"the same line\r\n");
    }
    console.flush();
    let start = console.framebuffer().written_cells();
    for _ in 0..10 {
        console.write(b"the same line\r\n");
        console.flush();
    }
    assert_eq!(console.framebuffer().written_cells() - start, 0);
}

#[test]
fn a_sliced_flush_ends_with_the_same_picture() {
    let sample = b"\x1b[32mone\x1b[0m two\r\n\x1b[1mthree\x1b[0m\r\nfour \x1b[4mfive\x1b[0m";
    let whole = with_console(40, 8, |console| console.write(sample));
    let sliced = with_console(40, 8, |console| {
        console.write(sample);
        let mut slices = 0;
        while console.flush_some(7) {
            slices += 1;
        }
        assert!(slices >= 40 * 8 / 7, "{slices} slices");
    });
    assert!(whole.pixels == sliced.pixels);
}

#[test]
fn the_server_shows_a_burst_and_ends_with_its_source() {
    let mut sim = Sim::new();
    let pipe: &'static Pipe<256> = Box::leak(Box::new(Pipe::new()));
    let (sink, source) = pipe.split().expect("first");
    sim.spawn("writer", async move {
        for number in 0..1000 {
            assert!(
                sink.write_all(format!("line {number}\r\n").as_bytes())
                    .await
                    .is_ok()
            );
        }
    });
    let (done, result) = std::sync::mpsc::channel();
    sim.spawn("console", async move {
        let image = Image::new(320, 160);
        let mut memory = cells(&image);
        let mut console = Console::new(image, &mut memory).expect("it fits");
        run(&mut console, &source).await;
        assert!(done.send(text(&console)).is_ok());
    });
    sim.run();
    let lines = result.try_recv().expect("the console has ended");
    assert_eq!(lines[lines.len() - 2], "line 999");
    assert_eq!(sim.unfinished(), [""; 0]);
}

#[test]
fn embedded_graphics_draws_on_it_and_is_drawn_on() {
    let mut canvas = Canvas(Image::new(64, 64));
    let fill = PrimitiveStyle::with_fill(Rgb888::RED);
    // Partly outside on two sides.
    assert!(
        Rectangle::new(Point::new(-10, -10), Size::new(20, 20))
            .draw_styled(&fill, &mut canvas)
            .is_ok()
    );
    assert!(
        Circle::new(Point::new(50, 50), 30)
            .draw_styled(&fill, &mut canvas)
            .is_ok()
    );
    let colors = (0..400u32).map(|index| {
        if index % 20 < 10 {
            Rgb888::BLUE
        } else {
            Rgb888::GREEN
        }
    });
    let area = Rectangle::new(Point::new(-5, 54), Size::new(20, 20));
    assert!(canvas.fill_contiguous(&area, colors).is_ok());
    let image = &canvas.0;
    let at = |x: usize, y: usize| image.pixels[y * 64 + x];
    assert_eq!((at(9, 9), at(10, 9)), (0xff_0000, NEVER_WRITTEN));
    assert_eq!(
        (at(4, 60), at(5, 60), at(14, 63)),
        (0x00_00ff, 0x00_ff00, 0x00_ff00)
    );
    assert_eq!(at(63, 63), 0xff_0000);

    let reference = with_console(30, 5, |console| console.write(b"\x1b[33mhello"));
    let (width, height) = (reference.width, reference.height);
    let mut memory = cells(&reference);
    let target = TargetFramebuffer(Canvas(Image::new(width, height)));
    let mut console = Console::new(target, &mut memory).expect("it fits");
    console.write(b"\x1b[33mhello");
    console.flush();
    assert!(console.framebuffer().0.0.pixels == reference.pixels);
}

/// Leaves a picture in the target directory, for a person to look at.
#[test]
fn a_picture_of_a_session() {
    let mut image = Image::new(1280, 800);
    let mut memory = cells(&image);
    let mut console = Console::new(&mut image, &mut memory).expect("it fits");
    console.write(b"\x1b[32mraede 0.1.0\x1b[0m  pvh, 2 cores, 512 MiB\r\n\r\n");
    console.write("Grüße, señor: çà et là, Łódź, naïve — → ✓ \u{fffd}\r\n".as_bytes());
    console.write(b"The quick brown fox jumps over the lazy dog. 0123456789 {}[]()<>|\\/~`'\"\r\n");
    console.write(b"\x1b[1mbold\x1b[0m \x1b[4munderlined gjpqy\x1b[0m \x1b[7minverse\x1b[0m\r\n");
    for base in [30, 90, 40, 100] {
        for color in 0..8 {
            console
                .write(format!("\x1b[{}m {:>3} \x1b[0m ", base + color, base + color).as_bytes());
        }
        console.write(b"\r\n");
    }
    console.write(b"\r\nraede> ps --json");
    console.flush();
    drop(console);
    image.save_png("console.png");
    assert!(image.pixels.iter().all(|pixel| *pixel != NEVER_WRITTEN));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Any bytes, flushed at any moments in slices of any size: the picture is that of the grid.
    #[test]
    fn the_picture_always_matches_the_grid(
        chunks in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "[a-z\r\n\t]{0,30}(\x1b\\[[0-9;]{0,5}[A-HJKPXm@dfsu]){0,3}".prop_map(String::into_bytes),
            ],
            0..12,
        ),
        slice in 0usize..50,
    ) {
        let flushed_often = with_console(20, 5, |console| {
            for chunk in &chunks {
                console.write(chunk);
                console.flush_some(slice);
            }
        });
        let flushed_once = with_console(20, 5, |console| {
            for chunk in &chunks {
                console.write(chunk);
            }
        });
        prop_assert!(flushed_often.pixels == flushed_once.pixels);
    }
}
