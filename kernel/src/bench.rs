//! The latency bench's place in the kernel: COM2 as its line to the harness, and what probes need besides the executor.
//!
//! Runs if `bench.phases=` is on the command line (any value but `none`), and `init=off`. Without the latter `bench.phases=` makes `programs/bench` the
//! first program ([`program`]), which measures what programs meet.

use core::fmt::Write;

use bench_guest::{Host, SAMPLES};
use conquer_once::spin::OnceCell;
use hal::io::LegacyDevice;
use hal::irq::{Doorbell, Interrupt, IrqError};
use hal::platform::KernelPlatform;
use rt::Pipe;
use uart16550::{Config, Uart};

use crate::devices::{Line, Ports};
use crate::exec::{self, CoreId};
use crate::options::options;

const COM2_ISA_IRQ: u8 = 3;

static RECEIVED: Pipe<256> = Pipe::new();
static TO_SEND: Pipe<1024> = Pipe::new();
/// Samples of one metric, in memory that is there from the start: a probe does not allocate.
static SAMPLE_MEMORY: spin::Mutex<Option<[u64; SAMPLES]>> = spin::Mutex::new(Some([0; SAMPLES]));

static HOST: OnceCell<KernelHost> = OnceCell::uninit();

struct KernelHost {
    here: Bell,
    /// Of the second core, if there is one.
    there: Option<Bell>,
}

/// An interrupt that this kernel raises by itself.
struct Bell {
    interrupt: Interrupt,
    doorbell: Doorbell,
}

impl Bell {
    fn new(core: u32) -> Result<Self, IrqError> {
        let interrupt = hal::irq::claim_msi("bench", core)?;
        Ok(Self {
            doorbell: interrupt.doorbell(),
            interrupt,
        })
    }

    async fn wait(&self) -> u64 {
        let event = self.interrupt.wait().await;
        self.interrupt.ack();
        event.stamp_ticks
    }
}

impl Host for KernelHost {
    fn ns(&self, ticks: u64) -> u64 {
        hal::time::ticks_to_ns(ticks)
    }

    fn cores(&self) -> u32 {
        hal::cpu::percpu::count()
    }

    fn raise_interrupt(&self) {
        self.here.doorbell.ring();
    }

    async fn interrupt(&self) -> u64 {
        self.here.wait().await
    }

    fn raise_interrupt_there(&self) {
        if let Some(bell) = &self.there {
            bell.doorbell.ring();
        }
    }

    async fn interrupt_there(&self) -> u64 {
        match &self.there {
            Some(bell) => bell.wait().await,
            None => core::future::pending().await,
        }
    }

    fn memory_in_use(&self) -> u64 {
        hal::mem::heap::stats().used_bytes as u64
    }
}

/// Longest line of a program with its arguments.
const MOST_PROGRAM_BYTES: usize = 48;

/// The first program that `bench.` words ask for, with its arguments.
pub fn program() -> Option<heapless::String<MOST_PROGRAM_BYTES>> {
    let words = &options().words;
    let seconds = match words.text("bench.phases")? {
        "none" => 0,
        _ => ["bench.seconds", "bench.timer_idle"]
            .iter()
            .find_map(|word| words.number(word).ok().flatten())
            .unwrap_or(2),
    };
    let mut program = heapless::String::new();
    // A number has at most 20 digits.
    let _ = write!(program, "programs/bench {seconds}");
    Some(program)
}

/// Writes the byte by which a harness notes that the kernel runs its first program, and starts the bench if asked for.
pub fn start() {
    #[cfg(feature = "inject")]
    for word in options().words.all("inject") {
        if !word.value.is_some_and(inject::obey) {
            ::log::error!(target: "bench", "inject={}: METRIC:AMOUNT of a metric with a path is needed", word.value.unwrap_or_default());
        }
    }
    // With a first process the measuring is that one's.
    let words = &options().words;
    let (Some(phases), Some("off")) = (words.text("bench.phases"), words.text("init")) else {
        return;
    };
    if let Some(console) = hal::io::claim(LegacyDevice::DebugConsole) {
        console.write_u8(0, b'U');
    }
    if phases == "none" {
        return;
    }
    let Some(ports) = hal::io::claim(LegacyDevice::Com2) else {
        return ::log::error!(target: "bench", "the second serial port has a driver already");
    };
    let line = match hal::irq::claim_isa(COM2_ISA_IRQ, "com2", 0) {
        Ok(interrupt) => Line::new(interrupt),
        Err(error) => return ::log::error!(target: "bench", "{error}"),
    };
    let config = Config {
        base_port: ports.base(),
        baud: uart16550::MAX_BAUD,
    };
    let uart = match Uart::probe(Ports::new(ports), line, config) {
        Ok(uart) => uart,
        Err(error) => return ::log::error!(target: "bench", "the harness's line: {error}"),
    };
    let there = (hal::cpu::percpu::count() > 1)
        .then(|| Bell::new(1))
        .transpose();
    let (here, there) = match (Bell::new(0), there) {
        (Ok(here), Ok(there)) => (here, there),
        (Err(error), _) | (_, Err(error)) => return ::log::error!(target: "bench", "{error}"),
    };
    let (Ok((received_in, _)), Ok((send_in, send_out))) = (RECEIVED.split(), TO_SEND.split())
    else {
        return ::log::error!(target: "bench", "started twice");
    };
    exec::spawn("com2", CoreId::FIRST, exec::DRIVER_DEADLINE, async move {
        let end = uart.run(&received_in, &send_out).await;
        ::log::debug!(target: "bench", "the harness's line ended: {end:?}");
    });
    exec::spawn_best_effort("bench", CoreId::FIRST, async move {
        let Some(mut memory) = SAMPLE_MEMORY.lock().take() else {
            return;
        };
        let host = HOST.get_or_init(|| KernelHost { here, there });
        let mut name = heapless::String::<32>::new();
        // Sized for any version.
        let _ = write!(name, "raede {}", env!("CARGO_PKG_VERSION"));
        match bench_guest::run::<KernelPlatform>(host, &name, &send_in, &mut memory).await {
            Ok(()) => ::log::info!(target: "bench", "done"),
            Err(closed) => ::log::warn!(target: "bench", "{closed}"),
        }
    });
}
