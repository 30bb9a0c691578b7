//! Vectors: `wasm_*_vec_t`.
//!
//! ```text
//!   Vector<T>  { size, data } ── malloc ──> T T T ...      data is null if there are no elements
//! ```
//!
//! Elements are values (`u8`, `wasm_val_t`) or owned pointers (`Option<Box<T>>`, null for `None`). All of them are
//! valid when their bytes are zero, which is what an uninitialized vector has. The memory is `malloc`'s, which
//! needs no size to free it, so C may change the size and even free the array itself.

use alloc::alloc::{Layout, handle_alloc_error};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::{ptr, slice};

use crate::c_library;
use crate::extern_::wasm_extern_t;
use crate::frame::wasm_frame_t;
use crate::prelude::*;
use crate::types::{
    wasm_exporttype_t, wasm_externtype_t, wasm_functype_t, wasm_globaltype_t, wasm_importtype_t,
    wasm_memorytype_t, wasm_tabletype_t, wasm_tagtype_t, wasm_valtype_t,
};
use crate::value::wasm_val_t;

/// `wasm_*_vec_t`. Owns its elements.
#[repr(C)]
pub(crate) struct Vector<T> {
    pub(crate) size: usize,
    pub(crate) data: *mut T,
}

/// `wasm_byte_vec_t`, and `wasm_name_t`.
pub(crate) type wasm_byte_vec_t = Vector<u8>;

/// What vectors of C consist of.
///
/// # Safety
/// 1. Bytes of zero are a valid value.
pub(crate) unsafe trait Element: Clone {}

// SAFETY: 1. A number.
unsafe impl Element for u8 {}
// SAFETY: 1. A null pointer is `None`.
unsafe impl<T: Clone> Element for Option<Box<T>> {}
// SAFETY: 1. An `i32`.
unsafe impl Element for wasm_val_t {}

impl<T> Default for Vector<T> {
    fn default() -> Self {
        Self { size: 0, data: ptr::null_mut() }
    }
}

impl<T> Drop for Vector<T> {
    fn drop(&mut self) {
        // SAFETY: the type's invariant, which the crate's contract extends to vectors that C made: `size` valid
        // elements in memory of `malloc`'s, or null.
        unsafe {
            ptr::drop_in_place(ptr::from_mut(self.as_mut_slice()));
            c_library::free(self.data.cast());
        }
    }
}

impl<T: Element> Clone for Vector<T> {
    fn clone(&self) -> Self {
        Self::from_vec(self.as_slice().to_vec())
    }
}

impl<T> Vector<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: as in `drop`.
        unsafe { slice::from_raw_parts(self.data, self.size) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        if self.data.is_null() {
            return &mut [];
        }
        // SAFETY: as in `drop`.
        unsafe { slice::from_raw_parts_mut(self.data, self.size) }
    }

    pub(crate) fn from_vec(elements: Vec<T>) -> Self {
        let vector = Self { size: elements.len(), data: allocate(elements.len()) };
        for (index, element) in elements.into_iter().enumerate() {
            // SAFETY: there is room for as many elements.
            unsafe { vector.data.add(index).write(element) };
        }
        vector
    }

    /// The elements as places to write to: what is there is not dropped.
    pub(crate) fn as_uninit(&mut self) -> &mut [MaybeUninit<T>] {
        let elements = self.as_mut_slice();
        // SAFETY: what is initialized can be seen as if it were not, as long as nothing that is not is written.
        unsafe { &mut *(ptr::from_mut(elements) as *mut [MaybeUninit<T>]) }
    }

    /// A vector of elements that somebody else owns.
    pub(crate) fn borrowed(elements: *mut [T]) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self { size: elements.len(), data: elements.cast() })
    }
}

impl<T> Vector<Option<Box<T>>> {
    /// A vector of pointers to values of its own.
    pub(crate) fn of(values: impl IntoIterator<Item = T>) -> Self {
        Self::from_vec(values.into_iter().map(|value| Some(Box::new(value))).collect())
    }

    /// The elements that are not null.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.as_slice().iter().flatten().map(|element| &**element)
    }
}

/// Room for `count` elements, all bytes zero; null for none.
fn allocate<T>(count: usize) -> *mut T {
    if count == 0 {
        return ptr::null_mut();
    }
    // SAFETY: a plain call; it looks for an overflow itself.
    let data: *mut T = unsafe { c_library::calloc(count, size_of::<T>()) }.cast();
    if data.is_null() {
        handle_alloc_error(Layout::new::<T>());
    }
    data
}

/// A vector of `size` elements whose bytes are zero.
fn uninitialized<T: Element>(size: usize) -> Vector<T> {
    Vector { size, data: allocate(size) }
}

/// A vector that takes over `size` elements of C's, which it copies as they are.
fn new<T: Element>(size: usize, elements: *const T) -> Vector<T> {
    let vector = uninitialized(size);
    if size > 0 {
        // SAFETY: the crate's contract: C gives away as many elements; the vector has as much room.
        unsafe { ptr::copy_nonoverlapping(elements, vector.data, size) };
    }
    vector
}

macro_rules! vectors {
    ($($element:ty: $new_empty:ident $new_uninitialized:ident $new:ident $copy:ident $delete:ident;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $new_empty(out: &mut MaybeUninit<Vector<$element>>) {
            out.write(Vector::default());
        }

        #[unsafe(no_mangle)]
        extern "C" fn $new_uninitialized(out: &mut MaybeUninit<Vector<$element>>, size: usize) {
            out.write(uninitialized(size));
        }

        #[unsafe(no_mangle)]
        extern "C" fn $new(out: &mut MaybeUninit<Vector<$element>>, size: usize, elements: *const $element) {
            out.write(new(size, elements));
        }

        #[unsafe(no_mangle)]
        extern "C" fn $copy(out: &mut MaybeUninit<Vector<$element>>, vector: &Vector<$element>) {
            out.write(vector.clone());
        }

        #[unsafe(no_mangle)]
        extern "C" fn $delete(vector: Option<&mut Vector<$element>>) {
            if let Some(vector) = vector {
                *vector = Vector::default();
            }
        }
    )*};
}

vectors! {
    u8: wasm_byte_vec_new_empty wasm_byte_vec_new_uninitialized wasm_byte_vec_new wasm_byte_vec_copy wasm_byte_vec_delete;
    wasm_val_t: wasm_val_vec_new_empty wasm_val_vec_new_uninitialized wasm_val_vec_new wasm_val_vec_copy wasm_val_vec_delete;
    Option<Box<wasm_valtype_t>>: wasm_valtype_vec_new_empty wasm_valtype_vec_new_uninitialized wasm_valtype_vec_new wasm_valtype_vec_copy wasm_valtype_vec_delete;
    Option<Box<wasm_functype_t>>: wasm_functype_vec_new_empty wasm_functype_vec_new_uninitialized wasm_functype_vec_new wasm_functype_vec_copy wasm_functype_vec_delete;
    Option<Box<wasm_globaltype_t>>: wasm_globaltype_vec_new_empty wasm_globaltype_vec_new_uninitialized wasm_globaltype_vec_new wasm_globaltype_vec_copy wasm_globaltype_vec_delete;
    Option<Box<wasm_tabletype_t>>: wasm_tabletype_vec_new_empty wasm_tabletype_vec_new_uninitialized wasm_tabletype_vec_new wasm_tabletype_vec_copy wasm_tabletype_vec_delete;
    Option<Box<wasm_memorytype_t>>: wasm_memorytype_vec_new_empty wasm_memorytype_vec_new_uninitialized wasm_memorytype_vec_new wasm_memorytype_vec_copy wasm_memorytype_vec_delete;
    Option<Box<wasm_tagtype_t>>: wasm_tagtype_vec_new_empty wasm_tagtype_vec_new_uninitialized wasm_tagtype_vec_new wasm_tagtype_vec_copy wasm_tagtype_vec_delete;
    Option<Box<wasm_externtype_t>>: wasm_externtype_vec_new_empty wasm_externtype_vec_new_uninitialized wasm_externtype_vec_new wasm_externtype_vec_copy wasm_externtype_vec_delete;
    Option<Box<wasm_importtype_t>>: wasm_importtype_vec_new_empty wasm_importtype_vec_new_uninitialized wasm_importtype_vec_new wasm_importtype_vec_copy wasm_importtype_vec_delete;
    Option<Box<wasm_exporttype_t>>: wasm_exporttype_vec_new_empty wasm_exporttype_vec_new_uninitialized wasm_exporttype_vec_new wasm_exporttype_vec_copy wasm_exporttype_vec_delete;
    Option<Box<wasm_frame_t>>: wasm_frame_vec_new_empty wasm_frame_vec_new_uninitialized wasm_frame_vec_new wasm_frame_vec_copy wasm_frame_vec_delete;
    Option<Box<wasm_extern_t>>: wasm_extern_vec_new_empty wasm_extern_vec_new_uninitialized wasm_extern_vec_new wasm_extern_vec_copy wasm_extern_vec_delete;
}
