//! Copies the bytes of one image out of the directory store into a sparse file.
//!
//!     cargo run --example read_image -- DIRECTORY POOL IMAGE[@SNAPSHOT] FILE
//!
//! One process uses a directory at a time: stop the service, or name a copy of its directory (hard links do,
//! without the file `lock`).

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, bail};
use pumice::block::directory::Directory;
use pumice::block::{BlockImage, BlockingPool, OpenMode};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, pool, image, file] = arguments.as_slice() else {
        bail!("usage: read_image DIRECTORY POOL IMAGE[@SNAPSHOT] FILE");
    };
    // A directory that is not there would be made.
    std::fs::metadata(directory).with_context(|| directory.clone())?;
    let store = Directory::open(directory, BlockingPool::default())?.pool(pool)?;
    let (name, mode) = match image.split_once('@') {
        Some((name, snapshot)) => (name, OpenMode::Snapshot(snapshot.to_owned())),
        None => (image.as_str(), OpenMode::ReadOnly),
    };
    let image = store.open(name, mode).await?;
    let file = File::create(file).with_context(|| file.clone())?;
    copy(&*image, &file).await?;
    image.close().await?;
    Ok(())
}

/// Everything else is a hole: it reads as zeros on both sides.
async fn copy(image: &dyn BlockImage, file: &File) -> anyhow::Result<()> {
    file.set_len(image.size().await?)?;
    for extent in image.allocated().await? {
        let end = extent.offset + extent.length;
        let mut offset = extent.offset;
        while offset < end {
            let length = image.object_size().min(end - offset);
            file.write_all_at(&image.read(offset, length).await?, offset)?;
            offset += length;
        }
    }
    Ok(())
}
