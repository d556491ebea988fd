//! Whatever programs and people do.

use draw::Rect;
use proptest::prelude::*;
use proto::input::{Button, KeyChange, What};
use proto::key::Modifiers;
use proto::window::{Demand, Extent, Keepsake, Kind, Look, Request, Size, Theme, Title, WindowId};

use crate::bench::*;

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, Request),
    Input(What),
    Paint(u8, WindowId, u8),
    Frame,
    Leave(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let window = 0..4_u32;
    let size = (1..700_u16, 1..500_u16).prop_map(|(width, height)| Size { width, height });
    let extent = prop_oneof![
        Just(Extent::Floating),
        Just(Extent::Maximised),
        Just(Extent::LeftHalf),
        Just(Extent::RightHalf),
        Just(Extent::FullScreen)
    ];
    let kind = prop_oneof![6 => Just(Kind::Normal), 1 => Just(Kind::Panel), 1 => Just(Kind::Background), 1 => Just(Kind::Menu)];
    let look = (kind, any::<bool>(), any::<bool>()).prop_map(|(kind, alpha, fixed)| Look {
        kind,
        alpha,
        fixed,
        smallest: Size::default(),
    });
    let request = prop_oneof![
        4 => (window.clone(), size, look).prop_map(|(window, size, look)| Request::Open { window, title: Title::from_start("xyz"), size, look, keepsake: Keepsake::default() }),
        1 => window.clone().prop_map(|window| Request::Close { window }),
        1 => window.clone().prop_map(|window| Request::Minimise { window }),
        1 => window.clone().prop_map(|window| Request::SetTitle { window, title: Title::from_start("another") }),
        2 => (window.clone(), extent).prop_map(|(window, extent)| Request::SetExtent { window, extent }),
        1 => (0..9_u32, prop_oneof![Just(Demand::Raise), Just(Demand::Minimise), Just(Demand::Close)]).prop_map(|(window, demand)| Request::Demand { window, demand }),
        1 => Just(Request::SetTheme(Theme::Light)),
        1 => Just(Request::ToggleOverlay),
    ];
    let modifiers = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(shift, alt, control, logo)| Modifiers {
            shift,
            alt,
            control,
            logo,
        },
    );
    let change = prop_oneof![
        Just(KeyChange::Down),
        Just(KeyChange::Up),
        Just(KeyChange::Repeat),
        Just(KeyChange::Held)
    ];
    let code = prop_oneof![
        Just(15_u16),
        Just(62),
        Just(88),
        Just(103),
        Just(105),
        Just(106),
        Just(108),
        Just(125),
        Just(30)
    ];
    let what = prop_oneof![
        4 => (0..0x8000_u16, 0..0x8000_u16).prop_map(|(x, y)| What::Position { x, y }),
        2 => (-90..90_i16, -90..90_i16).prop_map(|(dx, dy)| What::Motion { dx, dy }),
        4 => any::<bool>().prop_map(|pressed| What::Button { button: Button::Left, pressed }),
        1 => any::<bool>().prop_map(|pressed| What::Button { button: Button::Right, pressed }),
        3 => (code, change, modifiers).prop_map(|(code, change, modifiers)| What::Key { code, change, press: None, modifiers }),
        1 => Just(What::Wheel { down: 1, right: 0 }),
    ];
    prop_oneof![
        5 => (0..3_u8, request).prop_map(|(program, request)| Step::Ask(program, request)),
        8 => what.prop_map(Step::Input),
        3 => (0..3_u8, window, 0..2_u8).prop_map(|(program, window, buffer)| Step::Paint(program, window, buffer)),
        4 => Just(Step::Frame),
        1 => (0..3_u8).prop_map(Step::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever programs and people do, composing what changed gives the same picture as composing everything.
    #[test]
    fn the_damage_is_all_that_changed(steps in proptest::collection::vec(any_step(), 1..60), paints: bool) {
        let mut bench = Bench::new();
        bench.paints = paints;
        let mut programs = [bench.program(true), bench.program(false), bench.program(false)];
        for step in steps {
            match step {
                Step::Ask(program, request) => bench.ask(programs[usize::from(program)], request),
                Step::Input(what) => bench.input(what),
                Step::Paint(program, window, buffer) => {
                    bench.paint(programs[usize::from(program)], window, buffer);
                    bench.work();
                }
                Step::Frame => {
                    bench.frame();
                    let whole = Rect::new(0, 0, 640, 480);
                    let expected = compose(&mut bench.desk, &bench.memory, &whole);
                    let first = bench.screen.iter().zip(&expected).position(|(one, other)| one != other);
                    prop_assert_eq!(first.map(|at| (at % 640, at / 640)), None);
                }
                Step::Leave(program) => {
                    let program = usize::from(program);
                    bench.desk.disconnect(programs[program]);
                    bench.programs.remove(&programs[program]);
                    bench.work();
                    programs[program] = bench.program(program == 0);
                }
            }
        }
        for program in programs {
            bench.desk.disconnect(program);
            bench.work();
        }
        bench.frame();
        prop_assert!(bench.memory.pictures.is_empty());
    }
}
