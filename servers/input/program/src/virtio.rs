//! Drives the keyboards, mice and tablets that are virtio devices: all that were there when the system started. The kernel does not
//! look for PCI functions later, so one that is plugged in then is not seen.

use alloc::string::String;
use alloc::sync::Arc;

use input::evdev::{self, ABSOLUTE_AXES, Range, RawEvent};
use input::{MAX_DEVICES, ps2};
use rt::sys::clock;
use rt::sys::object::Device;
use rt::{Env, MonotonicClock};
use virtio::Fault;
use virtio::hardware::Ring3;
use virtio::input::Input;

use crate::hub::Hub;

/// Their interrupts are taken by the first core.
const CORE: u32 = 0;
/// Handles to the devices: the first has the name alone, the others a number behind it.
const NAME: &str = "virtio-input";

/// Starts a task for each that this process was given.
pub fn start(env: &mut Env, hub: &Arc<Hub>) {
    let is_one = |name: &&str| {
        let rest = name.strip_prefix(NAME);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut number = ps2::FIRST_FREE;
    for name in env.names().filter(is_one) {
        let Ok(device) = env.take::<Device>(name) else {
            continue;
        };
        if usize::from(number) >= MAX_DEVICES {
            return log::warn!("{name} and later ones are left out: no room");
        }
        let hub = Arc::clone(hub);
        if rt::spawn("virtio", drive(device, hub, name, number)).is_err() {
            return log::error!("no room for the tasks of virtio devices");
        }
        number += 1;
    }
}

/// Drives one for as long as it behaves.
async fn drive(device: Device, hub: Arc<Hub>, name: &str, number: u8) {
    let end = match bring_up(device, name, number).await {
        Ok((mut input, mut device)) => loop {
            match input.next().await {
                Ok(event) => {
                    let raw = RawEvent {
                        kind: event.kind,
                        code: event.code,
                        value: event.value,
                    };
                    while !hub.feed(|seat| device.event(seat, raw, event.stamp_ticks)) {
                        hub.room().await;
                    }
                }
                Err(fault) => break fault,
            }
        },
        Err(fault) => fault,
    };
    log::error!("{name}: the virtio input device is not driven: {end}");
    loop {
        let mut is_done = false;
        hub.feed(|seat| is_done = seat.release(number, clock::now_ticks()));
        if is_done {
            return;
        }
        hub.room().await;
    }
}

async fn bring_up(
    device: Device,
    name: &str,
    number: u8,
) -> Result<(Input<Ring3>, evdev::Device), Fault> {
    let input = Input::start(Ring3::new(device, CORE)?, &MonotonicClock).await?;
    let mut axes = [Range::default(); 2];
    for (range, axis) in axes.iter_mut().zip(ABSOLUTE_AXES) {
        if let Some(axis) = input.axis(axis)? {
            *range = Range {
                min: axis.min,
                max: axis.max,
            };
        }
    }
    let model = input.name()?;
    let model = String::from_utf8_lossy(&model);
    log::info!("{name}: device {number}: {}", model.escape_debug());
    Ok((input, evdev::Device::new(number, axes)))
}
