//! The schemas are schemas, and say what everything is.
#![allow(clippy::unwrap_used)]

use counterpoint_dataset::Schema;
use serde_json::Value;

/// Every part of a schema that describes a value.
fn parts(schema: &Value, at: String, found: &mut Vec<(String, Value)>) {
    let Value::Object(map) = schema else { return };
    if ["type", "enum"].iter().any(|key| map.contains_key(*key)) {
        found.push((at.clone(), schema.clone()));
    }
    for key in ["items", "additionalProperties"] {
        map.get(key).iter().for_each(|part| parts(part, format!("{at}/{key}"), found));
    }
    for key in ["properties", "$defs"] {
        for (name, part) in map.get(key).and_then(Value::as_object).into_iter().flatten() {
            parts(part, format!("{at}/{key}/{name}"), found);
        }
    }
}

#[test]
fn every_schema_is_valid_and_says_what_each_value_is() {
    for schema in Schema::ALL {
        let value: Value = serde_json::from_str(schema.text()).unwrap();
        jsonschema::meta::validate(&value).unwrap_or_else(|e| panic!("{schema:?}: {e}"));
        assert_eq!(value["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(value["title"].as_str().is_some_and(|title| title.contains(".json")), "{schema:?}");
        let mut all = Vec::new();
        parts(&value, String::new(), &mut all);
        for (at, part) in all {
            assert!(part["description"].as_str().is_some_and(|text| text.len() > 10), "{schema:?} {at}");
        }
    }
}
