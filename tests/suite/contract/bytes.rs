//! Reading and writing.

use futures::future::join_all;
use pumice::block::ErrorKind;

use super::*;

/// Stretches at all kinds of places of five objects.
const STRETCHES: [(u64, u64); 12] = [
    (0, 1),
    (0, OBJECT),
    (OBJECT, OBJECT),
    (OBJECT - 1, 2),
    (3, 511),
    (512, 4096),
    (OBJECT / 2, OBJECT),
    (100, 3 * OBJECT),
    (OBJECT, 3 * OBJECT),
    (4 * OBJECT + 7, OBJECT - 7),
    (5 * OBJECT - 1, 1),
    (0, 5 * OBJECT),
];

pub async fn written_bytes_are_read(stores: &Stores) {
    let image = stores.image("written", 5 * OBJECT).await;
    let mut bytes = vec![0; 5 * OBJECT as usize];
    for (seed, (offset, length)) in STRETCHES.into_iter().enumerate() {
        let data = noise(seed as u64, length);
        bytes[offset as usize..(offset + length) as usize].copy_from_slice(&data);
        image.write(offset, data).await.unwrap();
        assert_holds(&*image, &bytes).await;
    }
    for (offset, length) in STRETCHES {
        let expected = &bytes[offset as usize..(offset + length) as usize];
        assert_same(&image.read(offset, length).await.unwrap(), expected);
    }
    assert!(image.read(0, 0).await.unwrap().is_empty());
    image.write(0, Default::default()).await.unwrap();
}

pub async fn parts_are_one_write(stores: &Stores) {
    let image = stores.image("in-parts", 3 * OBJECT + 5).await;
    let bytes = noise(1, 3 * OBJECT + 5);
    for size in [7_777, OBJECT as usize, bytes.len()] {
        image.write_zeroes(0, bytes.len() as u64).await.unwrap();
        let parts = (0..bytes.len()).step_by(size).map(|at| bytes.slice(at..bytes.len().min(at + size)));
        image.write_vectored(0, parts.collect()).await.unwrap();
        assert_holds(&*image, &bytes).await;
    }
    image.write_vectored(9, vec![]).await.unwrap();
    image.write_vectored(9, vec![Bytes::new(), Bytes::new()]).await.unwrap();
    // The first two have room, and are not written without the third.
    let parts = vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de"), Bytes::from_static(b"f")];
    assert_refused(image.write_vectored(3 * OBJECT, parts).await, ErrorKind::Invalid);
    assert_holds(&*image, &bytes).await;
}

pub async fn unwritten_bytes_are_zero(stores: &Stores) {
    let image = stores.image("sparse", 4 * OBJECT).await;
    image.write(2 * OBJECT + 1_000, noise(1, 10)).await.unwrap();
    let mut bytes = vec![0; 4 * OBJECT as usize];
    let at = 2 * OBJECT as usize + 1_000;
    bytes[at..at + 10].copy_from_slice(&noise(1, 10));
    assert_holds(&*image, &bytes).await;
}

pub async fn out_of_range_is_refused(stores: &Stores) {
    let size = 2 * OBJECT + 10;
    let image = stores.image("short", size).await;
    for (offset, length) in [(size, 1), (size - 1, 2), (0, size + 1), (u64::MAX, 1), (u64::MAX - 3, 10)] {
        assert_refused(image.read(offset, length).await, ErrorKind::Invalid);
        assert_refused(image.write_zeroes(offset, length).await, ErrorKind::Invalid);
        assert_refused(image.discard(offset, length).await, ErrorKind::Invalid);
        assert_refused(image.write(offset, noise(1, length)).await, ErrorKind::Invalid);
    }
    assert_refused(image.read(1, u64::MAX).await, ErrorKind::Invalid);
    assert_holds(&*image, &vec![0; size as usize]).await;
}

pub async fn many_writes_in_flight(stores: &Stores) {
    let image = stores.image("busy", 64 * OBJECT).await;
    // Each across the border of two objects, in no order.
    let places: Vec<u64> = (0..63).map(|n| (n * 37 % 63) * OBJECT + OBJECT / 2).collect();
    let writes = places.iter().map(|place| image.write(*place, noise(*place, OBJECT)));
    for written in join_all(writes).await {
        written.unwrap();
    }
    image.flush().await.unwrap();
    for place in places {
        assert_same(&image.read(place, OBJECT).await.unwrap(), &noise(place, OBJECT));
    }
}

pub async fn many_writes_to_one_object(stores: &Stores) {
    let image = stores.image("busy", OBJECT).await;
    let writes = (0..64).map(|n| image.write(n * 1024, noise(n, 1024)));
    for written in join_all(writes).await {
        written.unwrap();
    }
    let bytes: Vec<u8> = (0..64).flat_map(|n| noise(n, 1024)).collect();
    assert_holds(&*image, &bytes).await;
}

pub async fn write_zeroes_any_stretch(stores: &Stores) {
    let image = stores.image("zeroed", 5 * OBJECT).await;
    for (seed, (offset, length)) in STRETCHES.into_iter().enumerate() {
        let mut bytes = noise(seed as u64, 5 * OBJECT).to_vec();
        image.write(0, bytes.clone().into()).await.unwrap();
        image.write_zeroes(offset, length).await.unwrap();
        bytes[offset as usize..(offset + length) as usize].fill(0);
        assert_holds(&*image, &bytes).await;
    }
    image.write_zeroes(0, 0).await.unwrap();
}

pub async fn discard_whole_objects(stores: &Stores) {
    let image = stores.image("discarded", 5 * OBJECT).await;
    let mut bytes = noise(1, 5 * OBJECT).to_vec();
    image.write(0, bytes.clone().into()).await.unwrap();
    image.discard(OBJECT, 2 * OBJECT).await.unwrap();
    bytes[OBJECT as usize..3 * OBJECT as usize].fill(0);
    assert_holds(&*image, &bytes).await;
    image.flush().await.unwrap();
    let extents = image.allocated().await.unwrap();
    assert!(!is_allocated(&extents, OBJECT) && !is_allocated(&extents, 3 * OBJECT - 1), "{extents:?}");
    image.write(OBJECT + 5, noise(2, 5)).await.unwrap();
    bytes[OBJECT as usize + 5..OBJECT as usize + 10].copy_from_slice(&noise(2, 5));
    assert_holds(&*image, &bytes).await;
    // What was never written.
    image.discard(OBJECT * 2, OBJECT).await.unwrap();
    image.discard(0, 0).await.unwrap();
    assert_holds(&*image, &bytes).await;
}

pub async fn discard_part_of_an_object(stores: &Stores) {
    let image = stores.image("discarded", 5 * OBJECT).await;
    for (offset, length) in STRETCHES {
        let before = noise(offset, 5 * OBJECT);
        image.write(0, before.clone()).await.unwrap();
        image.discard(offset, length).await.unwrap();
        let after = all(&*image).await;
        for (at, (old, new)) in before.iter().zip(&after).enumerate() {
            let inside = (offset..offset + length).contains(&(at as u64));
            assert!(new == old || inside && *new == 0, "byte {at} after discard of {offset}+{length}");
        }
        assert_holds(&*image, &after).await;
    }
}

pub async fn flushed_bytes_are_seen_elsewhere(stores: &Stores) {
    let image = stores.image("shared", 2 * OBJECT).await;
    image.write(100, noise(1, OBJECT)).await.unwrap();
    image.flush().await.unwrap();
    let mut bytes = vec![0; 2 * OBJECT as usize];
    bytes[100..100 + OBJECT as usize].copy_from_slice(&noise(1, OBJECT));
    assert_holds(&*stores.read(image.name()).await, &bytes).await;
    image.close().await.unwrap();
    assert_holds(&*stores.read(image.name()).await, &bytes).await;
}

pub async fn allocated_tells_the_written_objects(stores: &Stores) {
    let image = stores.image("sparse", 8 * OBJECT + 100).await;
    for object in [1, 2, 5, 8] {
        let length = if object == 8 { 100 } else { OBJECT };
        image.write(object * OBJECT, noise(object, length)).await.unwrap();
    }
    image.flush().await.unwrap();
    let extents = image.allocated().await.unwrap();
    let expected = [(1, 2 * OBJECT), (5, OBJECT), (8, 100)];
    assert_eq!(extents, expected.map(|(object, length)| Extent { offset: object * OBJECT, length }));
    let expected = all(&*image).await;
    assert_holds(&*image, &expected).await;
}
