//! How a section of the configuration is written down: once.
//!
//! [`section!`] makes the struct, its defaults and its chapter of the reference out of the same lines, so
//! that the three cannot drift apart.

use serde::Serialize;

/// One section as the reference prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionReference {
    pub name: &'static str,
    pub meaning: String,
    pub options: Vec<OptionReference>,
}

/// One option as the reference prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionReference {
    pub name: &'static str,
    /// The name it had, which is still accepted.
    pub former_name: Option<&'static str>,
    /// As it would stand in the TOML file; `None` when the option is unset unless given.
    pub default: Option<String>,
    /// `none` for names, texts and switches.
    pub unit: &'static str,
    pub meaning: String,
}

/// A value as it would stand in the TOML file. JSON writes scalars the same way, and has a word for "unset".
pub(super) fn shown<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_value(value).ok().filter(|v| !v.is_null()).map(|v| v.to_string())
}

/// The lines of a doc comment as one paragraph.
pub(super) fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Declares a section: `option: Type = default, "unit";`, an old name after `formerly`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $Section:ident = $name:literal {
            $(
                $(#[doc = $meaning:literal])+
                pub $option:ident $(formerly $former:literal)?: $Type:ty = $default:expr, $unit:literal;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $Section {
            $(
                $(#[doc = $meaning])+
                #[doc = concat!("\n\nUnit: ", $unit, ".")]
                pub $option: $Type,
            )+
        }

        impl Default for $Section {
            fn default() -> Self {
                Self { $($option: $default),+ }
            }
        }

        impl $Section {
            /// This section's chapter of the reference.
            pub fn reference() -> $crate::config::SectionReference {
                use $crate::config::section::{paragraph, shown};
                let default = Self::default();
                $crate::config::SectionReference {
                    name: $name,
                    meaning: paragraph(&[$($about),+]),
                    options: vec![$(
                        $crate::config::OptionReference {
                            name: stringify!($option),
                            former_name: [$($former)?].first().copied(),
                            default: shown(&default.$option),
                            unit: $unit,
                            meaning: paragraph(&[$($meaning),+]),
                        }
                    ),+],
                }
            }
        }
    };
}

pub(super) use section;
