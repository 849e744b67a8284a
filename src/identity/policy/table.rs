//! How the rules of an API are written down: once, for the code that asks them and for their defaults.

/// The name of a rule that the code asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule(pub(super) &'static str);

impl Rule {
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// `CONSTANT = "name": "default";`
macro_rules! rules {
    ($($(#[$doc:meta])* $constant:ident = $name:literal: $text:expr;)+) => {
        $($(#[$doc])* pub const $constant: $crate::identity::policy::Rule =
            $crate::identity::policy::Rule($name);)+

        pub(super) const DEFAULTS: &[(&str, &str)] = &[$(($name, $text)),+];
    };
}

pub(super) use rules;
