//! Drives the keyboards, mice and tablets that are virtio devices: those that were there when the system started, and those that are
//! plugged in later, until they are taken out.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU16, Ordering};

use input::evdev::{self, ABSOLUTE_AXES, Range, RawEvent};
use input::{MAX_DEVICES, ps2};
use rt::plugged::{DeviceName, Plugged, TakenOut};
use rt::sys::clock;
use rt::sys::object::Device;
use rt::{Either, Env, MonotonicClock, first};
use virtio::Fault;
use virtio::hardware::Ring3;
use virtio::input::Input;

use crate::hub::Hub;

/// Their interrupts are taken by the first core.
const CORE: u32 = 0;
/// Handles to the devices: the first has the name alone, the others a number behind it.
const NAME: &str = "virtio-input";

/// Numbers of devices that are taken: a bit for each. Those of the i8042's are not used here.
#[derive(Debug, Default)]
struct Numbers(AtomicU16);

const _: () = assert!(MAX_DEVICES <= u16::BITS as usize, "a bit for each device");

impl Numbers {
    fn take(&self) -> Option<u8> {
        let taken = self.0.load(Ordering::Relaxed);
        let free = (ps2::FIRST_FREE..MAX_DEVICES as u8).find(|number| taken & 1 << number == 0)?;
        self.0.fetch_or(1 << free, Ordering::Relaxed);
        Some(free)
    }

    fn give_back(&self, number: u8) {
        self.0.fetch_and(!(1 << number), Ordering::Relaxed);
    }
}

/// Why one is not driven any more.
enum End {
    TakenOut,
    Fault(Fault),
}

/// Starts a task for each that this process was given, and one for those to come.
pub fn start(env: &mut Env, hub: &Arc<Hub>) {
    let numbers = Arc::new(Numbers::default());
    let is_one = |name: &&str| {
        let rest = name.strip_prefix(NAME);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    for name in env.names().filter(is_one) {
        if let Ok(device) = env.take::<Device>(name) {
            start_one(device, hub, DeviceName::from_start(name), &numbers);
        }
    }
    // Without the handle there is no manager that would send any.
    let Ok(channel) = env.take(Plugged::HANDLE) else {
        return;
    };
    match Plugged::new(channel) {
        Ok(plugged) => {
            let hub = Arc::clone(hub);
            if rt::spawn("plugged", take_in(plugged, hub, numbers)).is_err() {
                log::error!("no room for the task that takes devices in");
            }
        }
        Err(error) => log::error!("devices that are plugged in are not heard of: {error}"),
    }
}

/// Takes in what is plugged in.
async fn take_in(plugged: Plugged, hub: Arc<Hub>, numbers: Arc<Numbers>) {
    loop {
        match plugged.next().await {
            Ok((name, device)) => start_one(device, &hub, name, &numbers),
            Err(error) => return log::error!("no devices are taken in any more: {error}"),
        }
    }
}

fn start_one(device: Device, hub: &Arc<Hub>, name: DeviceName, numbers: &Arc<Numbers>) {
    let Some(number) = numbers.take() else {
        return log::warn!("{name} is left out: there are {MAX_DEVICES} devices");
    };
    let (hub, known) = (Arc::clone(hub), Arc::clone(numbers));
    if rt::spawn("virtio", drive(device, hub, name, number, known)).is_err() {
        numbers.give_back(number);
        log::error!("no room for the tasks of virtio devices");
    }
}

/// Drives one for as long as it is there and behaves.
async fn drive(device: Device, hub: Arc<Hub>, name: DeviceName, number: u8, numbers: Arc<Numbers>) {
    // With it all handles to the device are closed.
    match run(device, &hub, &name, number).await {
        End::TakenOut => log::info!("{name}: device {number} was taken out"),
        End::Fault(fault) => log::error!("{name}: the virtio input device is not driven: {fault}"),
    }
    loop {
        let mut is_done = false;
        hub.feed(|seat| is_done = seat.release(number, clock::now_ticks()));
        if is_done {
            break;
        }
        hub.room().await;
    }
    numbers.give_back(number);
}

async fn run(device: Device, hub: &Hub, name: &str, number: u8) -> End {
    let taken_out = match TakenOut::of(&device) {
        Ok(taken_out) => taken_out,
        Err(error) => return End::Fault(Fault::Refused("watching it", error)),
    };
    match first(taken_out.wait(), pass_on(device, hub, name, number)).await {
        Either::A(()) => End::TakenOut,
        Either::B(fault) => End::Fault(fault),
    }
}

/// Passes on what happens at it, until it misbehaves.
async fn pass_on(device: Device, hub: &Hub, name: &str, number: u8) -> Fault {
    let (mut input, mut device) = match bring_up(device, name, number).await {
        Ok(both) => both,
        Err(fault) => return fault,
    };
    loop {
        let event = match input.next().await {
            Ok(event) => event,
            Err(fault) => return fault,
        };
        let raw = RawEvent {
            kind: event.kind,
            code: event.code,
            value: event.value,
        };
        while !hub.feed(|seat| device.event(seat, raw, event.stamp_ticks)) {
            hub.room().await;
        }
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
