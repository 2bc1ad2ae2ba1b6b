//! What of a call is read for the rules that apply to it.

use super::compile::Checks;
use super::condition::View;
use super::query::Query;
use crate::wire::mcp::Feature;
use crate::wire::tree::{NoTree, Tree};

/// The parts of a call that rules read, each only where one does.
#[derive(Default)]
pub(super) struct Trees<'a> {
    pub(super) arguments: Option<Tree<'a>>,
    pub(super) meta: Option<Tree<'a>>,
}

impl<'a> Trees<'a> {
    pub(super) fn read<'p>(query: &Query<'a>, mut checks: impl Iterator<Item = &'p Checks>) -> Result<Self, NoTree> {
        let (mut reads_arguments, mut reads_meta) = (false, false);
        for checks in &mut checks {
            reads_arguments |= checks.reads_arguments;
            reads_meta |= checks.reads_meta;
        }
        let tree = |wanted: bool, text: Option<_>| text.filter(|_| wanted).map(Tree::read).transpose();
        Ok(Self { arguments: tree(reads_arguments, query.arguments)?, meta: tree(reads_meta, query.meta)? })
    }

    pub(super) fn view<'v>(&'v self, query: &Query<'v>) -> View<'v, 'a> {
        View {
            arguments: self.arguments.as_ref(),
            meta: self.meta.as_ref(),
            grant: &query.principal.grant,
            session: query.principal.session.as_deref(),
            uri: query.target.filter(|target| target.feature == Feature::Resource).map(|target| target.name),
            facts: query.facts,
        }
    }
}
