//! A model of a virtio function behind PCI: its registers, the memory it shares, and the device's side of its queues.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use virtio::hardware::testing::{Line, Ram, RamBytes, RamSpace, Wires};
use virtio::hardware::{Fault, Function, Shared, Space};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defect {
    #[default]
    None,
    NoCapabilities,
    NoCommon,
    EndlessCapabilities,
    OutsideOfWindow,
    NotifyOutside,
    Legacy,
    RefusesFeatures,
    NeverResets,
    NoVectors,
    Unsteady,
}

const WINDOW: u8 = 4;
const WINDOW_BYTES: usize = 0x4000;
const COMMON: u32 = 0;
const DEVICE: u32 = 0x2000;
const NOTIFY: u32 = 0x3000;
const MULTIPLIER: u32 = 4;
const EVENT_INDEX: u64 = 1 << 29;

#[derive(Clone, Default)]
pub struct QueueState {
    pub size: u16,
    pub vector: u16,
    pub enabled: bool,
    addresses: [u64; 3],
    /// How far the device has read and used it.
    read: u16,
    used: u16,
}

pub struct State {
    defect: Defect,
    config: [u32; 64],
    pub status: u8,
    pub statuses: Vec<u8>,
    offered: u64,
    pub agreed: u64,
    select: [u32; 2],
    generation: u8,
    config_vector: u16,
    queue_select: u16,
    pub queues: Vec<QueueState>,
    pub notified: Vec<u16>,
    /// What the device's own configuration answers to (select, subsel).
    pub answers: Vec<((u8, u8), Vec<u8>)>,
    asked: (u8, u8),
    /// The device's own configuration, if it is not asked for things: events, events seen, and what else there is.
    pub own: Option<Vec<u8>>,
    memory: Ram,
    wires: Wires,
}

#[derive(Clone)]
pub struct Model(Arc<Mutex<State>>);

/// A chain as the device sees it.
pub struct Chain {
    pub head: u16,
    /// Address, length, and whether the device writes it.
    pub parts: Vec<(u64, u32, bool)>,
}

impl Model {
    pub fn new(defect: Defect, queue_sizes: &[u16]) -> Self {
        let mut config = [0; 64];
        if defect != Defect::NoCapabilities {
            config[1] = 1 << 20;
        }
        config[0x34 / 4] = 0x42;
        let mut put = |at: usize, next: u32, sort: u32, length: u32, offset: u32, bytes: u32| {
            config[at / 4] = 9 | next << 8 | length << 16 | sort << 24;
            config[at / 4 + 1] = WINDOW.into();
            config[at / 4 + 2] = offset;
            config[at / 4 + 3] = bytes;
            config[at / 4 + 4] = MULTIPLIER;
        };
        let outside = if defect == Defect::OutsideOfWindow {
            u32::MAX - 8
        } else {
            0
        };
        // Another vendor's use of a window that is none, then one of no interest.
        put(0x40, 0x60, 1, 16, 0, 0x38);
        let sort = if defect == Defect::NoCommon { 77 } else { 1 };
        put(0x60, 0x80, sort, 16, COMMON + outside, 0x38);
        put(0x80, 0xa0, 4, 16, DEVICE, 0x100);
        let next = if defect == Defect::EndlessCapabilities {
            0x40
        } else {
            0
        };
        let bytes = if defect == Defect::NotifyOutside {
            3
        } else {
            0x1000
        };
        put(0xa0, next, 2, 20, NOTIFY, bytes);
        config[0x40 / 4 + 1] = 7;
        let queues = queue_sizes
            .iter()
            .map(|size| QueueState {
                size: *size,
                vector: 0xffff,
                ..QueueState::default()
            })
            .collect();
        Self(Arc::new(Mutex::new(State {
            defect,
            config,
            status: 0x80,
            statuses: Vec::new(),
            offered: if defect == Defect::Legacy {
                7
            } else {
                1 << 32 | 7
            },
            agreed: 0,
            select: [0; 2],
            generation: 0,
            config_vector: 0xffff,
            queue_select: 0,
            queues,
            notified: Vec::new(),
            answers: Vec::new(),
            asked: (0, 0),
            own: None,
            memory: Ram::default(),
            wires: Wires::new(8),
        })))
    }

    /// Offers these features too.
    pub fn offer(&self, features: u64) {
        self.state().offered |= features;
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the model locked")
    }

    /// The next chain that the driver made available.
    pub fn take(&self, queue: usize) -> Option<Chain> {
        let mut state = self.state();
        let QueueState {
            size,
            addresses: [descriptors, driver, _],
            read,
            ..
        } = state.queues[queue].clone();
        if state.u16_at(driver + 2) == read {
            return None;
        }
        let head = state.u16_at(driver + 4 + 2 * u64::from(read % size));
        let next = read.wrapping_add(1);
        state.queues[queue].read = next;
        if state.agreed & EVENT_INDEX != 0 {
            // It wants to be told of the one after this.
            let at = state.queues[queue].addresses[2] + 4 + 8 * u64::from(size);
            state.put(at, &next.to_le_bytes());
        }
        let (mut parts, mut index) = (Vec::new(), head);
        loop {
            assert!(index < size && parts.len() < size.into(), "a bad chain");
            let at = descriptors + 16 * u64::from(index);
            let flags = state.u16_at(at + 12);
            parts.push((state.u64_at(at), state.u32_at(at + 8), flags & 2 != 0));
            if flags & 1 == 0 {
                return Some(Chain { head, parts });
            }
            index = state.u16_at(at + 14);
        }
    }

    /// Gives something back, whatever it is, and interrupts if that is wanted.
    pub fn give(&self, queue: usize, head: u32, written: u32) {
        let mut state = self.state();
        let QueueState {
            size,
            addresses: [_, driver, device],
            used,
            ..
        } = state.queues[queue].clone();
        let entry = device + 4 + 8 * u64::from(used % size);
        state.put(entry, &head.to_le_bytes());
        state.put(entry + 4, &written.to_le_bytes());
        let used = used.wrapping_add(1);
        state.put(device + 2, &used.to_le_bytes());
        state.queues[queue].used = used;
        let is_wanted = if state.agreed & EVENT_INDEX != 0 {
            state.u16_at(driver + 4 + 2 * u64::from(size)) == used.wrapping_sub(1)
        } else {
            state.u16_at(driver) & 1 == 0
        };
        if is_wanted {
            let vector = state.queues[queue].vector;
            state.interrupt(vector.into());
        }
    }

    /// How many interrupts of a queue wait to be taken.
    pub fn pending(&self, queue: usize) -> u32 {
        let state = self.state();
        state.wires.pending(state.queues[queue].vector.into())
    }

    /// Sets the used ring's index, whatever was used.
    pub fn claim_used(&self, queue: usize, index: u16) {
        let state = self.state();
        let device = state.queues[queue].addresses[2];
        state.put(device + 2, &index.to_le_bytes());
    }

    /// What the device reads of memory that it was given.
    pub fn read(&self, address: u64, len: usize) -> Vec<u8> {
        self.state().memory.read(address, len)
    }

    /// The device's configuration has changed.
    pub fn interrupt_config(&self) {
        let mut state = self.state();
        let vector = state.config_vector;
        state.interrupt(vector.into());
    }

    /// What the device writes into memory that it was given.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        self.state().put(address, bytes);
    }
}

impl State {
    fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write(address, bytes);
    }
    fn u16_at(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.memory.get(address))
    }
    fn u32_at(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.memory.get(address))
    }
    fn u64_at(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.memory.get(address))
    }

    fn interrupt(&mut self, message: usize) {
        self.wires.send(message);
    }

    fn queue(&mut self) -> Option<&mut QueueState> {
        self.queues.get_mut(usize::from(self.queue_select))
    }

    fn answer(&self) -> Vec<u8> {
        let found = self.answers.iter().find(|(asked, _)| *asked == self.asked);
        found.map(|(_, answer)| answer.clone()).unwrap_or_default()
    }

    fn load(&mut self, offset: usize) -> u32 {
        if offset >= DEVICE as usize {
            if let Some(own) = &self.own {
                return own[offset - DEVICE as usize].into();
            }
            let answer = self.answer();
            return match offset - DEVICE as usize {
                0 => self.asked.0.into(),
                1 => self.asked.1.into(),
                2 => answer.len() as u32,
                at => answer.get(at.wrapping_sub(8)).copied().unwrap_or(0).into(),
            };
        }
        let defect = self.defect;
        match offset {
            0x04 => (self.offered >> (32 * self.select[0].min(1))) as u32,
            0x10 => self.config_vector.into(),
            0x12 => self.queues.len() as u32,
            0x14 => self.status.into(),
            0x15 => {
                if defect == Defect::Unsteady {
                    self.generation = self.generation.wrapping_add(1);
                }
                self.generation.into()
            }
            0x18 => self.queue().map_or(0, |queue| queue.size.into()),
            0x1a => self.queue().map_or(0xffff, |queue| queue.vector.into()),
            0x1e => self.queue_select.into(),
            _ => 0,
        }
    }

    fn store(&mut self, offset: usize, value: u32) {
        if offset >= NOTIFY as usize {
            assert_eq!((offset - NOTIFY as usize) as u32, value * MULTIPLIER);
            return self.notified.push(value as u16);
        }
        if offset >= DEVICE as usize {
            if let Some(own) = &mut self.own {
                assert_eq!(offset - DEVICE as usize, 4);
                own[0] &= !(value as u8);
                return;
            }
            match offset - DEVICE as usize {
                0 => self.asked.0 = value as u8,
                1 => self.asked.1 = value as u8,
                other => panic!("the driver writes configuration {other}"),
            }
            return;
        }
        let defect = self.defect;
        match offset {
            0x00 => self.select[0] = value,
            0x10 => self.config_vector = value as u16,
            0x08 => self.select[1] = value,
            0x0c => self.agreed |= u64::from(value) << (32 * self.select[1]),
            0x14 => {
                let mut value = value as u8;
                self.statuses.push(value);
                if defect == Defect::NeverResets && value == 0 {
                    return;
                }
                if defect == Defect::RefusesFeatures {
                    value &= !8;
                }
                self.status = value;
            }
            0x16 => self.queue_select = value as u16,
            0x18 => {
                if let Some(queue) = self.queue() {
                    assert!((value as u16).is_power_of_two() && value as u16 <= queue.size);
                    queue.size = value as u16;
                }
            }
            0x1a if defect == Defect::NoVectors => {}
            0x1a => {
                if let Some(queue) = self.queue() {
                    queue.vector = value as u16;
                }
            }
            0x1c => {
                assert_eq!(value, 1);
                if let Some(queue) = self.queue() {
                    queue.enabled = true;
                }
            }
            0x20..=0x34 => {
                let (which, shift) = ((offset - 0x20) / 8, (offset & 4) as u32 * 8);
                if let Some(queue) = self.queue() {
                    queue.addresses[which] |= u64::from(value) << shift;
                }
            }
            other => panic!("the driver writes register {other:#x}"),
        }
    }
}

pub enum ModelSpace {
    Window(Model),
    Memory(RamSpace),
}

impl ModelSpace {
    fn load(&self, offset: usize, bytes: usize) -> u32 {
        match self {
            Self::Window(model) => model.state().load(offset),
            Self::Memory(memory) => match bytes {
                1 => memory.load_u8(offset).into(),
                2 => memory.load_u16(offset).into(),
                _ => memory.load_u32(offset),
            },
        }
    }

    fn store(&self, offset: usize, value: u32, bytes: usize) {
        match self {
            Self::Window(model) => model.state().store(offset, value),
            Self::Memory(memory) => {
                let inside = memory.write(offset, &value.to_le_bytes()[..bytes]);
                assert!(inside, "the driver leaves its memory");
            }
        }
    }
}

impl Space for ModelSpace {
    fn len(&self) -> usize {
        match self {
            Self::Window(_) => WINDOW_BYTES,
            Self::Memory(memory) => memory.len(),
        }
    }
    fn load_u8(&self, offset: usize) -> u8 {
        self.load(offset, 1) as u8
    }
    fn load_u16(&self, offset: usize) -> u16 {
        self.load(offset, 2) as u16
    }
    fn load_u32(&self, offset: usize) -> u32 {
        self.load(offset, 4)
    }
    fn store_u8(&self, offset: usize, value: u8) {
        self.store(offset, value.into(), 1);
    }
    fn store_u16(&self, offset: usize, value: u16) {
        self.store(offset, value.into(), 2);
    }
    fn store_u32(&self, offset: usize, value: u32) {
        self.store(offset, value, 4);
    }
    fn read(&self, offset: usize, to: &mut [u8]) -> bool {
        for (at, byte) in (offset..).zip(to.iter_mut()) {
            *byte = self.load_u8(at);
        }
        offset + to.len() <= self.len()
    }
    fn write(&self, offset: usize, from: &[u8]) -> bool {
        for (at, byte) in (offset..).zip(from) {
            self.store_u8(at, *byte);
        }
        true
    }
}

impl Function for Model {
    type Space = ModelSpace;
    type Bytes = RamBytes;
    type Line = Line;

    fn config(&self, offset: u16) -> u32 {
        assert!(offset.is_multiple_of(4));
        self.state()
            .config
            .get(usize::from(offset / 4))
            .copied()
            .unwrap_or(u32::MAX)
    }
    fn messages(&self) -> u32 {
        self.state().wires.count()
    }
    fn registers(&self, index: u8) -> Result<ModelSpace, Fault> {
        assert_eq!(index, WINDOW);
        Ok(ModelSpace::Window(self.clone()))
    }
    fn interrupt(&self, index: u16) -> Result<Line, Fault> {
        Ok(self.state().wires.line(index))
    }
    fn bytes(&self, bytes: usize) -> Result<(RamBytes, u64), Fault> {
        Ok(self.state().memory.parts(bytes))
    }
    fn memory(&self, bytes: usize) -> Result<Shared<ModelSpace>, Fault> {
        let Shared { space, address } = self.state().memory.shared(bytes);
        let space = ModelSpace::Memory(space);
        Ok(Shared { space, address })
    }
}

/// Chains that the device has taken and not given back.
pub type Taken = VecDeque<Chain>;
