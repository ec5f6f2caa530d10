//! Values by number, stored in pieces. A tree has hundreds of thousands of nodes and keeps growing; one
//! vector would be copied each time it is full. Only the first piece grows, and the others never move.

use super::node::NodeId;

/// Values in a piece, which makes a few tens of kilobytes of nodes.
const PIECE: usize = 256;

/// The room that the first piece begins with. It doubles until it is a whole piece: there may be thousands of
/// trees with a few values each.
const LEAST: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    /// A piece without a value may have no room: then it is made anew when a number of it is used
    /// again.
    pieces: Vec<Piece<T>>,
    free: Vec<NodeId>,
    numbered: usize,
}

#[derive(Clone, Debug)]
struct Piece<T> {
    slots: Box<[Option<T>]>,
    used: usize,
}

impl<T> Piece<T> {
    fn new(room: usize) -> Self {
        Self { slots: (0..room).map(|_| None).collect(), used: 0 }
    }

    /// Moves the values into more room.
    fn grow(&mut self) {
        let more = (0..self.slots.len()).map(|_| None);
        self.slots = core::mem::take(&mut self.slots).into_iter().chain(more).collect();
    }
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
        self.pieces[index / PIECE].slots[index % PIECE].as_ref().expect("a node that exists")
    }

    pub fn get_mut(&mut self, id: NodeId) -> &mut T {
        self.place(id).as_mut().expect("a node that exists")
    }

    pub fn insert(&mut self, value: T) -> NodeId {
        if let Some(id) = self.free.pop() {
            self.put(id, value);
            return id;
        }
        let id = NodeId(u32::try_from(self.numbered).expect("fewer than 2^32 runs"));
        if self.numbered.is_multiple_of(PIECE) {
            self.pieces.push(Piece::new(if self.numbered == 0 { LEAST } else { PIECE }));
        }
        self.numbered += 1;
        self.put(id, value);
        id
    }

    pub fn remove(&mut self, id: NodeId) -> T {
        self.free.push(id);
        let value = self.place(id).take().expect("a node that exists");
        // Some room stays, so that a tree that is often empty does not allocate each time.
        let much = self.free.len() > 2 * PIECE;
        let piece = &mut self.pieces[id.index() / PIECE];
        piece.used -= 1;
        if piece.used == 0 && much {
            piece.slots = Box::default();
        }
        value
    }

    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &T)> {
        self.pieces.iter().enumerate().flat_map(|(number, piece)| {
            let id = move |i| NodeId((number * PIECE + i) as u32);
            let slots = piece.slots.iter().enumerate();
            slots.filter_map(move |(i, value)| value.as_ref().map(|value| (id(i), value)))
        })
    }

    fn put(&mut self, id: NodeId, value: T) {
        let piece = &mut self.pieces[id.index() / PIECE];
        if piece.slots.is_empty() {
            *piece = Piece::new(PIECE);
        }
        if id.index() % PIECE >= piece.slots.len() {
            piece.grow();
        }
        piece.slots[id.index() % PIECE] = Some(value);
        piece.used += 1;
    }

    fn place(&mut self, id: NodeId) -> &mut Option<T> {
        let index = id.index();
        &mut self.pieces[index / PIECE].slots[index % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn a_slab_agrees_with_a_map_and_gives_room_back() {
        let (mut rng, mut slab, mut map) = (Rng::named(1, &[]), Slab::default(), BTreeMap::new());
        for target in [3_000, 10, 2_000, 0] {
            while map.len() != target {
                if map.len() < target {
                    let value = rng.next_u64();
                    assert_eq!(map.insert(slab.insert(value), value), None);
                } else {
                    let (&id, &value) = map.iter().nth(map.len() / 2).unwrap();
                    map.remove(&id);
                    assert_eq!(slab.remove(id), value);
                }
            }
            assert!(slab.iter().eq(map.iter().map(|(&id, value)| (id, value))), "{target}");
            assert!(map.iter().all(|(&id, value)| slab.get(id) == value), "{target}");
        }
        let rooms = slab.pieces.iter().filter(|piece| !piece.slots.is_empty()).count();
        assert!(rooms <= 3, "{rooms} pieces with room");
    }
}
