//! What bytes volumes, snapshots and images have.

use std::sync::Arc;

use futures::{StreamExt, stream};
use pumice::block::{BlockError, BlockStore, ErrorKind, OpenMode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::load::STORES;
use super::super::model::{Fate, Front, Kind, LENGTH, MARK_AT, Thing, place_of, stores_of};
use super::super::store_of;
use super::Verdict;
use crate::process::pools;

/// As it lies on a pool.
struct Found {
    size: u64,
    front: Vec<u8>,
    mark: Option<u64>,
}

/// Past the service.
async fn look(store: &Arc<dyn BlockStore>, name: &str) -> Result<Found, BlockError> {
    let image = store.open(name, OpenMode::ReadOnly).await?;
    let read = async {
        let size = image.size().await?;
        let front = image.read(0, LENGTH as u64).await?.to_vec();
        let mark = if size > MARK_AT { Some(image.read(MARK_AT, 8).await?) } else { None };
        let mark = mark.map(|mark| u64::from_le_bytes(mark[..].try_into().unwrap()));
        Ok(Found { size, front, mark })
    };
    let found = read.await;
    image.close().await?;
    found
}

impl Verdict<'_> {
    pub(super) async fn wrong_bytes(&self, thing: &Thing, row: &Value) -> Option<String> {
        let found = match look(&store_of(self.stores, row), &thing.name()).await {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::NotFound => {
                return Some("it is available, and not on the pool".to_owned());
            }
            Err(error) => return Some(format!("it cannot be read: {error}")),
        };
        let size = row["size"].as_u64().unwrap();
        if found.size != size << 30 {
            return Some("its size on the pool is another".to_owned());
        }
        if thing.size.as_ref().is_some_and(|told| !told.agrees(&size)) {
            return Some(format!("its size is another, {size}"));
        }
        let place = place_of(row);
        if thing.place.as_ref().is_some_and(|seen| *seen != place) {
            return Some(format!("it is elsewhere, {place:?}"));
        }
        self.wrong_content(thing, &found)
    }

    fn wrong_content(&self, thing: &Thing, found: &Found) -> Option<String> {
        let front = self.patterns.front_of(&found.front);
        if !front.is_some_and(|front| thing.front.agrees(&front)) {
            return Some(format!("its bytes are others, {front:?}"));
        }
        let is_lost = |mark: u64| !thing.is_doubtful && !thing.mark.agrees(&mark);
        let lost = found.mark.filter(|mark| is_lost(*mark));
        lost.map(|mark| format!("what was written to it is lost, {mark} is there"))
    }

    /// In each store that its row names, and in no other; by way of the service as well.
    pub(super) async fn wrong_image(&self, thing: &Thing, row: &Value) -> Option<String> {
        let named = stores_of(row);
        for (store, told) in &thing.stores {
            if !told.agrees(&named.contains(store)) {
                return Some(format!("it should be in {store} or should not, and is in {named:?}"));
            }
        }
        for id in STORES {
            let store = self.stores.images_in((id != STORES[0]).then_some(id)).unwrap();
            match (named.contains(id), look(store, &thing.name()).await) {
                (true, Ok(found)) => {
                    if let Some(wrong) = self.wrong_content(thing, &found) {
                        return Some(format!("in {id}, {wrong}"));
                    }
                }
                (true, Err(error)) => {
                    let seen = pools::seen_of(store.pool(), &thing.name());
                    return Some(format!("it should be in {id}: {error}\n{seen}"));
                }
                (false, Err(error)) if error.kind == ErrorKind::NotFound => {}
                (false, found) => {
                    return Some(format!("it should not be in {id}: {:?}", found.map(|found| found.size)));
                }
            }
        }
        if thing.is_long() {
            return None;
        }
        let (status, bytes) = self.server.try_download(&thing.id).await;
        let Some(front @ Front::Pattern(number)) = self.patterns.front_of(&bytes) else {
            let seen: Vec<_> = self
                .stores
                .all_images()
                .map(|(_, store)| pools::seen_of(store.pool(), &thing.name()))
                .collect();
            let (_, places) =
                self.server.send(Method::GET, &format!("{}/locations", thing.path()), None).await;
            return Some(format!(
                "{status} and {} bytes that no image has come from it\n{places}\n{}",
                bytes.len(),
                seen.join("\n")
            ));
        };
        let pattern = self.patterns.get(number);
        if !thing.front.agrees(&front) {
            Some(format!("the bytes of {front:?} come from it"))
        } else if row["checksum"] != pattern.md5 || row["os_hash_value"] != pattern.sha512 {
            Some("its digests are others".to_owned())
        } else {
            None
        }
    }

    /// A volume of each snapshot has the bytes that its volume had then, and one of an image has those of the image.
    pub(super) async fn volumes_can_be_made(&mut self, things: &[Thing]) {
        let mut volumes = Vec::new();
        for thing in things.iter().filter(|thing| thing.kind != Kind::Volume && thing.fate == Fate::Kept) {
            let (_, body) = self.server.send(Method::GET, &thing.path(), None).await;
            let row = thing.kind.of(&body);
            if row["status"] != thing.kind.whole() {
                continue;
            }
            let size = row["size"].as_u64().unwrap();
            let wanted = match thing.kind {
                Kind::Image => json!({"size": size.div_ceil(1 << 30), "imageRef": thing.id}),
                _ => json!({"size": size, "snapshot_id": thing.id}),
            };
            let wanted = Some(json!({ "volume": wanted }));
            let (status, body) = self.server.send(Method::POST, "/volume/v3/volumes", wanted).await;
            if status == StatusCode::ACCEPTED {
                let id = body["volume"]["id"].as_str().unwrap();
                let mut volume = thing.copied_to(Kind::Volume, id);
                volume.is_whole = true;
                volumes.push(volume);
            } else {
                self.findings.push(format!("no volume can be made of it: {thing:?} {body}"));
            }
        }
        self.server.settle().await;
        for volume in &volumes {
            self.is_as_said(volume).await;
        }
        println!("{} volumes were made of snapshots and images", volumes.len());
    }

    /// An image without bytes can be given some: what failed, died or was cancelled left nothing in the way. What was
    /// staged can be imported.
    pub(super) async fn images_can_be_repeated(&mut self, things: &[Thing]) {
        let images = things.iter().filter(|thing| thing.kind == Kind::Image && thing.fate == Fate::Kept);
        let tried = stream::iter(images).map(|image| self.repeat(image)).buffer_unordered(4);
        let tried: Vec<_> = tried.collect().await;
        let mut again = Vec::new();
        for (image, refusal) in tried.into_iter().flatten() {
            self.findings.extend(refusal);
            again.push(image);
        }
        self.server.settle().await;
        for image in &again {
            self.is_as_said(image).await;
        }
        println!("{} images were tried again", again.len());
    }

    /// `None`: it has its bytes. Else what it is now, and what was wrong.
    async fn repeat(&self, image: &Thing) -> Option<(Thing, Option<String>)> {
        let (_, row) = self.server.send(Method::GET, &image.path(), None).await;
        let mut image = image.clone();
        let refused = match row["status"].as_str() {
            Some("queued") => {
                image.front.is(Front::Pattern(1));
                let bytes = self.patterns.get(1).bytes.clone();
                let answer = self.server.try_upload(&image.id, bytes).await.unwrap();
                (answer != StatusCode::NO_CONTENT).then(|| format!("it cannot be uploaded again, {answer}"))
            }
            Some("uploading") => {
                let path = format!("{}/import", image.path());
                let body = json!({"method": {"name": "glance-direct"}, "stores": STORES});
                let (answer, said) = self.server.send(Method::POST, &path, Some(body)).await;
                (answer != StatusCode::ACCEPTED)
                    .then(|| format!("what was staged cannot be imported, {said}"))
            }
            _ => return None,
        };
        image.is_whole = true;
        image.is_staged.is(false);
        image.stores.clear();
        Some((image, refused.map(|refused| format!("{refused}: {row:#}"))))
    }
}
