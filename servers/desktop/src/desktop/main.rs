//! The desktop: wallpaper, panel with clock and windows, menu with programs and settings.
//!
//! Handles: `desktop` (the compositor's service for it), `system` (to turn the machine off), `manager` (to start programs).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod menu;
mod panel;
mod wallpaper;

use core::time::Duration;

use gui::{Demand, Gui, Happened, Kind, Look, NotConnected, Size, Ui, WindowId};
use proto::window::Request;
use rt::sys::object::System;
use rt::{Either, Env, first, sleep};

use menu::{Choice, Menu};
use panel::Panel;

rt::entry!(async main);

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);

async fn main(mut env: Env) -> i32 {
    let Ok(system) = env
        .take::<System>("system")
        .map_err(|missing| log::error!("system: {missing}"))
    else {
        return 1;
    };
    match run(&mut env, &system).await {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

/// The desktop's windows.
struct Desktop {
    gui: Gui,
    background: WindowId,
    panel_window: WindowId,
    panel: Panel,
    menu: Option<(WindowId, Ui, Menu)>,
}

async fn run(env: &mut Env, system: &System) -> Result<(), NotConnected> {
    let mut gui = Gui::connect_desktop(env).await?;
    let look = |kind| Look {
        kind,
        ..Look::default()
    };
    let background = gui.open(
        "",
        Size {
            width: 1,
            height: 1,
        },
        look(Kind::Background),
    );
    let panel_window = gui.open(
        "",
        Size {
            width: 1,
            height: panel::HEIGHT_PX,
        },
        look(Kind::Panel),
    );
    gui.ask(Request::List);
    if let Err(error) = gui.manager().say_ready() {
        log::warn!("the manager does not hear that the desktop is ready: {error}");
    }
    let mut desktop = Desktop {
        gui,
        background,
        panel_window,
        panel: Panel::default(),
        menu: None,
    };
    loop {
        match first(desktop.gui.next(), sleep(TICK)).await {
            Either::A(happened) => {
                let happened = happened?;
                if let Some(choice) = desktop.take(&happened) {
                    menu::carry_out(choice, &mut desktop.gui, system).await;
                }
            }
            Either::B(()) => {
                if desktop.panel.clock_changed() {
                    desktop.paint_panel();
                }
            }
        }
    }
}

impl Desktop {
    /// Does what follows. A choice of the menu's, if one was made.
    fn take(&mut self, happened: &Happened) -> Option<Choice> {
        match happened {
            Happened::Resized(window) if *window == self.background => self.paint_background(),
            Happened::Theme => {
                self.paint_background();
                self.paint_panel();
            }
            Happened::Reconnected => self.panel.windows.clear(),
            Happened::Listed {
                window,
                title,
                focused,
                minimised,
            } => {
                self.panel
                    .note(*window, title.clone(), *focused, *minimised);
                self.paint_panel();
            }
            Happened::Unlisted(window) => {
                self.panel.windows.retain(|entry| entry.window != *window);
                self.paint_panel();
            }
            Happened::MenuAsked => self.toggle_menu(),
            Happened::CloseAsked(window)
                if self.menu.as_ref().is_some_and(|(menu, ..)| menu == window) =>
            {
                self.toggle_menu();
            }
            Happened::Refused(_, why) => log::warn!("the compositor: {}", &**why),
            _ => {}
        }
        if matches!(happened, Happened::Reconnected) {
            self.gui.ask(Request::List);
        }
        match of_window(happened) {
            Some(window) if window == self.panel_window => {
                self.panel.ui.note(happened);
                self.paint_panel();
                None
            }
            Some(window) => self.take_in_menu(window, happened),
            None => None,
        }
    }

    fn take_in_menu(&mut self, window: WindowId, happened: &Happened) -> Option<Choice> {
        let (menu_window, ui, menu) = self.menu.as_mut()?;
        if window != *menu_window {
            return None;
        }
        ui.note(happened);
        let theme = self.gui.theme();
        let mut canvas = self.gui.canvas(window)?;
        let mut page = ui.begin(&mut canvas, theme);
        let choice = menu.draw(&mut page);
        page.end();
        self.gui.present(window);
        if choice.is_some() {
            self.toggle_menu();
        }
        choice
    }

    fn toggle_menu(&mut self) {
        match self.menu.take() {
            Some((window, ..)) => self.gui.close(window),
            None => {
                let look = Look {
                    kind: Kind::Menu,
                    ..Look::default()
                };
                let window = self.gui.open("", menu::SIZE, look);
                self.menu = Some((window, Ui::default(), Menu));
            }
        }
        self.panel.menu_is_open = self.menu.is_some();
        self.paint_panel();
    }

    fn paint_background(&mut self) {
        let theme = self.gui.theme();
        if let Some(mut canvas) = self.gui.canvas(self.background) {
            wallpaper::paint(&mut canvas, theme);
            self.gui.present(self.background);
        }
    }

    fn paint_panel(&mut self) {
        let theme = self.gui.theme();
        let Some(mut canvas) = self.gui.canvas(self.panel_window) else {
            return;
        };
        let pressed = self.panel.paint(&mut canvas, theme);
        self.gui.present(self.panel_window);
        match pressed {
            Some(panel::Pressed::Menu) => self.toggle_menu(),
            Some(panel::Pressed::Window {
                window,
                focused,
                minimised,
            }) => {
                let demand = if focused && !minimised {
                    Demand::Minimise
                } else {
                    Demand::Raise
                };
                self.gui.ask(Request::Demand { window, demand });
            }
            None => {}
        }
    }
}

/// The desktop's own window that something happened to.
const fn of_window(happened: &Happened) -> Option<WindowId> {
    match happened {
        Happened::Resized(window)
        | Happened::Focus(window, _)
        | Happened::Key { window, .. }
        | Happened::Pointer { window, .. } => Some(*window),
        _ => None,
    }
}
