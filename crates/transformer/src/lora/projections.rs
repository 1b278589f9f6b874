//! Where adapters stand.

use crate::block::Block;
use crate::checkpoint::{BlockRole, Leaf, Role, Slot};
use crate::families::{BlockForm, Family};
use crate::linear::Linear;

/// A projection of a block, as its family's checkpoints hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Projection {
    /// One that stands alone.
    Alone(BlockRole),
    /// Queries, keys and values in one.
    Joint,
}

impl Projection {
    /// The projections of a block of `family`, those that `block` has.
    pub fn of(block: &Block, family: Family) -> Vec<Self> {
        let mut found = Vec::new();
        for role in ROLES {
            let Some((_, form)) = family.block_layer(role) else {
                continue;
            };
            let projection = match form {
                BlockForm::Plain | BlockForm::Linear => Self::Alone(role),
                BlockForm::Columns(_) | BlockForm::Heads(_) => Self::Joint,
            };
            if layer(block, role).is_some() && !found.contains(&projection) {
                found.push(projection);
            }
        }
        found
    }

    /// A layer that stands for it.
    fn role(self) -> BlockRole {
        match self {
            Self::Alone(role) => role,
            Self::Joint => BlockRole::Query,
        }
    }

    /// Its name in checkpoints, the last part of it: `q_proj`.
    pub fn name(self, family: Family) -> &'static str {
        let (name, _) = family
            .block_layer(self.role())
            .expect("a projection of the family");
        name.rsplit('.').next().unwrap_or(name)
    }

    /// Its name in checkpoints, with all that stands before it: `model.layers.0.self_attn.q_proj`.
    pub fn path(self, family: Family, index: usize) -> String {
        let slot = Slot {
            role: Role::Block(index, self.role()),
            leaf: Leaf::Weight,
        };
        let (mut names, _) = family.stored(slot, 1).expect("a projection of the family");
        let name = names.swap_remove(0);
        name.strip_suffix(".weight").unwrap_or(&name).to_owned()
    }
}

const ROLES: [BlockRole; 7] = [
    BlockRole::Query,
    BlockRole::Key,
    BlockRole::Value,
    BlockRole::Output,
    BlockRole::Gate,
    BlockRole::Up,
    BlockRole::Down,
];

/// The layer of a block with a role that has weights to adapt.
pub(super) fn layer(block: &Block, role: BlockRole) -> Option<&Linear> {
    let (attention, mlp) = (&block.self_attn, &block.mlp);
    match role {
        BlockRole::Query => Some(&attention.q_proj),
        BlockRole::Key => Some(&attention.k_proj),
        BlockRole::Value => Some(&attention.v_proj),
        BlockRole::Output => Some(&attention.o_proj),
        BlockRole::Gate => mlp.gate_proj.as_ref(),
        BlockRole::Up => Some(&mlp.up_proj),
        BlockRole::Down => Some(&mlp.down_proj),
        BlockRole::AttentionNorm
        | BlockRole::QueryNorm
        | BlockRole::KeyNorm
        | BlockRole::AttentionOutputNorm
        | BlockRole::MlpNorm
        | BlockRole::MlpOutputNorm => None,
    }
}

/// [`layer`], to be changed.
///
/// # Panics
/// If there is no such layer.
pub(super) fn layer_mut(block: &mut Block, role: BlockRole) -> &mut Linear {
    let (attention, mlp) = (&mut block.self_attn, &mut block.mlp);
    let layer = match role {
        BlockRole::Query => Some(&mut attention.q_proj),
        BlockRole::Key => Some(&mut attention.k_proj),
        BlockRole::Value => Some(&mut attention.v_proj),
        BlockRole::Output => Some(&mut attention.o_proj),
        BlockRole::Gate => mlp.gate_proj.as_mut(),
        BlockRole::Up => Some(&mut mlp.up_proj),
        BlockRole::Down => Some(&mut mlp.down_proj),
        BlockRole::AttentionNorm
        | BlockRole::QueryNorm
        | BlockRole::KeyNorm
        | BlockRole::AttentionOutputNorm
        | BlockRole::MlpNorm
        | BlockRole::MlpOutputNorm => None,
    };
    layer.expect("a projection of the block")
}
