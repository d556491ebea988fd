//! The system's tables, row by row: for programs that show figures.

use abi::Error;
use proto::table::{MAX_ROW_BYTES, Reader, Row};

use crate::sys::object::System;

/// Reads all rows of a table. What is not a row ends it.
///
/// # Errors
/// [`Error::NoRight`].
pub fn for_each<R: Row>(system: &System, mut take: impl FnMut(R)) -> Result<(), Error> {
    let mut cursor = 0;
    let mut bytes = [0; 4 * MAX_ROW_BYTES];
    loop {
        let len = system.query(R::TABLE, &mut cursor, &mut bytes)?;
        if len == 0 {
            return Ok(());
        }
        for row in Reader::<R>::new(bytes.get(..len).unwrap_or_default()) {
            match row {
                Ok(row) => take(row),
                Err(_) => return Err(Error::BadArgument),
            }
        }
    }
}

/// The row of a table that has one.
///
/// # Errors
/// As [`for_each`]; [`Error::BadArgument`] too if there is none.
pub fn only<R: Row>(system: &System) -> Result<R, Error> {
    let mut cursor = 0;
    let mut bytes = [0; MAX_ROW_BYTES];
    let len = system.query(R::TABLE, &mut cursor, &mut bytes)?;
    let mut rows = Reader::<R>::new(bytes.get(..len).unwrap_or_default());
    rows.next().and_then(Result::ok).ok_or(Error::BadArgument)
}
