//! What we call of librbd, declared by hand after `rbd/librbd.h` of 1.16 (Ceph 16.2); newer ones keep these.
//!
//! librados's declarations come from the crate `ceph`, save the one it lacks. Nothing here is called without
//! its wrapper in a sibling file.

#![allow(unsafe_code, non_camel_case_types)]

use std::ffi::{c_char, c_int, c_void};

pub(super) use ceph::rados::{rados_ioctx_t, rados_list_ctx_t, rados_t};

pub(super) type rbd_image_t = *mut c_void;
pub(super) type rbd_image_options_t = *mut c_void;
pub(super) type rbd_completion_t = *mut c_void;
pub(super) type rbd_callback_t = extern "C" fn(completion: rbd_completion_t, arg: *mut c_void);
pub(super) type progress_fn = extern "C" fn(offset: u64, total: u64, arg: *mut c_void) -> c_int;
pub(super) type diff_fn = extern "C" fn(offset: u64, length: usize, exists: c_int, arg: *mut c_void) -> c_int;

pub(super) const SNAP_NAMESPACE_USER: c_int = 0;
pub(super) const SNAP_NAMESPACE_TRASH: c_int = 2;

pub(super) const OPTION_ORDER: c_int = 2;
pub(super) const OPTION_STRIPE_UNIT: c_int = 3;
pub(super) const OPTION_STRIPE_COUNT: c_int = 4;
pub(super) const OPTION_CLONE_FORMAT: c_int = 12;

#[repr(C)]
pub(super) struct rbd_image_spec_t {
    pub id: *mut c_char,
    pub name: *mut c_char,
}

#[repr(C)]
pub(super) struct rbd_linked_image_spec_t {
    pub pool_id: i64,
    pub pool_name: *mut c_char,
    pub pool_namespace: *mut c_char,
    pub image_id: *mut c_char,
    pub image_name: *mut c_char,
    pub trash: bool,
}

#[repr(C)]
pub(super) struct rbd_snap_spec_t {
    pub id: u64,
    pub namespace_type: c_int,
    pub name: *mut c_char,
}

#[repr(C)]
pub(super) struct rbd_snap_info_t {
    pub id: u64,
    pub size: u64,
    pub name: *const c_char,
}

#[repr(C)]
pub(super) struct rbd_image_info_t {
    pub size: u64,
    pub obj_size: u64,
    pub num_objs: u64,
    pub order: c_int,
    pub block_name_prefix: [c_char; 24],
    pub parent_pool: i64,
    pub parent_name: [c_char; 96],
}

#[repr(C)]
pub(super) struct rbd_image_watcher_t {
    pub addr: *mut c_char,
    pub id: i64,
    pub cookie: u64,
}

pub(super) const MIRROR_MODE_IMAGE: c_int = 1;
pub(super) const MIRROR_IMAGE_MODE_JOURNAL: c_int = 0;
pub(super) const MIRROR_IMAGE_DISABLED: c_int = 2;

pub(super) const LOCK_MODE_EXCLUSIVE: c_int = 0;

pub(super) const FEATURE_EXCLUSIVE_LOCK: u64 = 1 << 2;
pub(super) const FEATURE_JOURNALING: u64 = 1 << 6;

#[repr(C)]
pub(super) struct rbd_mirror_image_info_t {
    pub global_id: *mut c_char,
    pub state: c_int,
    pub primary: bool,
}

#[link(name = "rados")]
unsafe extern "C" {
    pub(super) fn rados_set_pool_full_try(io: rados_ioctx_t);
    pub(super) fn rados_getaddrs(cluster: rados_t, addresses: *mut *mut c_char) -> c_int;
    pub(super) fn rados_blocklist_add(cluster: rados_t, address: *const c_char, seconds: u32) -> c_int;
    /// The crate's has a pointer too many in each argument.
    pub(super) fn rados_nobjects_list_next(
        list: rados_list_ctx_t,
        entry: *mut *const c_char,
        key: *mut *const c_char,
        name_space: *mut *const c_char,
    ) -> c_int;
}

#[link(name = "rbd")]
unsafe extern "C" {
    pub(super) fn rbd_image_options_create(options: *mut rbd_image_options_t);
    pub(super) fn rbd_image_options_destroy(options: rbd_image_options_t);
    pub(super) fn rbd_image_options_set_uint64(
        options: rbd_image_options_t,
        name: c_int,
        value: u64,
    ) -> c_int;

    pub(super) fn rbd_list2(io: rados_ioctx_t, images: *mut rbd_image_spec_t, max: *mut usize) -> c_int;
    pub(super) fn rbd_image_spec_list_cleanup(images: *mut rbd_image_spec_t, count: usize);
    pub(super) fn rbd_create4(
        io: rados_ioctx_t,
        name: *const c_char,
        size: u64,
        options: rbd_image_options_t,
    ) -> c_int;
    pub(super) fn rbd_clone3(
        parent_io: rados_ioctx_t,
        parent: *const c_char,
        snapshot: *const c_char,
        io: rados_ioctx_t,
        name: *const c_char,
        options: rbd_image_options_t,
    ) -> c_int;
    pub(super) fn rbd_remove_with_progress(
        io: rados_ioctx_t,
        name: *const c_char,
        report: progress_fn,
        arg: *mut c_void,
    ) -> c_int;
    pub(super) fn rbd_rename(io: rados_ioctx_t, from: *const c_char, to: *const c_char) -> c_int;

    pub(super) fn rbd_trash_move(io: rados_ioctx_t, name: *const c_char, delay: u64) -> c_int;
    pub(super) fn rbd_trash_remove_with_progress(
        io: rados_ioctx_t,
        id: *const c_char,
        force: bool,
        report: progress_fn,
        arg: *mut c_void,
    ) -> c_int;

    pub(super) fn rbd_open(
        io: rados_ioctx_t,
        name: *const c_char,
        image: *mut rbd_image_t,
        snapshot: *const c_char,
    ) -> c_int;
    pub(super) fn rbd_open_read_only(
        io: rados_ioctx_t,
        name: *const c_char,
        image: *mut rbd_image_t,
        snapshot: *const c_char,
    ) -> c_int;
    pub(super) fn rbd_open_by_id(
        io: rados_ioctx_t,
        id: *const c_char,
        image: *mut rbd_image_t,
        snapshot: *const c_char,
    ) -> c_int;
    pub(super) fn rbd_open_by_id_read_only(
        io: rados_ioctx_t,
        id: *const c_char,
        image: *mut rbd_image_t,
        snapshot: *const c_char,
    ) -> c_int;
    pub(super) fn rbd_close(image: rbd_image_t) -> c_int;

    pub(super) fn rbd_stat(image: rbd_image_t, info: *mut rbd_image_info_t, size: usize) -> c_int;
    pub(super) fn rbd_get_size(image: rbd_image_t, size: *mut u64) -> c_int;
    pub(super) fn rbd_get_id(image: rbd_image_t, id: *mut c_char, length: usize) -> c_int;
    pub(super) fn rbd_get_overlap(image: rbd_image_t, overlap: *mut u64) -> c_int;
    pub(super) fn rbd_get_parent(
        image: rbd_image_t,
        parent: *mut rbd_linked_image_spec_t,
        snapshot: *mut rbd_snap_spec_t,
    ) -> c_int;
    pub(super) fn rbd_linked_image_spec_cleanup(image: *mut rbd_linked_image_spec_t);
    pub(super) fn rbd_linked_image_spec_list_cleanup(images: *mut rbd_linked_image_spec_t, count: usize);
    pub(super) fn rbd_snap_spec_cleanup(snapshot: *mut rbd_snap_spec_t);
    pub(super) fn rbd_list_children3(
        image: rbd_image_t,
        images: *mut rbd_linked_image_spec_t,
        count: *mut usize,
    ) -> c_int;
    pub(super) fn rbd_resize2(
        image: rbd_image_t,
        size: u64,
        allow_shrink: bool,
        report: progress_fn,
        arg: *mut c_void,
    ) -> c_int;
    pub(super) fn rbd_flatten_with_progress(
        image: rbd_image_t,
        report: progress_fn,
        arg: *mut c_void,
    ) -> c_int;
    pub(super) fn rbd_diff_iterate2(
        image: rbd_image_t,
        from: *const c_char,
        offset: u64,
        length: u64,
        include_parent: u8,
        whole_object: u8,
        found: diff_fn,
        arg: *mut c_void,
    ) -> c_int;

    pub(super) fn rbd_watchers_list(
        image: rbd_image_t,
        watchers: *mut rbd_image_watcher_t,
        count: *mut usize,
    ) -> c_int;
    pub(super) fn rbd_watchers_list_cleanup(watchers: *mut rbd_image_watcher_t, count: usize);

    pub(super) fn rbd_list_lockers(
        image: rbd_image_t,
        exclusive: *mut c_int,
        tag: *mut c_char,
        tag_length: *mut usize,
        clients: *mut c_char,
        clients_length: *mut usize,
        cookies: *mut c_char,
        cookies_length: *mut usize,
        addresses: *mut c_char,
        addresses_length: *mut usize,
    ) -> isize;
    pub(super) fn rbd_break_lock(image: rbd_image_t, client: *const c_char, cookie: *const c_char) -> c_int;
    pub(super) fn rbd_lock_break(image: rbd_image_t, mode: c_int, owner: *const c_char) -> c_int;

    pub(super) fn rbd_snap_list(
        image: rbd_image_t,
        snapshots: *mut rbd_snap_info_t,
        count: *mut c_int,
    ) -> c_int;
    pub(super) fn rbd_snap_list_end(snapshots: *mut rbd_snap_info_t);
    pub(super) fn rbd_snap_create(image: rbd_image_t, snapshot: *const c_char) -> c_int;
    pub(super) fn rbd_snap_remove(image: rbd_image_t, snapshot: *const c_char) -> c_int;
    pub(super) fn rbd_snap_remove_by_id(image: rbd_image_t, snapshot: u64) -> c_int;
    pub(super) fn rbd_snap_rename(image: rbd_image_t, from: *const c_char, to: *const c_char) -> c_int;
    pub(super) fn rbd_snap_protect(image: rbd_image_t, snapshot: *const c_char) -> c_int;
    pub(super) fn rbd_snap_unprotect(image: rbd_image_t, snapshot: *const c_char) -> c_int;
    pub(super) fn rbd_snap_is_protected(
        image: rbd_image_t,
        snapshot: *const c_char,
        protected: *mut c_int,
    ) -> c_int;
    pub(super) fn rbd_snap_rollback_with_progress(
        image: rbd_image_t,
        snapshot: *const c_char,
        report: progress_fn,
        arg: *mut c_void,
    ) -> c_int;
    pub(super) fn rbd_snap_set_by_id(image: rbd_image_t, snapshot: u64) -> c_int;
    pub(super) fn rbd_snap_get_namespace_type(
        image: rbd_image_t,
        snapshot: u64,
        namespace: *mut c_int,
    ) -> c_int;
    pub(super) fn rbd_snap_get_trash_namespace(
        image: rbd_image_t,
        snapshot: u64,
        name: *mut c_char,
        length: usize,
    ) -> c_int;

    pub(super) fn rbd_metadata_list(
        image: rbd_image_t,
        start: *const c_char,
        max: u64,
        keys: *mut c_char,
        keys_length: *mut usize,
        values: *mut c_char,
        values_length: *mut usize,
    ) -> c_int;
    pub(super) fn rbd_metadata_set(image: rbd_image_t, key: *const c_char, value: *const c_char) -> c_int;
    pub(super) fn rbd_metadata_remove(image: rbd_image_t, key: *const c_char) -> c_int;

    pub(super) fn rbd_get_features(image: rbd_image_t, features: *mut u64) -> c_int;
    pub(super) fn rbd_update_features(image: rbd_image_t, features: u64, enabled: u8) -> c_int;

    pub(super) fn rbd_mirror_mode_get(io: rados_ioctx_t, mode: *mut c_int) -> c_int;
    pub(super) fn rbd_mirror_image_enable2(image: rbd_image_t, mode: c_int) -> c_int;
    pub(super) fn rbd_mirror_image_disable(image: rbd_image_t, force: bool) -> c_int;
    pub(super) fn rbd_mirror_image_get_info(
        image: rbd_image_t,
        info: *mut rbd_mirror_image_info_t,
        size: usize,
    ) -> c_int;
    pub(super) fn rbd_mirror_image_get_info_cleanup(info: *mut rbd_mirror_image_info_t);

    pub(super) fn rbd_aio_create_completion(
        arg: *mut c_void,
        callback: rbd_callback_t,
        completion: *mut rbd_completion_t,
    ) -> c_int;
    pub(super) fn rbd_aio_get_return_value(completion: rbd_completion_t) -> isize;
    pub(super) fn rbd_aio_release(completion: rbd_completion_t);
    pub(super) fn rbd_aio_read(
        image: rbd_image_t,
        offset: u64,
        length: usize,
        buffer: *mut c_char,
        completion: rbd_completion_t,
    ) -> c_int;
    pub(super) fn rbd_aio_writev(
        image: rbd_image_t,
        parts: *const libc::iovec,
        count: c_int,
        offset: u64,
        completion: rbd_completion_t,
    ) -> c_int;
    pub(super) fn rbd_aio_write_zeroes(
        image: rbd_image_t,
        offset: u64,
        length: usize,
        completion: rbd_completion_t,
        zero_flags: c_int,
        op_flags: c_int,
    ) -> c_int;
    pub(super) fn rbd_aio_discard(
        image: rbd_image_t,
        offset: u64,
        length: u64,
        completion: rbd_completion_t,
    ) -> c_int;
    pub(super) fn rbd_aio_flush(image: rbd_image_t, completion: rbd_completion_t) -> c_int;
}
