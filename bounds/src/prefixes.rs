//! Requests as paths in a tree of their common prefixes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use warmpath_core::block::{BlockHash, Chain, TokenBlocks};

/// What a request asks of caches and leaves in them.
#[derive(Clone, Debug)]
pub struct Use {
    /// Prompt and answer, or the prompt where the answer is not cached.
    pub sequence: TokenBlocks,
    /// Full blocks of the prompt, at the start of the sequence.
    pub prompt_blocks: u32,
    /// The most of them that can be cached: at least one prompt token is computed.
    pub reusable_blocks: u32,
}

/// A number for each node. A node is a stretch of blocks that the same requests use.
pub type Node = u32;

const ROOT: Node = 0;

/// All requests of a run, in some order.
#[derive(Clone, Debug)]
pub struct Prefixes {
    tree: Arc<Tree>,
    requests: Vec<Ends>,
}

#[derive(Debug, Default)]
struct Tree {
    nodes: Vec<Stretch>,
    /// The node whose first block follows a node and has this name.
    children: HashMap<(Node, BlockHash), Node>,
}

#[derive(Debug)]
struct Stretch {
    parent: Node,
    start: u32,
    end: u32,
    chain: Chain,
}

/// Where a request ends in the tree.
#[derive(Clone, Copy, Debug)]
struct Ends {
    reusable: Node,
    prompt: Node,
    sequence: Node,
}

impl Use {
    /// A prompt whose answer is not cached.
    pub fn of_prompt(prompt: &TokenBlocks) -> Self {
        Self {
            sequence: prompt.clone(),
            prompt_blocks: prompt.blocks(),
            reusable_blocks: prompt.reusable_blocks(),
        }
    }
}

impl Prefixes {
    pub fn new<'a>(requests: impl IntoIterator<Item = &'a Use>) -> Self {
        let mut tree = Tree::default();
        let requests = requests.into_iter().map(|request| tree.add(request)).collect();
        Self { tree: Arc::new(tree), requests }
    }

    /// The same requests in another order, some of them perhaps left out.
    #[must_use]
    pub fn in_order(&self, order: impl IntoIterator<Item = usize>) -> Self {
        let requests = order.into_iter().map(|request| self.requests[request]).collect();
        Self { tree: Arc::clone(&self.tree), requests }
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// How many different blocks there are.
    pub fn different_blocks(&self) -> u64 {
        self.tree.nodes.iter().map(|node| u64::from(node.end - node.start)).sum()
    }

    /// How many nodes there are. They are numbered from 0 on; the first one has no blocks.
    pub fn nodes(&self) -> usize {
        self.tree.nodes.len()
    }

    /// Blocks of a node.
    pub fn blocks(&self, node: Node) -> u32 {
        let Range { start, end } = self.range(node);
        end - start
    }

    /// Its first block, counted from the start of a prompt, and the block behind its last one.
    pub fn range(&self, node: Node) -> Range<u32> {
        let Stretch { start, end, .. } = self.tree.nodes[node as usize];
        start..end
    }

    /// The nodes of a request's prompt, the last one first.
    pub fn prompt(&self, request: usize) -> impl Iterator<Item = Node> {
        self.up(self.requests[request].prompt, ROOT)
    }

    /// Those of them that it can find in a cache.
    pub fn reusable(&self, request: usize) -> impl Iterator<Item = Node> {
        self.up(self.requests[request].reusable, ROOT)
    }

    /// Those that it computes in any case: the block of its last token.
    pub fn computed(&self, request: usize) -> impl Iterator<Item = Node> {
        let Ends { reusable, prompt, .. } = self.requests[request];
        self.up(prompt, reusable)
    }

    /// The nodes that its answer adds to its prompt, the last one first.
    pub fn answer(&self, request: usize) -> impl Iterator<Item = Node> {
        let Ends { prompt, sequence, .. } = self.requests[request];
        self.up(sequence, prompt)
    }

    /// The full blocks of a request's prompt.
    pub fn prompt_blocks(&self, request: usize) -> u32 {
        self.range(self.requests[request].prompt).end
    }

    /// The nodes from `node` up to the one below `until`.
    fn up(&self, node: Node, until: Node) -> impl Iterator<Item = Node> {
        let next = move |node: &Node| Some(self.tree.nodes[*node as usize].parent);
        std::iter::successors(Some(node), next).take_while(move |node| *node != until)
    }
}

impl Tree {
    fn add(&mut self, request: &Use) -> Ends {
        let chain = request.sequence.chain();
        if self.nodes.is_empty() {
            self.nodes.push(Stretch { parent: ROOT, start: 0, end: 0, chain: chain.clone() });
        }
        let blocks = request.sequence.blocks();
        let prompt_blocks = request.prompt_blocks.min(blocks);
        let (reusable, depth) =
            self.walk(chain, (ROOT, 0), request.reusable_blocks.min(prompt_blocks));
        let (prompt, depth) = self.walk(chain, (reusable, depth), prompt_blocks);
        let (sequence, _) = self.walk(chain, (prompt, depth), blocks);
        Ends { reusable, prompt, sequence }
    }

    /// Goes on from a node, which ends at this depth, along a chain. Ends at a node that ends at depth `to`.
    fn walk(&mut self, chain: &Chain, (mut at, mut depth): (Node, u32), to: u32) -> (Node, u32) {
        while depth < to {
            let Some(&child) = self.children.get(&(at, chain.hash(depth))) else {
                at = self.push(Stretch { parent: at, start: depth, end: to, chain: chain.clone() });
                return (at, to);
            };
            let Stretch { end, chain: ref known, .. } = self.nodes[child as usize];
            let same = known.agree_until(chain, depth, end.min(to));
            at = if same < end { self.split(child, same) } else { child };
            depth = same;
        }
        (at, depth)
    }

    fn push(&mut self, stretch: Stretch) -> Node {
        let node = self.nodes.len() as Node;
        self.children.insert((stretch.parent, stretch.chain.hash(stretch.start)), node);
        self.nodes.push(stretch);
        node
    }

    /// Cuts a node at a depth. Its upper part gets a number of its own, so what ends at the node still does.
    fn split(&mut self, node: Node, depth: u32) -> Node {
        let Stretch { parent, start, ref chain, .. } = self.nodes[node as usize];
        let chain = chain.clone();
        let lower = chain.hash(depth);
        let upper = self.push(Stretch { parent, start, end: depth, chain });
        let below = &mut self.nodes[node as usize];
        (below.parent, below.start) = (upper, depth);
        self.children.insert((upper, lower), node);
        upper
    }
}
