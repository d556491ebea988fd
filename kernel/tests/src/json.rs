//! The shell's JSON: one object, or a table of one object per line.

use serde_json::Value;

/// Reads a command's output that is one object.
pub fn object(output: &str) -> Result<Value, String> {
    let value: Value =
        serde_json::from_str(output.trim()).map_err(|error| not_json(&error, output))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(format!("not an object: {value}"))
    }
}

/// Reads a command's output that is a table: one object per line.
pub fn rows(output: &str) -> Result<Vec<Value>, String> {
    let rows: Result<Vec<Value>, _> = output.trim().lines().map(serde_json::from_str).collect();
    let rows = rows.map_err(|error| not_json(&error, output))?;
    match rows.iter().find(|row| !row.is_object()) {
        Some(row) => Err(format!("a row is not an object: {row}")),
        None => Ok(rows),
    }
}

fn not_json(error: &serde_json::Error, output: &str) -> String {
    format!("not JSON ({error}):\n{output}")
}

/// A field that must be a count.
pub fn count(row: &Value, field: &str) -> Result<u64, String> {
    row[field]
        .as_u64()
        .ok_or_else(|| format!("no number {field:?} in {row}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_objects_and_tables() {
        assert_eq!(
            count(&object("{\"a\":1}\n").expect("an object"), "a"),
            Ok(1)
        );
        let table = rows("{\"a\":1}\n{\"a\":2}\n").expect("a table");
        assert_eq!(
            table.iter().map(|row| count(row, "a")).collect::<Vec<_>>(),
            [Ok(1), Ok(2)]
        );
        assert_eq!(rows("").expect("no rows").len(), 0);
        assert!(
            object("{\"a\":1}\n{\"a\":2}").is_err() && object("7").is_err() && object("").is_err()
        );
        assert!(rows("a table\nof text").is_err() && rows("1\n2").is_err());
        assert!(count(&table[0], "b").is_err());
    }
}
