//! The reference of all options, as Markdown.

use super::{Config, OptionReference};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made by `pumice config --reference`; the tests fail when this file says something else. -->

Pumice runs without any configuration. What it is told comes from three places, and later ones win, option by
option:

1. the defaults below;
2. a TOML file, named by `pumice --config FILE` or by the variable `PUMICE_CONFIG`;
3. environment variables: `PUMICE_<SECTION>__<OPTION>`, for example `PUMICE_DATABASE__URL`. An empty one counts as
   not set.

A section or option that does not exist, and a value that makes no sense, is refused with its name before anything
starts. `pumice config --check FILE` only checks; `pumice config` prints what is in force, without passwords.
Relative paths start where the process was started.
";

/// Every option with its default, unit and meaning: the text of `docs/configuration.md`.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in Config::sections() {
        text.push_str(&format!("\n## `[{}]`\n\n{}\n\n", section.name, section.meaning));
        text.push_str("| Option | Default | Unit | Meaning |\n|---|---|---|---|\n");
        section.options.iter().for_each(|option| text.push_str(&row(option)));
    }
    text
}

fn row(option: &OptionReference) -> String {
    let name = option.name;
    let default = option.default.as_ref().map_or("unset".to_owned(), |default| format!("`{default}`"));
    let unit = if option.unit == "none" { "–" } else { option.unit };
    let former = option.former_name.map(|f| format!(" Its old name `{f}` is accepted.")).unwrap_or_default();
    let meaning = option.meaning.replace('|', "\\|");
    format!("| `{name}` | {default} | {unit} | {meaning}{former} |\n")
}
