//! Ports of a device.

use abi::{Error, ObjectType};
use hal::io::{self, LegacyDevice, PortRange};
use objects::job::Job;
use objects::object::Header;
use objects::refs::Ref;

use super::DeviceObject;

/// Ports that one holder may use.
pub struct IoRange {
    header: Header,
    ports: PortRange,
    _device: Option<Ref<DeviceObject>>,
}

impl IoRange {
    /// The ports of a device that every PC has.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for ports that are not exactly such a device's, [`Error::Occupied`] if somebody has them,
    /// [`Error::NoMemory`].
    pub fn legacy(job: &Ref<Job>, first: u64, count: u64) -> Result<Ref<Self>, Error> {
        let part = |number| u16::try_from(number).map_err(|_| Error::Unsupported);
        let device = LegacyDevice::at(part(first)?, part(count)?).ok_or(Error::Unsupported)?;
        Self::new(job, io::claim(device).ok_or(Error::Occupied)?, None)
    }

    /// A device's ports.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(
        job: &Ref<Job>,
        ports: PortRange,
        device: Option<Ref<DeviceObject>>,
    ) -> Result<Ref<Self>, Error> {
        let header = Header::new(ObjectType::IoRange, job, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self {
            header,
            ports,
            _device: device,
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The offset, if so wide a port is in the range.
    fn offset(&self, offset: u64, width: u16) -> Result<u16, Error> {
        u16::try_from(offset)
            .ok()
            .filter(|offset| {
                offset
                    .checked_add(width)
                    .is_some_and(|end| end <= self.ports.len())
            })
            .ok_or(Error::OutOfRange)
    }

    /// Reads the port at `offset`, 1, 2 or 4 bytes wide.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for another width, [`Error::OutOfRange`].
    pub fn read(&self, offset: u64, width: u64) -> Result<u32, Error> {
        Ok(match width {
            1 => self.ports.read_u8(self.offset(offset, 1)?).into(),
            2 => self.ports.read_u16(self.offset(offset, 2)?).into(),
            4 => self.ports.read_u32(self.offset(offset, 4)?),
            _ => return Err(Error::BadArgument),
        })
    }

    /// Writes the port at `offset`, 1, 2 or 4 bytes wide.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::OutOfRange`] too for a value that is wider.
    pub fn write(&self, offset: u64, width: u64, value: u64) -> Result<(), Error> {
        let too_wide = |_| Error::OutOfRange;
        match width {
            1 => {
                let value = u8::try_from(value).map_err(too_wide)?;
                self.ports.write_u8(self.offset(offset, 1)?, value);
            }
            2 => {
                let value = u16::try_from(value).map_err(too_wide)?;
                self.ports.write_u16(self.offset(offset, 2)?, value);
            }
            4 => {
                let value = u32::try_from(value).map_err(too_wide)?;
                self.ports.write_u32(self.offset(offset, 4)?, value);
            }
            _ => return Err(Error::BadArgument),
        }
        Ok(())
    }
}
