//! What changes are made by, without a table.

use std::sync::Arc;

use crate::common::Common;
use crate::row::sought_key::SoughtKey;
use crate::{Batch, DefinitionError, KeyError, Layout, TableDefinition};

/// A definition, where its elements are, and how its keys are hashed: what a [`Batch`] is made by. For those who keep
/// entries otherwise than a [`Table`](crate::Table) does, and fill batches all the same.
#[derive(Clone)]
pub struct Schema(Arc<Common>);

impl Schema {
    /// The schema of a definition. `seed` makes the hashes of keys unpredictable: pass a random number where keys come from
    /// outside.
    ///
    /// # Errors
    /// When a number or a name of the definition is out of its range, see [`TableDefinition::check`].
    pub fn new(definition: TableDefinition, seed: u64) -> Result<Self, DefinitionError> {
        definition.check()?;
        Ok(Self(Arc::new(Common::new(definition, seed))))
    }

    /// What a table by this schema is.
    pub fn definition(&self) -> &TableDefinition {
        &self.0.definition
    }

    /// Where each element is in the data words of a change.
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// An empty batch, to be read with [`Batch::changes_of_stripe`]; no table takes it.
    pub fn batch(&self) -> Batch {
        Batch::by(Arc::clone(&self.0))
    }

    /// Whether a batch was made by this schema.
    pub fn is_of(&self, batch: &Batch) -> bool {
        batch.belongs_to(&self.0)
    }

    /// The hash of a canonical key, as [`ChangeRef::hash`](crate::ChangeRef::hash).
    ///
    /// # Errors
    /// When the key is none of the table's, see [`KeyType::check`](crate::KeyType::check).
    pub fn hash(&self, key: &[u8]) -> Result<u64, KeyError> {
        self.definition().key_type.check(key)?;
        Ok(SoughtKey::with(&self.0.layout, key, |key| self.0.hash(key)))
    }
}
