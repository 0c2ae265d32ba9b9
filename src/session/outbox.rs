//! What waits for [`super::Session::poll`].

use std::collections::VecDeque;

use super::Output;

/// A queue that costs a quiet client no heap, and a message no allocation: nearly every input has one output.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Older than everything in `rest`.
    first: Option<Output>,
    rest: VecDeque<Output>,
}

impl Outbox {
    /// Appends an output.
    pub(super) fn push(&mut self, output: Output) {
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(output);
        } else {
            self.rest.push_back(output);
        }
    }

    /// Makes room for a page.
    pub(super) fn reserve(&mut self, outputs: usize) {
        self.rest.reserve(outputs);
    }

    /// Takes the oldest output; gives the memory back with the last one.
    pub(super) fn pop(&mut self) -> Option<Output> {
        self.first.take().or_else(|| {
            let output = self.rest.pop_front();
            if self.rest.is_empty() && self.rest.capacity() > 0 {
                self.rest = VecDeque::new();
            }
            output
        })
    }

    /// Outputs that the heap has room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.rest.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Action, Observation};

    #[test]
    fn room_for_a_page_is_made_at_once() {
        let mut outbox = Outbox::default();
        outbox.reserve(300);
        let room = outbox.capacity();
        assert!((300..600).contains(&room), "{room}");
        for _ in 0..300 {
            outbox.push(Output::Action(Action::Pong));
        }
        assert_eq!(outbox.capacity(), room);
    }

    #[test]
    fn outputs_come_in_order_and_an_empty_outbox_holds_no_memory() {
        let mut outbox = Outbox::default();
        let (a, b, c) = (Action::Connect, Action::Pong, Action::Refresh);
        outbox.push(Output::Action(a));
        assert_eq!(outbox.capacity(), 0);
        outbox.push(Output::Action(b));
        assert_eq!(outbox.pop(), Some(Output::Action(a)));
        outbox.push(Output::Action(c));
        assert_eq!(outbox.pop(), Some(Output::Action(b)));
        outbox.push(Output::Observation(Observation::Ready));
        assert_eq!(outbox.pop(), Some(Output::Action(c)));
        assert_eq!(outbox.pop(), Some(Output::Observation(Observation::Ready)));
        assert_eq!(outbox.pop(), None);
        assert_eq!(outbox.capacity(), 0);
    }
}
