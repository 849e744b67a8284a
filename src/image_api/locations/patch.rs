//! Changes of where an image's bytes are, as a PATCH of the image asks for them: the older way to tell of them. Only
//! where `show_multiple_locations` allows it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::found::{Found, find_in_store};
use super::list::shown;
use crate::config::Config;
use crate::db::{Image, ImageChange, Location, Repository};
use crate::http::{App, ImageSchema};
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, Result};
use crate::image_api::images::{check_formats, find, property};
use crate::image_api::request::Call;
use crate::image_api::stores;
use crate::jobs::{self, Task};
use crate::model::{ImageId, ImageStatus, JobId};

/// Bytes of what is kept with all locations of an image, as JSON: every list of images reads it.
const LARGEST_METADATA: usize = 64 << 10;

/// One change.
#[derive(Debug)]
pub enum Change {
    /// Before the one that is there now; `-`: behind all.
    Add { position: String, location: Given },
    /// With its bytes.
    Remove { position: String },
    /// All of them at once: the first ones that an image gets, or what is kept with those that it has.
    Replace { locations: Vec<Given> },
}

/// A location as a request has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    url: String,
    metadata: BTreeMap<String, Value>,
    /// What the bytes are said to be.
    said: Vec<(String, String)>,
}

/// The addresses that may be an image's, and what was found there.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<String, Found>);

impl Change {
    pub fn add(position: &str, value: &Value, images: &ImageSchema) -> Result<Self> {
        let mut given = all_given(&Value::Array(vec![value.clone()]), images)?;
        match given.pop() {
            Some(location) => Ok(Change::Add { position: position.to_owned(), location }),
            None => Err(invalid()),
        }
    }

    pub fn replace(value: &Value, images: &ImageSchema) -> Result<Self> {
        Ok(Change::Replace { locations: all_given(value, images)? })
    }

    fn given(&self) -> &[Given] {
        match self {
            Change::Add { location, .. } => std::slice::from_ref(location),
            Change::Remove { .. } => &[],
            Change::Replace { locations } => locations,
        }
    }

    /// How many locations an image has then that has so many now.
    fn count_after(&self, count: usize) -> usize {
        match self {
            Change::Add { .. } => count + 1,
            Change::Remove { .. } => count.saturating_sub(1),
            Change::Replace { locations } => locations.len(),
        }
    }

    /// Whether it may be asked for at all.
    fn check(&self, app: &App, call: &Call, image: &Image) -> Result<()> {
        let (verb, shown_as, rule) = match self {
            Change::Add { .. } => ("add", "add", rules::SET_IMAGE_LOCATION),
            Change::Remove { .. } => ("remove", "remove", rules::DELETE_IMAGE_LOCATION),
            Change::Replace { locations } if locations.is_empty() => {
                return Err(Fault::ForbiddenDetail("Cannot set locations to empty list.".to_owned()));
            }
            Change::Replace { .. } => ("replace", "update", rules::SET_IMAGE_LOCATION),
        };
        call.check_image(rule, image)?;
        if !app.config.images.show_multiple_locations {
            return Err(Fault::Forbidden(format!(
                "It's not allowed to {shown_as} locations if locations are invisible."
            )));
        }
        match (image.status, self) {
            (ImageStatus::Active, _) | (ImageStatus::Queued, Change::Add { .. } | Change::Replace { .. }) => {
                Ok(())
            }
            (status, _) => Err(Fault::Conflict(format!(
                "It's not allowed to {verb} locations if image status is {status}."
            ))),
        }
    }

    /// Changes the record as far as the answer shows it. What is removed from a store is left, not ready.
    pub(in crate::image_api) fn apply(
        self,
        app: &App,
        call: &Call,
        image: &mut Image,
        known: &Known,
    ) -> Result<()> {
        self.check(app, call, image)?;
        match self {
            Change::Add { position, location } => add(app, image, &position, location, known),
            Change::Remove { position } => remove(image, &position),
            Change::Replace { locations } => replace(app, image, locations, known),
        }
    }
}

/// Writes down what the changes came to. Answers the jobs that remove bytes.
pub(in crate::image_api) async fn keep(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    before: &Image,
    image: &Image,
) -> Result<Vec<JobId>> {
    repository.set_locations(&image.id, &image.locations).await?;
    if image.status != before.status {
        let facts = ImageChange {
            size: image.size,
            virtual_size: None,
            checksum: image.checksum.clone(),
            os_hash_algo: image.os_hash_algo.clone(),
            os_hash_value: image.os_hash_value.clone(),
        };
        repository.change_image(&image.id, before.status, image.status, &facts, app.world.now()).await?;
    }
    let mut jobs = Vec::new();
    for place in image.locations.iter().filter(|place| !place.ready) {
        if before.places().any(|was| was.store == place.store && was.url == place.url) {
            let task = Task::DeleteFromStore { image_id: image.id.clone(), store: place.store.clone() };
            jobs.push(jobs::enqueue(repository, &app.world, task, &call.origin()).await?);
        }
    }
    Ok(jobs)
}

fn all_given(value: &Value, images: &ImageSchema) -> Result<Vec<Given>> {
    property::check("locations", value, images)?;
    let given = |value: &Value| {
        let object = |name: &str| value.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let text = |value: Value| value.as_str().map(str::to_owned);
        Given {
            url: value.get("url").and_then(Value::as_str).unwrap_or_default().to_owned(),
            metadata: object("metadata").into_iter().collect(),
            said: pairs(object("validation_data"), text),
        }
    };
    Ok(value.as_array().into_iter().flatten().map(given).collect())
}

fn pairs(fields: Map<String, Value>, text: impl Fn(Value) -> Option<String>) -> Vec<(String, String)> {
    fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

/// Looks at what lies at the addresses that the changes name, as far as they may be asked for. It takes time, so it is
/// done before the transaction, in which all else is checked, and said.
pub(in crate::image_api) async fn look<'a>(
    app: &App,
    call: &Call,
    id: &str,
    changes: impl Iterator<Item = &'a Change>,
) -> Result<Known> {
    let mut known = Known::default();
    let (mut image, mut count) = (None, 0);
    for change in changes {
        let image = match &mut image {
            Some(image) => image,
            none => {
                let found = find(&mut app.database.read().await?, call, id).await?;
                count = shown(&found).count();
                none.insert(found)
            }
        };
        count = change.count_after(count);
        let is_too_many = !change.given().is_empty() && within(&app.config, count).is_err();
        if is_too_many || change.check(app, call, image).is_err() {
            break;
        }
        let new: BTreeSet<&str> = change.given().iter().map(|given| given.url.as_str()).collect();
        for url in new.into_iter().filter(|url| image.places().all(|has| has.url.as_deref() != Some(url))) {
            if let Some(found) = find_at(app, &image.id, url).await? {
                known.0.insert(url.to_owned(), found);
            }
        }
    }
    Ok(known)
}

/// `None`: nothing that an image may have.
async fn find_at(app: &App, image: &ImageId, url: &str) -> Result<Option<Found>> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(find_on_the_web(app, url).await);
    }
    find_in_store(app, image, url).await
}

async fn find_on_the_web(app: &App, url: &str) -> Option<Found> {
    let store = stores::all(&app.config).find(stores::Store::is_read_only)?;
    match app.web.get(url).await {
        Ok(download) => {
            let size =
                download.length.and_then(|length| i64::try_from(length).ok()).filter(|size| *size > 0)?;
            if size.unsigned_abs() > app.config.images.image_size_cap {
                tracing::info!(
                    size,
                    "an address is no location: there are more bytes than an image may have"
                );
                return None;
            }
            Some(Found { store: store.to_row(), size })
        }
        Err(error) => {
            tracing::info!(reason = %error, "an address is no location");
            None
        }
    }
}

fn add(app: &App, image: &mut Image, position: &str, given: Given, known: &Known) -> Result<()> {
    let said = check_said(&app.config, image, std::slice::from_ref(&given))?;
    let Some(at) = place(position, image, true) else {
        return Err(Fault::BadRequest("Invalid position for adding a location.".to_owned()));
    };
    let attempted = shown(image).count() + 1;
    within(&app.config, attempted)?;
    let location = located(&app.config, image, &given, known)?;
    image.locations.insert(at, location);
    check_metadata(image)?;
    settle(image, said, known)
}

/// The order in which it is given is the order then.
fn replace(app: &App, image: &mut Image, given: Vec<Given>, known: &Known) -> Result<()> {
    let said = check_said(&app.config, image, &given)?;
    within(&app.config, given.len())?;
    let sorted = |mut urls: Vec<String>| {
        urls.sort();
        urls
    };
    let there: Vec<String> = shown(image).filter_map(|place| place.url.clone()).collect();
    let is_same = sorted(there.clone()) == sorted(given.iter().map(|given| given.url.clone()).collect());
    if is_same {
        // Only what is kept with them changes.
        let (mut old, rest): (Vec<Location>, Vec<Location>) =
            image.locations.drain(..).partition(|place| place.ready && place.url.is_some());
        for given in given {
            let Some(at) = old.iter().position(|place| place.url.as_deref() == Some(&given.url)) else {
                continue;
            };
            let place = old.remove(at);
            image.locations.push(place.with_metadata(kept(&app.config, &given)?));
        }
        image.locations.extend(rest);
        return check_metadata(image);
    }
    if image.places().next().is_some() {
        let urls: Vec<String> = there.iter().map(|url| format!("'{url}'")).collect();
        return Err(Fault::BadRequest(format!("Original locations is not empty: [{}]", urls.join(", "))));
    }
    for given in &given {
        let location = located(&app.config, image, given, known)?;
        image.locations.push(location);
    }
    check_metadata(image)?;
    settle(image, said, known)
}

/// The bytes in a store of ours are removed by a job; a web server keeps what it has.
fn remove(image: &mut Image, position: &str) -> Result<()> {
    if image.places().count() == 1 {
        return Err(Fault::ForbiddenDetail("Cannot remove last location in the image.".to_owned()));
    }
    let Some(at) = place(position, image, false) else {
        return Err(Fault::BadRequest("Invalid position for removing a location.".to_owned()));
    };
    match image.locations.get_mut(at) {
        Some(place) if !place.is_on_the_web() => place.ready = false,
        _ => drop(image.locations.remove(at)),
    }
    Ok(())
}

/// Where in all locations of the image that one is which clients see at this position.
fn place(position: &str, image: &Image, is_new: bool) -> Option<usize> {
    let seen: Vec<usize> = image
        .locations
        .iter()
        .enumerate()
        .filter(|(_, place)| place.ready && place.url.is_some())
        .map(|(at, _)| at)
        .collect();
    let is_number = !position.is_empty() && position.bytes().all(|digit| digit.is_ascii_digit());
    let wanted = match position {
        "-" if is_new => seen.len(),
        "-" => seen.len().checked_sub(1)?,
        // One with more digits than any list is behind them all.
        _ if is_number => position.parse().unwrap_or(usize::MAX),
        _ => return None,
    };
    match seen.get(wanted) {
        Some(at) => Some(*at),
        None if is_new => Some(image.locations.len()),
        None => None,
    }
}

fn within(config: &Config, attempted: usize) -> Result<()> {
    match usize::try_from(config.images.image_location_quota) {
        Ok(maximum) if attempted > maximum => Err(Fault::TooLarge(format!(
            "The limit has been exceeded on the number of allowed image locations. Attempted: {attempted}, Maximum: \
             {maximum}"
        ))),
        _ => Ok(()),
    }
}

fn located(config: &Config, image: &Image, given: &Given, known: &Known) -> Result<Location> {
    let metadata = kept(config, given)?;
    let exists = || Err(Fault::BadRequest(format!("The location {} already exists", given.url)));
    let is_web = given.url.starts_with("http");
    let again = image.places().find(|has| has.url.as_deref() == Some(&given.url));
    let is_there = |has: &Location| has.url.as_deref() == Some(&given.url) && has.metadata() == metadata;
    if image.places().any(is_there) {
        return exists();
    }
    let store = match (again, known.0.get(&given.url)) {
        (Some(has), _) => has.store.clone(),
        (None, Some(found)) => found.store.clone(),
        (None, None) => return Err(invalid()),
    };
    // The bytes of an image have one name in a store.
    if !is_web && image.locations.iter().any(|has| has.store == store) {
        return exists();
    }
    Ok(Location::new(&image.id, store.as_deref(), Some(given.url.clone())).with_metadata(metadata))
}

fn invalid() -> Fault {
    Fault::BadRequest("Invalid location".to_owned())
}

/// What is kept with a location: texts, and lists and objects of them. Which store it is in is ours to say.
fn kept(config: &Config, given: &Given) -> Result<BTreeMap<String, Value>> {
    let mut metadata = given.metadata.clone();
    if stores::are_shown(config) {
        metadata.remove("store");
    }
    for (key, value) in &metadata {
        texts_only(key, value)?;
    }
    Ok(metadata)
}

fn check_metadata(image: &Image) -> Result<()> {
    let kept = image.locations.iter().filter_map(|place| place.metadata.as_ref());
    let bytes: usize = kept.map(|metadata| serde_json::to_string(metadata).unwrap_or_default().len()).sum();
    if bytes <= LARGEST_METADATA {
        return Ok(());
    }
    Err(Fault::TooLarge(format!(
        "The limit has been exceeded on the size of the metadata of all image locations. Attempted: {bytes} bytes, \
         Maximum: {LARGEST_METADATA} bytes"
    )))
}

/// Glance fails with 500 here.
fn texts_only(key: &str, value: &Value) -> Result<()> {
    match value {
        Value::String(_) => Ok(()),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| texts_only(key, value)),
        Value::Array(items) => items.iter().try_for_each(|item| texts_only(key, item)),
        _ => Err(Fault::BadRequest(format!(
            "The image metadata key {key} has an invalid type. Only dict, list, and unicode are supported."
        ))),
    }
}

/// What the bytes are said to be, of which the image does not know it yet.
fn check_said(config: &Config, image: &Image, given: &[Given]) -> Result<BTreeMap<String, String>> {
    let conflict = |said: String| Err(Fault::Conflict(said));
    let mut all: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in given.iter().flat_map(|given| &given.said) {
        if *all.entry(name).or_insert(value) != value {
            return conflict(format!("Conflicting values for {name}"));
        }
    }
    let mut new = BTreeMap::new();
    for (name, value) in all {
        let current = match name {
            "checksum" => &image.checksum,
            "os_hash_algo" => &image.os_hash_algo,
            _ => &image.os_hash_value,
        };
        match current.as_deref() {
            Some(current) if current == value => {}
            Some(_) => return conflict(format!("{name} is already set with a different value")),
            None => drop(new.insert(name.to_owned(), value.to_owned())),
        }
    }
    if new.is_empty() {
        return Ok(new);
    }
    if image.status != ImageStatus::Queued {
        let names: Vec<&str> = new.keys().map(String::as_str).collect();
        return conflict(format!(
            "New value(s) for {} may only be provided when image status is 'queued'",
            names.join(", ")
        ));
    }
    let is_hex =
        |text: &str| text.len().is_multiple_of(2) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if let Some(checksum) = new.get("checksum").filter(|checksum| !is_hex(checksum)) {
        return conflict(format!("checksum ({checksum}) is not a valid hexadecimal value"));
    }
    let algorithm = config.images.hashing_algorithm;
    let (want, got) = (algorithm.as_str(), new.get("os_hash_algo").map_or("None", String::as_str));
    if want != got {
        return conflict(format!("os_hash_algo must be {want}, not {got}"));
    }
    let value = new.get("os_hash_value").map(String::as_str).unwrap_or_default();
    if !is_hex(value) {
        return conflict(format!("os_hash_value ({value}) is not a valid hexadecimal value"));
    }
    let size = algorithm.bytes();
    if value.len() != 2 * size {
        return conflict(format!(
            "os_hash_value ({value}) is not the correct size for {got} (should be {size} bytes)"
        ));
    }
    Ok(new)
}

/// With its first location an image is `active`, and as large as what was found there.
fn settle(image: &mut Image, mut said: BTreeMap<String, String>, known: &Known) -> Result<()> {
    if image.status != ImageStatus::Queued {
        return Ok(());
    }
    check_formats(image)?;
    let size = image.places().find_map(|place| Some(known.0.get(place.url.as_deref()?)?.size));
    image.size = size;
    image.checksum = said.remove("checksum");
    image.os_hash_algo = said.remove("os_hash_algo");
    image.os_hash_value = said.remove("os_hash_value");
    // What an earlier try left, that never was content.
    image.locations.retain(|place| place.ready);
    image.status = ImageStatus::Active;
    Ok(())
}
