//! Uploads that do not come to their end are undone, and can be repeated.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use pumice::jobs::{NoFaults, Origin};
use pumice::model::{ImageId, ImageStatus};
use pumice::signature::{Certificates, Signature, SignatureError};
use pumice::workflows::{Upload, UploadError, upload_image};

use super::{house, on_every_store, pattern};
use crate::house::{House, StoreKind};
use crate::support::signer::{self, ID, certify};

async fn assert_undone_and_repeatable(house: &House, id: &pumice::model::ImageId) {
    house.settle().await;
    assert_eq!(house.image_status(id).await, Some(ImageStatus::Queued));
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    house.upload_to(id, pattern(1_500_000, 9)).await.unwrap();
    assert_eq!(house.image_status(id).await, Some(ImageStatus::Active));
}

async fn shorter_longer_broken_off(store: StoreKind) {
    let mut house = house(store).await;
    let id = house.queued_image().await;
    let broken: [(u64, Vec<std::io::Result<Bytes>>); 3] = [
        (2_000_000, vec![Ok(Bytes::from(pattern(1_000_000, 1)))]),
        (500_000, vec![Ok(Bytes::from(pattern(1_000_000, 1)))]),
        (
            2_000_000,
            vec![Ok(Bytes::from(pattern(1_000_000, 1))), Err(std::io::Error::other("the client went away"))],
        ),
    ];
    for (promised, frames) in broken {
        let body = futures::stream::iter(frames);
        let error = upload_image(house.uploader(), id.clone(), Some(promised), body, Origin::default())
            .await
            .unwrap_err();
        assert!(
            matches!(error, UploadError::SizeMismatch { .. } | UploadError::ClientGone(_)),
            "{error:?} for {promised}"
        );
        house.settle().await;
        assert_eq!(house.image_status(&id).await, Some(ImageStatus::Queued));
        assert_eq!(house.on_pools().await, Vec::<String>::new());
    }
    assert_undone_and_repeatable(&house, &id).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Of unknown size, and the digests are right.
async fn the_size_may_be_unknown(store: StoreKind) {
    let mut house = house(store).await;
    let id = house.queued_image().await;
    let bytes = pattern(3_333_333, 4);
    let frames: Vec<_> =
        bytes.chunks(70_001).map(|c| Ok::<_, std::io::Error>(Bytes::copy_from_slice(c))).collect();
    upload_image(house.uploader(), id.clone(), None, futures::stream::iter(frames), Origin::default())
        .await
        .unwrap();
    let row = house.images().await.remove(0);
    assert_eq!(row.size, Some(3_333_333));
    assert_eq!(row.virtual_size, Some(3_333_333));
    let hex = |digest: &[u8]| digest.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let md5 = openssl::hash::hash(openssl::hash::MessageDigest::md5(), &bytes).unwrap();
    let sha512 = openssl::hash::hash(openssl::hash::MessageDigest::sha512(), &bytes).unwrap();
    assert_eq!(row.checksum.as_deref(), Some(hex(&md5).as_str()));
    assert_eq!(row.os_hash_value.as_deref(), Some(hex(&sha512).as_str()));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Bytes that nobody signed are not kept.
async fn a_signature_is_held_against_the_bytes(store: StoreKind) {
    let mut house = house(store).await;
    let id = house.queued_image().await;
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "RSA-PSS");
    let bytes = pattern(1_500_000, 9);
    let certificates = Certificates::new(Some(folder.path().to_owned()), None);
    let signature = Signature::of(&signer::properties(folder.path(), &bytes)).unwrap().unwrap();
    let signed = signature.by(&certificates.find(ID, None).await.unwrap()).unwrap();
    let uploader = || Upload { signed: Some(signed.clone()), ..house.uploader() };
    let body = |bytes: Vec<u8>| futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(bytes))]);
    let outcome = upload_image(uploader(), id.clone(), None, body(pattern(1_500_000, 8)), Origin::default());
    assert!(matches!(outcome.await, Err(UploadError::Signature(SignatureError::Wrong))));
    house.settle().await;
    assert_eq!(house.image_status(&id).await, Some(ImageStatus::Queued));
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    upload_image(uploader(), id.clone(), None, body(bytes), Origin::default()).await.unwrap();
    assert_eq!(house.image_status(&id).await, Some(ImageStatus::Active));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Its owner took a format away after the request was looked at: nobody could hold the bytes against it.
async fn an_image_without_formats_gets_no_bytes(store: StoreKind) {
    let mut house = house(store).await;
    let id = house.queued_image().await;
    let set = async |container_format: Option<&str>| {
        let mut repository = house.database.begin().await.unwrap();
        let mut row = repository.image_to_change(&id).await.unwrap().unwrap();
        row.container_format = container_format.map(str::to_owned);
        repository.update_image(&row).await.unwrap();
        repository.commit().await.unwrap();
    };
    set(None).await;
    let refused = house.upload_to(&id, pattern(300_000, 2)).await;
    assert!(
        matches!(&refused, Err(UploadError::Unformatted(missing)) if missing[..] == ["container_format"]),
        "{refused:?}"
    );
    assert_eq!(house.image_status(&id).await, Some(ImageStatus::Queued));
    assert!(house.last_job(&id).await.is_none());
    set(Some("bare")).await;
    assert_undone_and_repeatable(&house, &id).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn two_at_once_one_wins(store: StoreKind) {
    let mut house = house(store).await;
    let id = house.queued_image().await;
    let (first, second) = tokio::join!(
        house.upload_to(&id, pattern(2_000_000, 1)),
        house.upload_to(&id, pattern(2_000_000, 1))
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let loser = first.and(second).unwrap_err();
    assert!(matches!(loser, UploadError::WrongStatus(_) | UploadError::Exists), "{loser:?}");
    assert_eq!(house.image_status(&id).await, Some(ImageStatus::Active));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// How an upload ends whose image is deleted before its client has sent all.
pub async fn upload_and_delete(house: &House, id: &ImageId) -> UploadError {
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    let body = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let upload = tokio::spawn(upload_image(house.uploader(), id.clone(), None, body, Origin::default()));
    sender.send(Ok(Bytes::from(pattern(100_000, 1)))).await.unwrap();
    while house.image_status(id).await != Some(ImageStatus::Saving) {
        tokio::task::yield_now().await;
    }
    assert!(house.delete_image(id).await);
    upload.await.unwrap().unwrap_err()
}

async fn deleted_while_it_arrives(store: StoreKind) {
    let mut house = house(store).await;
    let id = house.queued_image().await;
    let error = upload_and_delete(&house, &id).await;
    assert!(matches!(error, UploadError::Deleted), "{error:?}");
    house.settle().await;
    assert_eq!(house.image_status(&id).await, None);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The process dies while bytes arrive: the next one undoes it.
async fn the_process_dies(store: StoreKind) {
    let mut house = house(store).await;
    let id = house.queued_image().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    let body = tokio_stream::wrappers::ReceiverStream::new(receiver).boxed();
    let upload = tokio::spawn(upload_image(house.uploader(), id.clone(), None, body, Origin::default()));
    sender.send(Ok(Bytes::from(pattern(5_000_000, 1)))).await.unwrap();
    while house.on_pools().await.is_empty() {
        tokio::task::yield_now().await;
    }
    // The old process writes nothing more once another one has its jobs: here it even lives on.
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.image_status(&id).await, Some(ImageStatus::Queued));
    drop(sender);
    let error = upload.await.unwrap().unwrap_err();
    println!("the old process says: {error}");
    // It had the image open until now, so that it went to the trash.
    house.sweeper().sweep().await.unwrap();
    assert_undone_and_repeatable(&house, &id).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    a_signature_is_held_against_the_bytes,
    shorter_longer_broken_off,
    the_size_may_be_unknown,
    an_image_without_formats_gets_no_bytes,
    two_at_once_one_wins,
    deleted_while_it_arrives,
    the_process_dies,
);
