//! The bytes of the store: two slots, of which one is always whole (pure).
//!
//! ```text
//! file = slot, slot          each: head, then one position (u64) a client; numbers are little-endian
//! head = magic, run, clients (u32), generation (u64), crc32 of all that stands before it and of the positions behind
//! ```
//!
//! Generations are written in turn: an even one to the first slot, an odd one to the second, and the next only when the
//! last one is durable. A crash at any moment can therefore tear one slot, and the other one holds the state before it,
//! as a whole. What is read is the newest slot that is whole; one that is not is never read, and is counted.

use std::ops::Range;

use uuid::Uuid;

use crate::wire::Position;

/// The shape of a store: of which run it is, and of how many clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Another run's file is not this one's state.
    pub run: Uuid,
    /// Positions in a slot.
    pub clients: u32,
}

/// What a store has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The newest state that is whole; `None`: there is none.
    pub state: Option<State>,
    /// Slots that were begun, or should be there, and are not whole.
    pub broken: u32,
}

/// A whole state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Counts the flushes of the run, from 0.
    pub generation: u64,
    /// By client; 0: none is stored.
    pub positions: Vec<Position>,
}

/// Names the format and its version.
const MAGIC: [u8; 8] = *b"wspos\0\0\x01";
/// Magic, run, clients, generation.
const CHECKED: usize = 8 + 16 + 4 + 8;
/// The same and the checksum.
const HEAD: usize = CHECKED + 4;

impl Layout {
    /// Bytes of one slot.
    pub fn slot_bytes(&self) -> usize {
        HEAD + size_of::<Position>() * self.clients as usize
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> usize {
        2 * self.slot_bytes()
    }

    /// Where the slot of a generation begins.
    pub fn offset_of(&self, generation: u64) -> usize {
        if generation.is_multiple_of(2) { 0 } else { self.slot_bytes() }
    }

    /// The slot of this state. `positions` is one a client.
    pub fn encode(&self, generation: u64, positions: &[Position]) -> Vec<u8> {
        debug_assert_eq!(positions.len(), self.clients as usize);
        let mut slot = Vec::with_capacity(self.slot_bytes());
        slot.extend(MAGIC);
        slot.extend(self.run.as_bytes());
        slot.extend(self.clients.to_le_bytes());
        slot.extend(generation.to_le_bytes());
        slot.extend([0; HEAD - CHECKED]);
        for position in positions {
            slot.extend(position.to_le_bytes());
        }
        let sum = checksum(&slot);
        slot[CHECKED..HEAD].copy_from_slice(&sum.to_le_bytes());
        slot
    }

    /// The newest whole state of a file, however much of it is there and whatever it holds.
    pub fn read(&self, file: &[u8]) -> Image {
        let slot_bytes = self.slot_bytes();
        let mut image = Image::default();
        for begin in [0, slot_bytes] {
            let Some(slot) = file.get(begin..begin + slot_bytes) else {
                image.broken += 1;
                continue;
            };
            match self.decode(slot) {
                // The slot says which one it is; elsewhere it is none.
                Some(state) if self.offset_of(state.generation) == begin => {
                    if image.state.as_ref().is_none_or(|newest| newest.generation < state.generation) {
                        image.state = Some(state);
                    }
                }
                // As it was made: nothing has been written yet.
                None if slot.iter().all(|&byte| byte == 0) => {}
                _ => image.broken += 1,
            }
        }
        image
    }

    fn decode(&self, slot: &[u8]) -> Option<State> {
        let good = number::<8>(slot, 0..8)? == MAGIC
            && number::<16>(slot, 8..24)? == *self.run.as_bytes()
            && u32::from_le_bytes(number(slot, 24..28)?) == self.clients
            && u32::from_le_bytes(number(slot, CHECKED..HEAD)?) == checksum(slot);
        let (positions, _) = slot[HEAD..].as_chunks::<8>();
        good.then_some(State {
            generation: u64::from_le_bytes(number(slot, 28..CHECKED)?),
            positions: positions.iter().map(|&bytes| Position::from_le_bytes(bytes)).collect(),
        })
    }
}

impl Image {
    /// What the store has of this client.
    pub fn position(&self, client: u32) -> Option<Position> {
        let position = *self.state.as_ref()?.positions.get(client as usize)?;
        Some(position).filter(|&position| position > 0)
    }
}

fn number<const BYTES: usize>(slot: &[u8], at: Range<usize>) -> Option<[u8; BYTES]> {
    slot.get(at)?.try_into().ok()
}

/// Of everything in the slot but the checksum's own place.
fn checksum(slot: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&slot[..CHECKED]);
    hasher.update(&slot[HEAD..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUT: Layout = Layout { run: Uuid::from_u128(7), clients: 5 };

    fn positions(generation: u64) -> Vec<Position> {
        (0..5).map(|client| generation * 1000 + client).collect()
    }

    fn state(generation: u64) -> State {
        State { generation, positions: positions(generation) }
    }

    /// The file after all generations up to this one.
    fn file(newest: u64) -> Vec<u8> {
        let mut file = vec![0; LAYOUT.file_bytes()];
        for generation in 0..=newest {
            write(&mut file, generation);
        }
        file
    }

    fn write(file: &mut [u8], generation: u64) {
        let slot = LAYOUT.encode(generation, &positions(generation));
        file[LAYOUT.offset_of(generation)..][..slot.len()].copy_from_slice(&slot);
    }

    #[test]
    fn a_new_file_has_nothing_and_then_the_newest_state() {
        assert_eq!(LAYOUT.read(&vec![0; LAYOUT.file_bytes()]), Image::default());
        for newest in 0..5 {
            assert_eq!(LAYOUT.read(&file(newest)), Image { state: Some(state(newest)), broken: 0 });
        }
        let image = LAYOUT.read(&file(0));
        assert_eq!((image.position(0), image.position(1), image.position(9)), (None, Some(1), None));
    }

    #[test]
    fn a_file_cut_off_at_any_byte_gives_a_whole_state_or_none() {
        for newest in [0, 1, 2, 7] {
            let file = file(newest);
            for length in 0..file.len() {
                let image = LAYOUT.read(&file[..length]);
                let first_slot = if newest % 2 == 0 { newest } else { newest - 1 };
                let expected = (length >= LAYOUT.slot_bytes()).then(|| state(first_slot));
                assert_eq!(image.state, expected, "{newest}, {length} bytes");
                assert_eq!(image.broken, if expected.is_some() { 1 } else { 2 }, "{newest}, {length} bytes");
            }
        }
    }

    #[test]
    fn a_byte_changed_anywhere_gives_the_other_slot() {
        for newest in [1, 2, 7] {
            let good = file(newest);
            for place in 0..good.len() {
                for flip in [1, 0x80, 0xff] {
                    let mut bad = good.clone();
                    bad[place] ^= flip;
                    let hit = usize::from(place >= LAYOUT.slot_bytes()) as u64;
                    let left = if newest % 2 == hit { newest - 1 } else { newest };
                    let expected = Image { state: Some(state(left)), broken: 1 };
                    assert_eq!(LAYOUT.read(&bad), expected, "{newest}, byte {place} ^ {flip}");
                }
            }
        }
    }

    #[test]
    fn a_write_that_stops_after_any_byte_leaves_the_state_before_it() {
        for next in [1, 2, 3, 8] {
            let slot = LAYOUT.encode(next, &positions(next));
            for written in 0..slot.len() {
                let mut torn = file(next - 1);
                torn[LAYOUT.offset_of(next)..][..written].copy_from_slice(&slot[..written]);
                let image = LAYOUT.read(&torn);
                // What two generations have in common is no difference on the disk either.
                let complete = torn == file(next);
                let expected = state(if complete { next } else { next - 1 });
                assert_eq!(image.state, Some(expected), "generation {next}, {written} bytes");
            }
        }
    }

    #[test]
    fn what_another_run_left_or_a_slot_in_the_wrong_place_is_no_state() {
        let other = Layout { run: Uuid::from_u128(8), ..LAYOUT };
        assert_eq!(other.read(&file(3)), Image { state: None, broken: 2 });
        let fewer = Layout { clients: 4, ..LAYOUT };
        assert_eq!(fewer.read(&file(3)).state, None);
        let mut moved = vec![0; LAYOUT.file_bytes()];
        let slot = LAYOUT.encode(4, &positions(4));
        moved[LAYOUT.slot_bytes()..].copy_from_slice(&slot);
        assert_eq!(LAYOUT.read(&moved), Image { state: None, broken: 1 });
    }

    proptest! {
        /// Disks write blocks in any order: some of the slot's are new, the others as they were two generations ago.
        #[test]
        fn blocks_written_in_any_order_leave_the_state_before_or_the_new_one(
            next in 2u64..9,
            block in 1usize..30,
            written in prop::collection::vec(any::<bool>(), 100),
        ) {
            let slot = LAYOUT.encode(next, &positions(next));
            let mut torn = file(next - 1);
            let begin = LAYOUT.offset_of(next);
            for (index, chunk) in slot.chunks(block).enumerate().filter(|(index, _)| written[*index]) {
                torn[begin + index * block..][..chunk.len()].copy_from_slice(chunk);
            }
            let complete = torn == file(next);
            prop_assert_eq!(LAYOUT.read(&torn).state, Some(state(if complete { next } else { next - 1 })));
        }

        #[test]
        fn any_bytes_at_all_are_read_without_a_state(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(LAYOUT.read(&bytes).state, None);
        }
    }
}
