//! Values by number, stored in pieces that never move. A tree has hundreds of thousands of nodes and
//! keeps growing; one vector would be copied each time it is full.

use super::node::NodeId;

/// Values in a piece, which makes a few tens of kilobytes of nodes.
const PIECE: usize = 256;

#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    pieces: Vec<Box<[Option<T>; PIECE]>>,
    free: Vec<NodeId>,
    numbered: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), free: Vec::new(), numbered: 0 }
    }
}

impl<T> Slab<T> {
    pub fn len(&self) -> usize {
        self.numbered - self.free.len()
    }

    /// Numbers given out so far, free ones included.
    pub const fn numbered(&self) -> usize {
        self.numbered
    }

    pub fn get(&self, id: NodeId) -> &T {
        let index = id.index();
        self.pieces[index / PIECE][index % PIECE].as_ref().expect("a node that exists")
    }

    pub fn get_mut(&mut self, id: NodeId) -> &mut T {
        self.place(id).as_mut().expect("a node that exists")
    }

    pub fn insert(&mut self, value: T) -> NodeId {
        if let Some(id) = self.free.pop() {
            *self.place(id) = Some(value);
            return id;
        }
        let id = NodeId(u32::try_from(self.numbered).expect("fewer than 2^32 runs"));
        if self.numbered.is_multiple_of(PIECE) {
            let piece: Box<[Option<T>]> = (0..PIECE).map(|_| None).collect();
            self.pieces.push(piece.try_into().ok().expect("the length of a piece"));
        }
        self.numbered += 1;
        *self.place(id) = Some(value);
        id
    }

    pub fn remove(&mut self, id: NodeId) -> T {
        self.free.push(id);
        self.place(id).take().expect("a node that exists")
    }

    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &T)> {
        let all = self.pieces.iter().flat_map(|piece| piece.iter()).enumerate();
        all.filter_map(|(i, value)| value.as_ref().map(|value| (NodeId(i as u32), value)))
    }

    fn place(&mut self, id: NodeId) -> &mut Option<T> {
        let index = id.index();
        &mut self.pieces[index / PIECE][index % PIECE]
    }
}
