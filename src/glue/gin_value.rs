//! What a GIN index of `text_values` has of a value: the places of its rows, as a list or as a tree.
//!
//! A scan of such an index gives all places that a value has, one by one. Of a common value only those near some rows
//! are wanted, and how many there are before any is read. So the parts that such a scan is made of are called here:
//! the list that waits, the tree of values, a value's tree of places.

use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;

use pgrx::pg_sys;

use super::index_scan::{place, place_number};
use super::partition::Partition;
use super::past_pgrx;
use super::pending_list::GinState;
use super::varlena::Kept;
use super::version;

/// PostgreSQL's way through a tree of a GIN index.
#[repr(C)]
pub struct GinBtree {
    find_child_page: usize,
    get_left_most_child: usize,
    is_move_right: usize,
    find_item: Option<unsafe extern "C-unwind" fn(*mut GinBtree, *mut GinBtreeStack) -> bool>,
    /// Of inserting.
    others: [usize; 5],
    is_data: bool,
    index: pg_sys::Relation,
    root: pg_sys::BlockNumber,
    state: *mut GinState,
    full_scan: bool,
    is_build: bool,
    column: pg_sys::OffsetNumber,
    key: pg_sys::Datum,
    category: i8,
    place: pg_sys::ItemPointerData,
}

/// Where in a tree it stands.
#[repr(C)]
pub struct GinBtreeStack {
    block: pg_sys::BlockNumber,
    buffer: pg_sys::Buffer,
    offset: pg_sys::OffsetNumber,
    place: pg_sys::ItemPointerData,
    /// How many pages of its level there are, about.
    pages: u32,
    parent: *mut GinBtreeStack,
}

/// What stands at the end of each page.
#[repr(C)]
struct PageEnd {
    right: pg_sys::BlockNumber,
    items: u16,
    flags: u16,
}

/// The beginning of the first page's content.
#[repr(C)]
struct MetaPage {
    head: pg_sys::BlockNumber,
}

const META_BLOCK: pg_sys::BlockNumber = 0;
const SHARE: i32 = pg_sys::BUFFER_LOCK_SHARE as i32;
const UNLOCK: i32 = pg_sys::BUFFER_LOCK_UNLOCK as i32;
const NORMAL_KEY: i8 = 0;
const DELETED: u16 = 1 << 2;
/// In place of a number of places: they are in a tree.
const IN_A_TREE: u16 = 0xffff;

/// A GIN index that a partition has open.
pub struct GinIndex<'a> {
    partition: &'a Partition,
    index: pg_sys::Relation,
    state: *mut GinState,
}

/// A value's places.
#[derive(Default)]
pub struct Found<'a> {
    /// Those that wait or are in a list, in no order.
    pub places: Vec<u64>,
    pub tree: Option<Tree<'a>>,
}

impl<'a> GinIndex<'a> {
    /// # Safety
    /// The index is one of `text_values` that the partition has open.
    pub unsafe fn of(partition: &'a Partition, index: pg_sys::Relation) -> Self {
        // SAFETY: by contract; the state is in the query's memory.
        unsafe {
            let state = pg_sys::palloc0(size_of::<GinState>()).cast::<GinState>();
            pg_sys::ffi::pg_guard_ffi_boundary(|| past_pgrx::initGinState(state, index));
            GinIndex { partition, index, state }
        }
    }

    /// What the index has of values, each of a column of it, from 1.
    pub fn find(&self, wanted: &[(i16, &str)]) -> Vec<Found<'a>> {
        let mut found: Vec<Found> = wanted.iter().map(|_| Found::default()).collect();
        let keys: Vec<Kept> = wanted.iter().map(|(_, value)| Kept::text(value)).collect();
        // What waits comes first: it may be merged meanwhile, and is found twice then, but not missed.
        let mut which: HashMap<(i16, &[u8]), Vec<usize>> = HashMap::new();
        for (i, (column, value)) in wanted.iter().enumerate() {
            which.entry((*column, value.as_bytes())).or_default().push(i);
        }
        let mut add = |column: u16, value: &[u8], place: u64| {
            let theirs = which.get(&(column as i16, value));
            theirs.into_iter().flatten().for_each(|i| found[*i].places.push(place));
        };
        // SAFETY: the index is open; one guard for all calls, and nothing in it to be dropped.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                past_pgrx::PredicateLockPage(self.index, META_BLOCK, self.partition.snapshot);
                self.each_that_waits(&mut add);
            });
            for ((found, (column, _)), key) in found.iter_mut().zip(wanted).zip(&keys) {
                let (column, key) = (*column as u16, key.value().datum());
                let places = &mut found.places;
                let root = pg_sys::ffi::pg_guard_ffi_boundary(|| self.list_or_root(column, key, places));
                found.tree = root.map(|root| Tree::of(self.index, self.partition.snapshot, root));
            }
        }
        found
    }

    /// Gives column, value and place of what is in the pending list.
    ///
    /// # Safety
    /// Under a guard.
    unsafe fn each_that_waits(&self, each: &mut impl FnMut(u16, &[u8], u64)) {
        // SAFETY: by contract; pages are looked at while they are locked. The next is locked before this one is let go.
        unsafe {
            let meta = past_pgrx::ReadBuffer(self.index, META_BLOCK);
            past_pgrx::LockBuffer(meta, SHARE);
            let head = (*pg_sys::PageGetContents(pg_sys::BufferGetPage(meta)).cast::<MetaPage>()).head;
            let mut next = head;
            let mut held = meta;
            while next != pg_sys::InvalidBlockNumber {
                let buffer = past_pgrx::ReadBuffer(self.index, next);
                past_pgrx::LockBuffer(buffer, SHARE);
                past_pgrx::LockBuffer(held, UNLOCK);
                past_pgrx::ReleaseBuffer(held);
                held = buffer;
                let page = pg_sys::BufferGetPage(buffer);
                for item in 1..=pg_sys::PageGetMaxOffsetNumber(page) {
                    let id = pg_sys::PageGetItemId(page, item);
                    let tuple: pg_sys::IndexTuple = pg_sys::PageGetItem(page, id).cast();
                    let mut category = NORMAL_KEY;
                    let column = past_pgrx::gintuple_get_attrnum(self.state, tuple);
                    let key = past_pgrx::gintuple_get_key(self.state, tuple, &mut category);
                    if category == NORMAL_KEY {
                        let plain = past_pgrx::pg_detoast_datum_packed(key.cast_mut_ptr());
                        let value = pgrx::varlena::varlena_to_byte_slice(plain);
                        each(column, value, number(&(*tuple).t_tid));
                    }
                }
                next = (*end_of(page)).right;
            }
            past_pgrx::LockBuffer(held, UNLOCK);
            past_pgrx::ReleaseBuffer(held);
        }
    }

    /// Adds a value's places where they are in a list; the root of the tree where they are in one.
    ///
    /// # Safety
    /// Under a guard; the key is a text.
    unsafe fn list_or_root(
        &self,
        column: u16,
        key: pg_sys::Datum,
        places: &mut Vec<u64>,
    ) -> Option<pg_sys::BlockNumber> {
        // SAFETY: by contract; the page is locked until the stack is freed.
        unsafe {
            let mut btree: GinBtree = std::mem::zeroed();
            past_pgrx::ginPrepareEntryScan(&mut btree, column, key, NORMAL_KEY, self.state);
            let stack = version::find_gin_leaf(&mut btree, self.partition.snapshot);
            let mut root = None;
            if btree.find_item.is_some_and(|find| find(&mut btree, stack)) {
                let page = pg_sys::BufferGetPage((*stack).buffer);
                let id = pg_sys::PageGetItemId(page, (*stack).offset);
                let tuple: pg_sys::IndexTuple = pg_sys::PageGetItem(page, id).cast();
                match (*tuple).t_tid.ip_posid {
                    IN_A_TREE => root = Some((number(&(*tuple).t_tid) >> 16) as pg_sys::BlockNumber),
                    _ => {
                        let mut count = 0;
                        let list = past_pgrx::ginReadTuple(self.state, column, tuple, &mut count);
                        let list = std::slice::from_raw_parts(list, count as usize);
                        places.extend(list.iter().map(number));
                    }
                }
            }
            if root.is_none() {
                // Whoever writes such a value past the pending list writes it there.
                let block = past_pgrx::BufferGetBlockNumber((*stack).buffer);
                past_pgrx::PredicateLockPage(self.index, block, self.partition.snapshot);
            }
            past_pgrx::LockBuffer((*stack).buffer, UNLOCK);
            past_pgrx::freeGinBtreeStack(stack);
            root
        }
    }
}

/// The places of a value's rows, by pages of some thousand.
pub struct Tree<'a> {
    partition: PhantomData<&'a Partition>,
    snapshot: pg_sys::Snapshot,
    btree: RefCell<Box<GinBtree>>,
    about: f64,
    read: RefCell<Read>,
}

/// All places from one to another, both included, that a tree has.
struct Read {
    from: u64,
    to: u64,
    places: Vec<u64>,
}

impl<'a> Tree<'a> {
    /// # Safety
    /// The index is open as long as the partition; the block is the root of one of its trees of places.
    unsafe fn of(index: pg_sys::Relation, snapshot: pg_sys::Snapshot, root: pg_sys::BlockNumber) -> Self {
        // SAFETY: by contract; the first page is locked until the stack is freed.
        unsafe {
            let mut btree: Box<GinBtree> = Box::new(std::mem::zeroed());
            let way = &raw mut *btree;
            let about = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                past_pgrx::PredicateLockPage(index, root, snapshot);
                let stack = version::begin_gin_posting_tree(way, index, root, snapshot);
                let mut buffer = (*stack).buffer;
                let first = count_of(pg_sys::BufferGetPage(buffer));
                let others = f64::from((*stack).pages) - 1.0;
                let mut about = first;
                // The first page is as it was made with the tree, the others as they were filled.
                if others > 0.0 && !is_last(pg_sys::BufferGetPage(buffer)) {
                    buffer = past_pgrx::ginStepRight(buffer, index, SHARE);
                    (*stack).buffer = buffer;
                    about += others * count_of(pg_sys::BufferGetPage(buffer));
                }
                past_pgrx::LockBuffer(buffer, UNLOCK);
                past_pgrx::freeGinBtreeStack(stack);
                about
            });
            let read = RefCell::new(Read { from: 1, to: 0, places: Vec::new() });
            Tree { partition: PhantomData, snapshot, btree: RefCell::new(btree), about, read }
        }
    }

    /// How many places there are, about.
    pub fn about(&self) -> f64 {
        self.about
    }

    /// Adds its places from one to another, both included, in ascending order.
    pub fn between(&self, from: u64, to: u64, places: &mut Vec<u64>) {
        let mut read = self.read.borrow_mut();
        if from < read.from || to > read.to {
            self.read(from, to, &mut read);
        }
        let begin = read.places.partition_point(|one| *one < from);
        let end = begin + read.places[begin..].partition_point(|one| *one <= to);
        places.extend_from_slice(&read.places[begin..end]);
    }

    /// Reads the pages that have what is between two places.
    fn read(&self, from: u64, to: u64, read: &mut Read) {
        let mut btree = self.btree.borrow_mut();
        (btree.full_scan, btree.place) = (false, place(from));
        let way = &raw mut **btree;
        (read.from, read.to) = (1, 0);
        read.places.clear();
        // SAFETY: the index is open; pages are looked at while they are locked. Nothing in it has to be dropped.
        let last = unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                let stack = version::find_gin_leaf(way, self.snapshot);
                let mut buffer = (*stack).buffer;
                // Freeing the stack lets go of it once.
                past_pgrx::IncrBufferRefCount(buffer);
                past_pgrx::freeGinBtreeStack(stack);
                let last = loop {
                    let page = pg_sys::BufferGetPage(buffer);
                    let end = end_of(page);
                    if (*end).flags & DELETED == 0 {
                        let mut count = 0;
                        let items = past_pgrx::GinDataLeafPageGetItems(page, &mut count, place(0));
                        if !items.is_null() {
                            let items = std::slice::from_raw_parts_mut(items, count as usize);
                            read.places.extend(items.iter().map(number));
                            past_pgrx::pfree(items.as_mut_ptr().cast());
                        }
                        let bound = number(&*pg_sys::PageGetContents(page).cast());
                        if !is_last(page) && bound >= to {
                            break bound;
                        }
                    }
                    if is_last(page) {
                        break u64::MAX;
                    }
                    buffer = past_pgrx::ginStepRight(buffer, (*way).index, SHARE);
                };
                past_pgrx::LockBuffer(buffer, UNLOCK);
                past_pgrx::ReleaseBuffer(buffer);
                last
            })
        };
        (read.from, read.to) = (read.places.first().map_or(from, |first| *first.min(&from)), last);
    }
}

fn number(place: &pg_sys::ItemPointerData) -> u64 {
    place_number((u32::from(place.ip_blkid.bi_hi) << 16) | u32::from(place.ip_blkid.bi_lo), place.ip_posid)
}

/// How many places a page of a tree has.
///
/// # Safety
/// Under a guard; a leaf page of such a tree, locked.
unsafe fn count_of(page: pg_sys::Page) -> f64 {
    let mut count = 0;
    // SAFETY: by contract.
    unsafe {
        let items = past_pgrx::GinDataLeafPageGetItems(page, &mut count, place(0));
        if !items.is_null() {
            past_pgrx::pfree(items.cast());
        }
    }
    f64::from(count)
}

/// # Safety
/// A page of a GIN index.
unsafe fn is_last(page: pg_sys::Page) -> bool {
    // SAFETY: by contract.
    unsafe { (*end_of(page)).right == pg_sys::InvalidBlockNumber }
}

/// # Safety
/// A page of a GIN index.
unsafe fn end_of(page: pg_sys::Page) -> *const PageEnd {
    // SAFETY: by contract.
    unsafe { pg_sys::PageGetSpecialPointer(page).cast() }
}

/// As PostgreSQL lays it out, in all versions so far.
const _: () = {
    assert!(std::mem::offset_of!(GinBtree, index) == 80 && std::mem::offset_of!(GinBtree, full_scan) == 104);
    assert!(std::mem::offset_of!(GinBtree, key) == 112 && std::mem::offset_of!(GinBtree, place) == 122);
    assert!(std::mem::offset_of!(GinBtreeStack, pages) == 16 && size_of::<PageEnd>() == 8);
};
