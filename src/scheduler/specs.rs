//! What extra specs ask of a place: `key: value`, or `key: <operator> value`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::db::Specs;

/// Specs with a scope other than `capabilities:` are not for us.
pub(super) fn satisfied(specs: &Specs, capabilities: &Map<String, Value>) -> bool {
    specs.iter().all(|(key, wanted)| {
        let path = match key.strip_prefix("capabilities:") {
            Some(path) => path,
            None if key.contains(':') => return true,
            None => key,
        };
        let mut parts = path.split(':');
        let first = parts.next().and_then(|part| capabilities.get(part));
        let Some(found) = parts.fold(first, |found, part| found?.get(part)) else { return false };
        match found {
            Value::Array(each) => each.iter().any(|found| matches(found, wanted.as_deref())),
            one => matches(one, wanted.as_deref()),
        }
    })
}

fn matches(found: &Value, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return found.is_null() };
    let mut words = wanted.split_whitespace();
    let operator = words.next().unwrap_or_default();
    let operand = words.next();
    let compare = |with: fn(Ordering) -> bool| {
        let ordering = number(found).zip(operand.and_then(|text| text.parse::<f64>().ok()));
        ordering.and_then(|(found, wanted)| found.partial_cmp(&wanted)).is_some_and(with)
    };
    let compare_text = |with: fn(Ordering) -> bool| {
        found.as_str().zip(operand).is_some_and(|(found, wanted)| with(found.cmp(wanted)))
    };
    match operator {
        // "At least", as the real service has it.
        "=" | ">=" => compare(Ordering::is_ge),
        "<=" => compare(Ordering::is_le),
        "==" => compare(Ordering::is_eq),
        "!=" => compare(Ordering::is_ne),
        "s==" => compare_text(Ordering::is_eq),
        "s!=" => compare_text(Ordering::is_ne),
        "s<" => compare_text(Ordering::is_lt),
        "s<=" => compare_text(Ordering::is_le),
        "s>" => compare_text(Ordering::is_gt),
        "s>=" => compare_text(Ordering::is_ge),
        "<in>" => found.as_str().zip(operand).is_some_and(|(found, wanted)| found.contains(wanted)),
        "<is>" => operand.is_some_and(|wanted| truth(found) == is_true(wanted)),
        "<or>" => alternatives(wanted).any(|wanted| found.as_str() == Some(wanted)),
        _ => found.as_str() == Some(wanted),
    }
}

/// `<or> one <or> another`
fn alternatives(wanted: &str) -> impl Iterator<Item = &str> {
    wanted.split_whitespace().skip(1).step_by(2)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::String(text) => is_true(text),
        Value::Number(number) => number.as_f64() == Some(1.0),
        _ => false,
    }
}

fn is_true(text: &str) -> bool {
    ["1", "t", "true", "on", "y", "yes"].contains(&text.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(key: &str, wanted: Option<&str>) -> bool {
        let Value::Object(capabilities) = json!({
            "volume_backend_name": "fast",
            "multiattach": true,
            "free_capacity_gb": 12.5,
            "storage_protocol": ["ceph", "rbd"],
            "nothing": null,
            "inner": {"depth": "2"},
        }) else {
            unreachable!("it is an object")
        };
        satisfied(&[(key.to_owned(), wanted.map(str::to_owned))].into(), &capabilities)
    }

    #[test]
    fn a_text_is_compared_as_it_is() {
        assert!(fits("volume_backend_name", Some("fast")));
        assert!(fits("capabilities:volume_backend_name", Some("fast")));
        assert!(!fits("volume_backend_name", Some("Fast")));
        assert!(!fits("no_such_capability", Some("x")));
        assert!(!fits("volume_backend_name", None));
        assert!(fits("nothing", None));
        assert!(fits("inner:depth", Some("9")), "another scope is not for us");
        assert!(fits("capabilities:inner:depth", Some("2")));
        assert!(!fits("capabilities:inner:width", Some("2")));
    }

    #[test]
    fn operators_compare() {
        for (key, wanted, expected) in [
            ("multiattach", "<is> True", true),
            ("multiattach", "<is> False", false),
            ("free_capacity_gb", ">= 12", true),
            ("free_capacity_gb", "= 13", false),
            ("free_capacity_gb", "== 12.5", true),
            ("free_capacity_gb", "!= 12.5", false),
            ("free_capacity_gb", "<= much", false),
            ("volume_backend_name", "<in> as", true),
            ("volume_backend_name", "<or> slow <or> fast", true),
            ("volume_backend_name", "<or> slow", false),
            ("volume_backend_name", "s== fast", true),
            ("volume_backend_name", "s!= fast", false),
            ("volume_backend_name", "s< slow", true),
            ("volume_backend_name", "s>= slow", false),
            ("volume_backend_name", "<in>", false),
        ] {
            assert_eq!(fits(key, Some(wanted)), expected, "{key}: {wanted}");
        }
    }

    #[test]
    fn of_several_values_one_is_enough() {
        assert!(fits("storage_protocol", Some("rbd")));
        assert!(!fits("storage_protocol", Some("iscsi")));
    }
}
