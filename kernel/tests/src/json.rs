//! The shell's JSON tables.

use serde_json::Value;

/// Reads a command's output: one JSON value, or one per line.
pub fn parse(output: &str) -> Result<Value, String> {
    let text = output.trim();
    if text.is_empty() {
        return Err("no output instead of JSON".into());
    }
    serde_json::from_str(text)
        .or_else(|whole| {
            let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
            lines.map(Value::Array).map_err(|_| whole)
        })
        .map_err(|error| format!("not JSON ({error}):\n{text}"))
}

/// The rows of a table: the array itself, or the only array in an object.
pub fn rows(value: &Value) -> Result<&Vec<Value>, String> {
    if let Some(rows) = value.as_array() {
        return Ok(rows);
    }
    let mut arrays = value
        .as_object()
        .into_iter()
        .flat_map(|object| object.values())
        .filter_map(Value::as_array);
    match (arrays.next(), arrays.next()) {
        (Some(rows), None) => Ok(rows),
        _ => Err(format!("no table in {value}")),
    }
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
    fn reads_both_shapes() {
        let array = parse("[{\"a\":1},{\"a\":2}]\n").expect("an array");
        assert_eq!(array, parse("{\"a\":1}\n{\"a\":2}\n").expect("lines"));
        assert_eq!(rows(&array).expect("rows").len(), 2);
        assert_eq!(count(&rows(&array).expect("rows")[1], "a"), Ok(2));
        let object = parse("{\"n\":1,\"tasks\":[{}]}").expect("an object");
        assert_eq!(rows(&object).expect("rows").len(), 1);
        assert!(parse("a table\nof text").is_err());
        assert!(parse(" ").is_err());
        assert!(rows(&parse("7").expect("a number")).is_err());
        assert!(count(&array, "a").is_err());
    }
}
