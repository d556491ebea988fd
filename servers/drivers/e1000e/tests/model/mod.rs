//! A model of a card: its registers, and the card's side of its rings (82574 datasheet §7.1, §7.2, §7.4).

use std::sync::{Arc, Mutex, MutexGuard};

use e1000e::registers::{DESCRIPTOR_BYTES, IVAR, cause, ctrl, register, status};
use pci::testing::{Line, Ram, RamBytes, RamSpace, Wires};
use pci::{Fault, Function, Shared, Space};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defect {
    #[default]
    None,
    FewMessages,
    ShortWindow,
    NeverResets,
    NoAddress,
    Gone,
}

pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x57];

pub struct State {
    defect: Defect,
    registers: Vec<u32>,
    /// Pending causes, and those that are let through.
    causes: u32,
    mask: u32,
    /// Writes of either tail.
    pub tails: [u32; 2],
    ram: Ram,
    wires: Wires,
}

#[derive(Clone)]
pub struct Model(Arc<Mutex<State>>);

impl Model {
    pub fn new(defect: Defect) -> Self {
        let mut state = State {
            defect,
            registers: vec![0; 0x8000 / 4],
            causes: 0,
            mask: u32::MAX,
            tails: [0; 2],
            ram: Ram::default(),
            wires: Wires::new(if defect == Defect::FewMessages { 1 } else { 5 }),
        };
        state.put(register::STATUS, status::LINK_UP);
        state.put(register::RCTL, 1 << 1);
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the model locked")
    }

    /// The card receives a frame: with this status beside "done", and these errors. False without room.
    pub fn arrive(&self, frame: &[u8], status: u8, errors: u8) -> bool {
        self.arrive_as(frame, frame.len() as u16, status, errors)
    }

    /// The same, of which it says that it has this length.
    pub fn arrive_as(&self, frame: &[u8], len: u16, status: u8, errors: u8) -> bool {
        let mut state = self.state();
        let (head, tail) = (state.get(register::RDH), state.get(register::RDT));
        if state.get(register::RCTL) & 2 == 0 || head == tail {
            let lost = state.get(register::MPC);
            state.put(register::MPC, lost + 1);
            return false;
        }
        let at = state.descriptor(register::RDBAL, head);
        let buffer = u64::from_le_bytes(state.ram.get(at));
        state.ram.write(buffer, frame);
        let [low, high] = len.to_le_bytes();
        let rest = [low, high, 0, 0, status | 1, errors, 0, 0];
        state.ram.write(at + 8, &rest);
        state.advance(register::RDH, register::RDLEN);
        state.raise(cause::RECEIVED);
        true
    }

    /// The card sends a frame, if there is one.
    pub fn leave(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        let (head, tail) = (state.get(register::TDH), state.get(register::TDT));
        if state.get(register::TCTL) & 2 == 0 || head == tail {
            return None;
        }
        let at = state.descriptor(register::TDBAL, head);
        let buffer = u64::from_le_bytes(state.ram.get(at));
        let [low, high, cso, command, status, ..] = state.ram.get::<8>(at + 8);
        assert_eq!((cso, command, status), (0, 0b1011, 0));
        let frame = state
            .ram
            .read(buffer, u16::from_le_bytes([low, high]).into());
        state.ram.write(at + 12, &[1]);
        state.advance(register::TDH, register::TDLEN);
        state.raise(cause::SENT);
        Some(frame)
    }

    pub fn set_link(&self, is_up: bool) {
        let mut state = self.state();
        state.put(register::STATUS, if is_up { status::LINK_UP } else { 0 });
        state.raise(cause::LINK | cause::OTHER);
    }

    /// It was pulled out.
    pub fn vanish(&self) {
        let mut state = self.state();
        state.raise(cause::LINK | cause::OTHER);
        state.defect = Defect::Gone;
    }

    pub fn register(&self, offset: usize) -> u32 {
        self.state().get(offset)
    }

    /// How often a message was sent that nobody has taken yet.
    pub fn pending(&self, message: usize) -> u32 {
        self.state().wires.pending(message)
    }
}

impl State {
    fn get(&self, offset: usize) -> u32 {
        self.registers[offset / 4]
    }

    fn put(&mut self, offset: usize, value: u32) {
        self.registers[offset / 4] = value;
    }

    fn descriptor(&self, low: usize, index: u32) -> u64 {
        let base = u64::from(self.get(low)) | u64::from(self.get(low + 4)) << 32;
        base + DESCRIPTOR_BYTES as u64 * u64::from(index)
    }

    fn advance(&mut self, head: usize, len: usize) {
        let count = self.get(len) / DESCRIPTOR_BYTES as u32;
        let next = (self.get(head) + 1) % count;
        self.put(head, next);
    }

    /// Causes become pending; those that are let through send their message, which masks and clears those that it is to (§7.4.2).
    fn raise(&mut self, causes: u32) {
        self.causes |= causes;
        for (group, shift) in [(cause::RECEIVED, 0), (cause::SENT, 8), (cause::OTHER, 16)] {
            if self.causes & self.mask & group == 0 {
                continue;
            }
            assert_eq!(self.get(register::IVAR), IVAR);
            self.wires.send((IVAR >> shift & 7) as usize);
            let automatic = self.get(register::EIAC) & group;
            self.causes &= !automatic;
            self.mask &= !automatic;
        }
    }

    fn reset(&mut self) {
        let status = self.get(register::STATUS);
        self.registers.fill(0);
        self.put(register::STATUS, status);
        (self.causes, self.mask) = (0, 0);
        if self.defect != Defect::NoAddress {
            let [a, b, c, d, e, f] = MAC;
            self.put(register::RAL, u32::from_le_bytes([a, b, c, d]));
            self.put(register::RAH, u32::from_le_bytes([e, f, 0, 0]) | 1 << 31);
        }
    }

    fn load(&mut self, offset: usize) -> u32 {
        if self.defect == Defect::Gone {
            return u32::MAX;
        }
        let value = self.get(offset);
        if (register::CRCERRS..register::RXCSUM).contains(&offset) {
            self.put(offset, 0);
        }
        value
    }

    fn store(&mut self, offset: usize, value: u32) {
        match offset {
            register::CTRL if value & ctrl::RESET != 0 => {
                if self.defect == Defect::NeverResets {
                    return self.put(offset, value);
                }
                assert_eq!(self.get(register::RCTL) & 2, 0, "reset while it receives");
                assert!(value & ctrl::MASTER_DISABLE != 0);
                return self.reset();
            }
            register::ICR => {
                self.causes &= !value;
                return;
            }
            register::IMS => {
                self.mask |= value;
                return self.raise(0);
            }
            register::IMC => {
                self.mask &= !value;
                return;
            }
            register::RDT => self.tails[0] += 1,
            register::TDT => self.tails[1] += 1,
            register::STATUS => panic!("the driver writes the status"),
            _ => {}
        }
        self.put(offset, value);
    }
}

pub enum ModelSpace {
    Window(Model),
    Memory(RamSpace),
}

impl Space for ModelSpace {
    fn len(&self) -> usize {
        match self {
            Self::Window(model) if model.state().defect == Defect::ShortWindow => 0x1000,
            Self::Window(_) => 0x2_0000,
            Self::Memory(memory) => memory.len(),
        }
    }
    fn load_u8(&self, offset: usize) -> u8 {
        match self {
            Self::Window(_) => panic!("registers are words"),
            Self::Memory(memory) => memory.load_u8(offset),
        }
    }
    fn load_u16(&self, offset: usize) -> u16 {
        match self {
            Self::Window(_) => panic!("registers are words"),
            Self::Memory(memory) => memory.load_u16(offset),
        }
    }
    fn load_u32(&self, offset: usize) -> u32 {
        match self {
            Self::Window(model) => model.state().load(offset),
            Self::Memory(memory) => memory.load_u32(offset),
        }
    }
    fn store_u8(&self, _: usize, _: u8) {
        panic!("nothing is a byte");
    }
    fn store_u16(&self, _: usize, _: u16) {
        panic!("nothing is a half word");
    }
    fn store_u32(&self, offset: usize, value: u32) {
        match self {
            Self::Window(model) => model.state().store(offset, value),
            Self::Memory(memory) => memory.store_u32(offset, value),
        }
    }
    fn read(&self, _: usize, _: &mut [u8]) -> bool {
        panic!("descriptors are read by fields");
    }
    fn write(&self, offset: usize, from: &[u8]) -> bool {
        match self {
            Self::Window(_) => panic!("registers are words"),
            Self::Memory(memory) => memory.write(offset, from),
        }
    }
}

impl Function for Model {
    type Space = ModelSpace;
    type Bytes = RamBytes;
    type Line = Line;

    fn config(&self, _: u16) -> u32 {
        u32::MAX
    }
    fn messages(&self) -> u32 {
        self.state().wires.count()
    }
    fn registers(&self, index: u8) -> Result<ModelSpace, Fault> {
        assert_eq!(index, 0);
        Ok(ModelSpace::Window(self.clone()))
    }
    fn interrupt(&self, index: u16) -> Result<Line, Fault> {
        Ok(self.state().wires.line(index))
    }
    fn memory(&self, bytes: usize) -> Result<Shared<ModelSpace>, Fault> {
        let Shared { space, address } = self.state().ram.shared(bytes);
        let space = ModelSpace::Memory(space);
        Ok(Shared { space, address })
    }
    fn bytes(&self, bytes: usize) -> Result<(RamBytes, u64), Fault> {
        Ok(self.state().ram.parts(bytes))
    }
}
