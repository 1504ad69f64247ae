//! The file with settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::options::{Kind, Options};
use super::{MAX_FAULTS, MAX_VALUES, Origin, Place, Setting};
use crate::private;

/// The longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Characters of a name that are repeated in a message.
const MAX_NAME: usize = 40;

/// What the file says; where it is wrong `faults` get longer.
pub(super) fn read(
    path: &Path,
    options: &Options,
    faults: &mut Vec<String>,
) -> BTreeMap<String, Setting> {
    match private::read_named(path, MAX_FILE) {
        Ok(text) => understand(path, &text, options, faults),
        Err(error) => {
            faults.push(format!("cannot read {}; check --config: {error}", path.display()));
            BTreeMap::new()
        }
    }
}

fn understand(
    path: &Path,
    text: &str,
    options: &Options,
    faults: &mut Vec<String>,
) -> BTreeMap<String, Setting> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What follows a line that is no TOML may be anything.
        faults.extend(errors.iter().take(MAX_FAULTS).map(|error| {
            let place = Place::of(path, text, error.span().map_or(0, |span| span.start));
            format!("{place}: {}", error.message())
        }));
        return BTreeMap::new();
    }
    let (mut settings, mut wrong) = (BTreeMap::new(), Vec::new());
    for (key, value) in table.get_ref().iter() {
        let at = key.span().start;
        let name: &str = key.get_ref();
        let place = Place::of(path, text, at);
        let Some(kind) = options.kind(name) else {
            wrong.push((at, format!("{place}: {}", unknown(name, options))));
            continue;
        };
        match values(kind, value) {
            Ok(values) => {
                let origin = Origin::File(place);
                settings.insert(name.to_owned(), Setting { values, origin });
            }
            Err(fault) => {
                let at = value.span().start;
                wrong.push((at, format!("{}: {name} {fault}", Place::of(path, text, at))));
            }
        }
    }
    wrong.sort();
    faults.extend(wrong.into_iter().map(|(_, fault)| fault));
    settings
}

fn unknown(name: &str, options: &Options) -> String {
    let shown: String = name.chars().take(MAX_NAME).collect();
    match options.nearest(&shown) {
        Some(nearest) => format!("there is no setting '{shown}'; do you mean '{nearest}'?"),
        None => format!("there is no setting '{shown}'; they are the options of `kwik help serve`"),
    }
}

/// The values as the command line has them; else what is wrong.
fn values(kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, String> {
    match (kind, value.get_ref()) {
        (Kind::Flag, DeValue::Boolean(true)) => Ok(vec![OsString::new()]),
        (Kind::Flag, DeValue::Boolean(false)) => Ok(Vec::new()),
        (Kind::Flag, other) => Err(format!("wants true or false, and this is {}", named(other))),
        (Kind::Many, DeValue::Array(all)) if all.len() > MAX_VALUES => {
            Err(format!("has more than {MAX_VALUES} values"))
        }
        (Kind::Many, DeValue::Array(all)) => {
            let wanted = "wants text or a list of texts";
            all.iter().map(|value| one(value.get_ref(), wanted)).collect()
        }
        (Kind::Many, value) => Ok(vec![one(value, "wants text or a list of texts")?]),
        (Kind::One, value) => Ok(vec![one(value, "wants text or a whole number")?]),
    }
}

fn one(value: &DeValue<'_>, wanted: &str) -> Result<OsString, String> {
    match value {
        DeValue::String(text) => Ok(text.as_ref().into()),
        DeValue::Integer(number) => match whole(number) {
            Some(number) => Ok(number.to_string().into()),
            None => Err("is too large a number".to_owned()),
        },
        other => Err(format!("{wanted}, and this is {}", named(other))),
    }
}

fn whole(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn named(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
