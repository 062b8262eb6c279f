//! Keys too long to stand in a row.

/// A slab of boxed keys; a row keeps the handle.
#[derive(Default)]
pub(crate) struct LongKeys {
    keys: Vec<Box<[u8]>>,
    free: Vec<u32>,
}

impl LongKeys {
    pub(crate) fn insert(&mut self, key: &[u8]) -> u32 {
        if let Some(handle) = self.free.pop() {
            self.keys[handle as usize] = key.into();
            return handle;
        }
        self.keys.push(key.into());
        (self.keys.len() - 1) as u32
    }

    pub(crate) fn remove(&mut self, handle: u32) {
        self.keys[handle as usize] = Box::default();
        self.free.push(handle);
    }

    #[inline]
    pub(crate) fn get(&self, handle: u32) -> &[u8] {
        &self.keys[handle as usize]
    }
}
