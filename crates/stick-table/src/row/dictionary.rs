//! The strings of `server_key`, each kept once while an entry refers to it.

use std::collections::HashMap;
use std::sync::Arc;

/// Reference-counted strings with small numbers; 0 stands for "unset". Holds no more strings than are referred to.
#[derive(Debug, Default)]
pub struct Dictionary {
    ids: HashMap<Arc<str>, u32>,
    strings: Vec<Option<(Arc<str>, u32)>>,
    free: Vec<u32>,
    /// Bytes of the strings.
    text: usize,
}

impl Dictionary {
    /// The id of a string, with one reference more.
    pub fn acquire(&mut self, string: &Arc<str>) -> u32 {
        if let Some(&id) = self.ids.get(string) {
            if let Some((_, references)) = &mut self.strings[id as usize - 1] {
                *references += 1;
            }
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.strings.push(None);
            self.strings.len() as u32
        });
        self.strings[id as usize - 1] = Some((Arc::clone(string), 1));
        self.text += string.len();
        self.ids.insert(Arc::clone(string), id);
        id
    }

    /// Gives one reference back; the last one forgets the string.
    pub fn release(&mut self, id: u32) {
        let Some(slot) = (id as usize).checked_sub(1).and_then(|index| self.strings.get_mut(index)) else {
            return;
        };
        let Some((string, references)) = slot else { return };
        *references -= 1;
        if *references == 0 {
            self.ids.remove(string);
            self.text -= string.len();
            *slot = None;
            self.free.push(id);
        }
    }

    /// The string of an id; `None` for 0.
    pub fn get(&self, id: u32) -> Option<&Arc<str>> {
        let index = (id as usize).checked_sub(1)?;
        self.strings.get(index)?.as_ref().map(|(string, _)| string)
    }

    /// Bytes of memory for the strings' places, and for the strings themselves.
    pub fn bytes(&self) -> usize {
        self.text
            + self.ids.capacity() * (size_of::<(Arc<str>, u32)>() + 1)
            + self.strings.capacity() * size_of::<Option<(Arc<str>, u32)>>()
            + self.free.capacity() * size_of::<u32>()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_lives_as_long_as_it_is_referred_to() {
        let mut dictionary = Dictionary::default();
        let (one, two): (Arc<str>, Arc<str>) = ("srv1".into(), "srv2".into());
        let id = dictionary.acquire(&one);
        assert_eq!(dictionary.acquire(&one), id);
        let other = dictionary.acquire(&two);
        dictionary.release(id);
        assert_eq!(dictionary.get(id), Some(&one));
        dictionary.release(id);
        assert_eq!(dictionary.get(id), None);
        assert_eq!(dictionary.acquire(&two), other);
        assert_eq!((dictionary.len(), dictionary.get(0)), (1, None));
    }
}
