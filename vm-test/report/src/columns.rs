// SPDX-License-Identifier: GPL-2.0

//! Rows as compact JSON: an array for each field, under its name.
//!
//! `[{"time": 1, "kind": "wake"}, ..]` becomes `{"time": [1, ..], "kind": {"words": ["wake", ..],
//! "at": [0, ..]}}`.

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

/// Words of a column that has few different values.
const WORDS: usize = 64;

/// Serializes structures as columns: for `#[serde(serialize_with)]`.
pub fn columns<T: Serialize, S: Serializer>(rows: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    let mut columns: Map<String, Value> = Map::new();
    for row in rows {
        let Value::Object(fields) = serde_json::to_value(row).map_err(S::Error::custom)? else {
            return Err(S::Error::custom("a row without names"));
        };
        for (name, value) in fields {
            if let Value::Array(values) = columns.entry(name).or_insert_with(|| json!([])) {
                values.push(value);
            }
        }
    }
    for column in columns.values_mut() {
        if let Some(words) = column.as_array().and_then(|values| words(values)) {
            *column = words;
        }
    }
    columns.serialize(serializer)
}

/// Returns the column with a number in place of each word, if that is shorter.
fn words(values: &[Value]) -> Option<Value> {
    let mut words: Vec<&Value> = vec![];
    let mut at = vec![];
    for value in values {
        if !(value.is_string() || value.is_null()) {
            return None;
        }
        at.push(words.iter().position(|word| *word == value).unwrap_or_else(|| {
            words.push(value);
            words.len() - 1
        }));
        if words.len() > WORDS {
            return None;
        }
    }
    (words.len() * 2 <= at.len()).then(|| json!({ "words": words, "at": at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        time: i64,
        kind: Option<&'static str>,
    }

    fn json(rows: &[Row]) -> Value {
        columns(rows, serde_json::value::Serializer).unwrap()
    }

    #[test]
    fn rows_become_columns_under_their_names() {
        let row = |time, kind| Row { time, kind };
        assert_eq!(json(&[]), json!({}));
        let few = json(&[row(1, Some("wake")), row(2, None)]);
        assert_eq!(few, json!({ "time": [1, 2], "kind": ["wake", null] }));
        let many = json(&[row(1, Some("run")), row(2, None), row(3, None), row(4, Some("run"))]);
        let kinds = json!({ "words": ["run", null], "at": [0, 1, 1, 0] });
        assert_eq!(many, json!({ "time": [1, 2, 3, 4], "kind": kinds }));
        assert!(columns(&[1], serde_json::value::Serializer).is_err());
    }
}
