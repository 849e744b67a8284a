//! What is refused, and in which words: those of the real service's JSON schemas.

use serde_json::Value;

use super::super::fault::Fault;
use super::super::python::{repr, repr_text, text};
use super::LONGEST;
use crate::config::Limits;
use crate::model::Gib;

/// Whether a thing may have so many metadata items; what it had already it may keep.
pub fn check_growth(before: usize, after: usize, limits: &Limits) -> Result<(), Fault> {
    if after > before { check_count(after, limits) } else { Ok(()) }
}

/// Whether a thing may have so many metadata items.
pub fn check_count(items: usize, limits: &Limits) -> Result<(), Fault> {
    match u32::try_from(items) {
        Ok(items) if items <= limits.max_metadata_items => Ok(()),
        _ => Err(Fault::TooMuchMetadata(limits.max_metadata_items)),
    }
}

/// Refuses the name of something when it is too long.
pub fn check_name(label: &str, name: &str) -> Result<(), Fault> {
    match name.chars().count() {
        length if length > LONGEST => {
            Err(Fault::InvalidInput(format!("{label} has {length} characters, more than {LONGEST}.")))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_length(path: &str, text: &str, least: usize) -> Result<(), Fault> {
    let length = text.chars().count();
    if length < least {
        Err(refused_text(path, text, "should be non-empty"))
    } else if length > LONGEST {
        Err(refused_text(path, text, "is too long"))
    } else {
        Ok(())
    }
}

pub(super) fn check_bytes(path: &str, text: &str) -> Result<(), Fault> {
    if text.len() > usize::from(u16::MAX) {
        return Err(refused_text(path, text, "is not a 'mysql_text'"));
    }
    Ok(())
}

pub(super) fn refused_name(complaint: &str) -> Fault {
    Fault::Invalid(format!("An invalid 'name' value was provided. {complaint}"))
}

pub(super) fn refused(path: Option<&str>, value: &Value, message: String) -> Fault {
    Fault::Invalid(match path {
        Some(path) => format!("Invalid input for field/attribute {path}. Value: {}. {message}", text(value)),
        None => message,
    })
}

pub(super) fn refused_text(path: &str, value: &str, complaint: &str) -> Fault {
    refused(Some(path), &Value::String(value.to_owned()), format!("{} {complaint}", repr_text(value)))
}

pub(super) fn refused_by_all(path: &str, value: &Value) -> Fault {
    refused(Some(path), value, format!("{} is not valid under any of the given schemas", repr(value)))
}

pub(super) fn not_of_type(value: &Value, types: &[&str]) -> String {
    let types: Vec<String> = types.iter().map(|name| repr_text(name)).collect();
    format!("{} is not of type {}", repr(value), types.join(", "))
}

pub(super) fn too_big(key: &str, value: &Value, digits: &str) -> Fault {
    refused(Some(key), value, format!("{digits} is greater than the maximum of {}", Gib::MAX.get()))
}
