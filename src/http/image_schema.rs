//! What an image may say of itself: the JSON schema of images, made once, of base properties and of those custom ones
//! that have a form.

use serde_json::{Map, Value};

/// What is said of a custom property that is kept as this text and is not of this form.
type Misfit = fn(name: &str, form: &Value, text: &str) -> Option<String>;

#[derive(Clone, Debug)]
pub struct ImageSchema {
    properties: Map<String, Value>,
    /// What a new image must have.
    required: Vec<String>,
    misfit: Misfit,
}

impl ImageSchema {
    /// Custom properties say `"is_base": false`.
    pub fn new(properties: Map<String, Value>, required: Vec<String>, misfit: Misfit) -> Self {
        Self { properties, required, misfit }
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

    /// What is said of a custom property that is kept as this text, where it has not its form.
    pub fn misfit(&self, name: &str, text: &str) -> Option<String> {
        (self.misfit)(name, self.form_of(name)?, text)
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
