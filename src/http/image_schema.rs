//! What an image may say of itself: the JSON schema of images, made once, of base properties and of those custom ones
//! that have a form.

use serde_json::{Map, Value};

#[derive(Clone, Debug)]
pub struct ImageSchema {
    properties: Map<String, Value>,
    /// What a new image must have.
    required: Vec<String>,
}

impl ImageSchema {
    /// Custom properties say `"is_base": false`.
    pub fn new(properties: Map<String, Value>, required: Vec<String>) -> Self {
        Self { properties, required }
    }

    pub fn properties(&self) -> &Map<String, Value> {
        &self.properties
    }

    pub fn required(&self) -> &[String] {
        &self.required
    }

    /// `None`: a custom property without a form, which is any text.
    pub fn form_of(&self, name: &str) -> Option<&Value> {
        self.properties.get(name)
    }

    /// A property that every image has.
    pub fn is_base(&self, name: &str) -> bool {
        self.form_of(name).is_some_and(|form| form["is_base"] != false)
    }

    /// A custom property that a new image must have, and one with only these has not.
    pub fn missing(&self, mut has: impl FnMut(&str) -> bool) -> Option<&str> {
        let is_custom = |name: &str| self.form_of(name).is_some_and(|form| form["is_base"] == false);
        self.required.iter().map(String::as_str).find(|name| is_custom(name) && !has(name))
    }
}
