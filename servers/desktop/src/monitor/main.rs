//! The system monitor: cores, processes, services, frames, reservations; ends a process, restarts a service.
//!
//! Handles: `desktop` (the compositor, which tells how frames went only to the desktop's programs), `system` (the tables), `manager` (services, and ending processes).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod figures;
mod latency;
mod pages;
mod reservations;

use alloc::sync::Arc;
use core::time::Duration;

use gui::{Gui, Happened, Look, Size, Ui, WindowId};
use proto::Services;
use proto::services::Action;
use proto::window::Request;
use rt::sys::object::System;
use rt::{Either, Env, first, sleep};
use shell_host::Host;

use figures::Figures;
use pages::{Pages, Wish};

rt::entry!(async main);

const SIZE: Size = Size {
    width: 760,
    height: 520,
};
/// How often the figures are read.
const EVERY: Duration = Duration::from_secs(1);
/// What a process ends with that a person ends.
const ENDED_BY_HAND: i32 = -9;

async fn main(mut env: Env) -> i32 {
    match run(&mut env).await {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

async fn run(env: &mut Env) -> Result<(), alloc::string::String> {
    let text = |error: &dyn core::fmt::Display| alloc::format!("{error}");
    let system: System = env.take("system").map_err(|missing| text(&missing))?;
    let mut gui = Gui::connect_desktop(env)
        .await
        .map_err(|error| text(&error))?;
    let host = Host::new(system, Arc::clone(gui.manager())).map_err(|error| text(&error))?;
    let look = Look {
        smallest: Size {
            width: 560,
            height: 300,
        },
        ..Look::default()
    };
    let window = gui.open("System monitor", SIZE, look);
    gui.manager().say_ready().map_err(|error| text(&error))?;
    let (mut ui, mut pages, mut figures) = (Ui::default(), Pages::default(), Figures::default());
    figures.read(&host).await;
    let mut is_visible = true;
    loop {
        match first(gui.next(), sleep(EVERY)).await {
            Either::A(Ok(Happened::CloseAsked(_))) => return Ok(()),
            Either::A(Ok(Happened::Shown { .. })) => continue,
            Either::A(Ok(Happened::Visible(_, visible))) => is_visible = visible,
            Either::A(Ok(Happened::Frames(frames))) => figures.frames = frames,
            Either::A(Ok(happened)) => {
                ui.note(&happened);
                pages.note(&happened);
            }
            Either::A(Err(error)) => return Err(text(&error)),
            Either::B(()) if !is_visible => continue,
            Either::B(()) => {
                gui.ask(Request::Measure { anew: false });
                figures.read(&host).await;
            }
        }
        let wish = paint(&mut gui, window, &mut ui, &mut pages, &figures);
        if let Some(wish) = wish {
            carry_out(wish, &host, &mut pages).await;
            figures.read(&host).await;
        }
    }
}

fn paint(
    gui: &mut Gui,
    window: WindowId,
    ui: &mut Ui,
    pages: &mut Pages,
    figures: &Figures,
) -> Option<Wish> {
    let theme = gui.theme();
    let mut canvas = gui.canvas(window)?;
    let mut page = ui.begin(&mut canvas, theme);
    let wish = pages.draw(&mut page, figures);
    page.end();
    gui.present(window);
    wish
}

async fn carry_out(wish: Wish, host: &Host, pages: &mut Pages) {
    let done = match &wish {
        Wish::End(process) => host.kill(*process, ENDED_BY_HAND).await,
        Wish::Restart(unit) => host.act(unit, Action::Restart).await,
    };
    pages.say(&wish, done.as_ref().err());
}
